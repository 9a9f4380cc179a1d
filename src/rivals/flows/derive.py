"""What a judgement is made from, and how it is made again: exposures in the order they closed, and settled blocks.

While a rollout runs, a chain of hashes (``log``) goes over everything its evidence takes in, and each block's labels
and rewards are kept as they were when the block was judged: what is told later changes scores, never a decision. The
ledger has the chain's head beside every verdict, so that whoever derives the verdict again knows that it was made from
the same things.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import msgspec

from rivals.flows.archive import archive_of
from rivals.flows.workspace import Workspace
from rivals.observe.evidence import EvidenceState, Rules, advance, due
from rivals.values import Exposure, Pair, Rewarded, Rollout

BATCH = 20_000  # closed exposures judged in one go
_encode = msgspec.json.Encoder(order="sorted").encode


@dataclass(frozen=True, slots=True)
class Settled:
    """What was known of a block when it was judged: the label of each pair (None: none), and the rewards.

    Ids and units are hashed: it is kept for longer than a unit that asks to be forgotten.
    """

    start: float
    labels: Sequence[tuple[str, Any]]
    rewards: Sequence[Rewarded] = ()


@dataclass(frozen=True, slots=True)
class Looked:
    """A state of the evidence, the head of the chain over all that went into it, and the blocks settled last."""

    state: EvidenceState
    log: str = ""
    settled: tuple[Settled, ...] = ()


def look(workspace: Workspace, rollout: Rollout, rules: Rules, before: Looked, now: float) -> Looked:
    """Take in what was closed since the last look, and the time blocks that matured."""
    store, state, log = workspace.store, before.state, before.log
    pair = (rollout.champion.variant, rollout.challenger.variant)
    while closed := store.exposures_since(rollout.endpoint, state.cursor, BATCH, pair):
        state, log = taken(state, log, closed, now, rules)
    settled = []
    for start in due(state, now, rules):
        pairs = store.pairs(rollout.endpoint, *pair, start, start + rules.block)
        rewards: Sequence[Rewarded] = ()
        if rules.reward is not None:
            # A unit that comes again is counted in the block of its first answer, and there alone.
            again = workspace.endpoint.unit != "request"
            since = rollout.started if again else start
            rewards = [
                replace(one, id=mark(one.id), unit=mark(one.unit))
                for one in store.rewarded(rollout.endpoint, since, start + rules.block)
            ]
        block = Settled(start, [(mark(one.id), one.label) for one in pairs], rewards)
        state, log = judged(state, log, block, pairs, now, rules)
        settled.append(block)
    return Looked(state, log, tuple(settled))


def taken(
    state: EvidenceState, log: str, closed: Sequence[tuple[int, Exposure]], now: float, rules: Rules
) -> tuple[EvidenceState, str]:
    """The evidence and the chain after these exposures, however they are cut into batches."""
    for one in closed:
        log = _chained(log, one)
    return advance(state, (one for _, one in closed), (), now, rules, cursor=closed[-1][0]), log


def judged(
    state: EvidenceState, log: str, block: Settled, pairs: Sequence[Pair], now: float, rules: Rules
) -> tuple[EvidenceState, str]:
    """The evidence and the chain after a block."""
    rewards = {block.start: block.rewards}
    return advance(state, (), [(block.start, pairs)], now, rules, rewards=rewards), _chained(log, block)


def as_settled(block: Settled, pairs: Sequence[Pair]) -> Iterator[Pair]:
    """The pairs with the labels they had when the block was judged; those that came later are left out."""
    known = dict(block.labels)
    for one in pairs:
        if mark(one.id) in known:
            yield replace(one, label=known[mark(one.id)])


def history(workspace: Workspace, rollout: Rollout, after: int) -> Iterator[tuple[int, Exposure]]:
    """Closed exposures of the pair after that number, wherever they are kept, in the order of their closing."""
    pair = (rollout.champion.variant, rollout.challenger.variant)
    if workspace.endpoint.capture is not None:
        yield from archive_of(workspace).history(pair, after)
        return
    while some := workspace.store.exposures_since(rollout.endpoint, after, BATCH, pair):
        yield from some
        after = some[-1][0]


def pairs_of(workspace: Workspace, rollout: Rollout, start: float, end: float) -> list[Pair]:
    """Rows of that time that both answered, wherever they are kept, with the labels known by now."""
    pair = (rollout.champion.variant, rollout.challenger.variant)
    if workspace.endpoint.capture is None:
        return workspace.store.pairs(rollout.endpoint, *pair, start, end)
    return archive_of(workspace).pairs(*pair, start, end)


def mark(name: str) -> str:
    """An id or a unit as a settled block has it."""
    return blake2b(name.encode(), digest_size=8).hexdigest()


def settled_key(rollout: str, start: float) -> str:
    """Where the store keeps a block of a rollout."""
    return f"block/{rollout}/{start!r}"


def rules_body(rules: Rules) -> dict[str, Any]:
    """Rules for the ledger: JSON knows no infinity, so a bound that does not bind is left out."""
    return {name: value for name, value in msgspec.to_builtins(rules).items() if value != math.inf}


def _chained(log: str, value: Any) -> str:
    return blake2b(log.encode() + _encode(value), digest_size=32).hexdigest()
