"""A policy that learns: decisions of one block of time after the other become its state, and the next table.

Blocks lie on a grid of the policy's ``every`` seconds and are learned from once their labels have had the time to come,
in the order of time. So the state depends on what was decided and told, and not on when or how often that was heard;
and it is kept in one transaction with the place it was learned up to, so that whoever dies in between loses nothing and
learns nothing twice. A new table comes when the shares moved; the ledger has the blocks it was made from, and
``rivals verify`` makes it again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import msgspec

from rivals import plugins
from rivals.bundles import read_manifest
from rivals.errors import Conflict, SpecError
from rivals.flows import fences
from rivals.flows.derive import mark
from rivals.flows.workspace import Workspace
from rivals.observe.experience import Shadowing, Told, experiences
from rivals.observe.outcomes import Metric
from rivals.protocols import Learns, Policy
from rivals.registry.ledger import Ledger
from rivals.registry.transaction import Transaction
from rivals.values import Arm, Exposure, RoutingTable, Use

AT_ONCE = 60  # blocks of one transaction: judging waits for no more
LONGEST = 500  # blocks after which the ledger is told, though nothing moved
MOVED = 0.005  # of the traffic: less is no reason for a new table
SET, LEARNED = "policy.set", "policy.learned"  # kinds of entries in the ledger
_encode = msgspec.json.Encoder(order="sorted").encode

Row = tuple[int, Exposure, Any, float | None, Mapping[str, Any] | None]  # as Store.closed gives them


@dataclass(frozen=True, slots=True)
class Rules:
    """What a loss is, and when a block is learned from."""

    metric: Metric
    labels: tuple[Any, ...]
    delay: float
    bound: float | None = None


@dataclass(frozen=True, slots=True)
class Learned:
    """What a policy knows, and up to where. ``blocks`` and ``log``: learned from since the last entry in the ledger."""

    use: Use
    rules: Rules
    bundles: Mapping[str, str]
    revision: int  # decisions of earlier tables are not its
    state: Mapping[str, Any]
    next_block: float | None = None
    blocks: tuple[float, ...] = ()
    log: str = ""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What was told of a block's exposures when it was learned from; ids are hashed, as in a settled block."""

    start: float
    first: int  # of the closing numbers
    last: int
    told: Sequence[tuple[str, Any, float | None]]


# -- the beginning ------------------------------------------------------------------------------------------


def begin(tx: Transaction, workspace: Workspace, revision: int, named: Sequence[Arm], now: float) -> Mapping[str, Any]:
    """The state that the project's policy has under a new table; of one that does not learn: none.

    A policy that goes on keeps what it knows of variants that were not built anew. Raises ``SpecError`` where it could
    not learn.
    """
    use, key = workspace.endpoint.policy, key_of(workspace)
    policy = plugins.make(Policy, use)
    if not isinstance(policy, Learns):
        return {}
    rules = _rules(workspace, policy, named)
    bundles = {arm.variant: arm.digest for arm in named}
    raw = tx.state(key)
    before = msgspec.json.decode(raw, type=Learned) if raw else None
    if before and (before.use, before.rules, before.bundles) == (use, rules, bundles) and _in_force(tx, workspace, use):
        return before.state
    after = set_anew(before, use, rules, bundles, revision)
    _write(tx, workspace, SET, before, after, now)
    return after.state


def set_anew(before: Learned | None, use: Use, rules: Rules, bundles: Mapping[str, str], revision: int) -> Learned:
    """What is known where the project file has this policy from now on."""
    policy = policy_of(use)
    if before is None or before.use != use:
        return Learned(use, rules, bundles, revision, policy.learn({}, ()))
    known = before.bundles
    fresh = [name for name in known if name in bundles and bundles[name] != known[name]]
    state = policy.forget(before.state, fresh) if fresh else before.state
    return Learned(use, rules, {**known, **bundles}, before.revision, state, before.next_block)


def _in_force(tx: Transaction, workspace: Workspace, use: Use) -> bool:
    table = tx.table(workspace.endpoint.name)
    return table is not None and table.policy == use and bool(table.state)


def _rules(workspace: Workspace, policy: Learns, named: Sequence[Arm]) -> Rules:
    spec, wish = workspace.spec, workspace.endpoint
    name, needs = wish.policy.name, getattr(policy, "needs", "")
    if not spec.data.label_delay:
        raise SpecError(
            f"policy {name} learns from what answers turned out to mean: say data.label_delay, how long after its "
            "answer a reward or label may still come, as 5m."
        )
    if needs == "inputs":
        capture = wish.capture
        hidden = set(getattr(policy, "columns", ())) & set(capture.redact if capture else ())
        if capture is None or not capture.features or hidden:
            what = f"{min(hidden)!r} is redacted" if hidden else "nothing is"
            raise SpecError(
                f"policy {name} learns from columns that are kept, and {what}: endpoint.capture: {{features: all}}."
            )
    metric: Metric = wish.rollout.metric or ("squared" if spec.data.answers == "regression" else "brier")
    bound = getattr(policy, "bound", None)
    labels = read_manifest(workspace.blobs.path(named[0].digest)).signature.labels if named else ()
    return Rules(metric, tuple(labels), spec.data.label_delay, bound)


# -- the loop -----------------------------------------------------------------------------------------------


def learn(workspace: Workspace, now: float) -> RoutingTable | None:
    """Learn from the blocks that matured by ``now``; the next table, where the shares moved."""
    store, key = workspace.store, key_of(workspace)
    raw = store.state(key)
    table = store.table(workspace.endpoint.name)
    if raw is None or table is None:
        return None
    before = msgspec.json.decode(raw, type=Learned)
    if table.policy != before.use:
        return None
    after, lessons = _matured(workspace, before, now)
    if after == before:
        return None
    with store.transaction() as tx:
        if tx.state(key) != raw:
            raise Conflict("Another process learned first; the next round sees what it did.")
        for lesson in lessons:
            tx.put_state(lesson_key(workspace, lesson.start), msgspec.json.encode(lesson))
        in_force, done = tx.table(table.endpoint) or table, replace(after, blocks=(), log="")
        frozen = fences.fences_of(workspace, tx).frozen or in_force.policy != before.use
        if not frozen and moved(in_force.state, after.state):
            fresh = replace(in_force, revision=in_force.revision + 1, state=after.state)
            _write(tx, workspace, LEARNED, after, done, now, fresh.revision)
            Ledger(store).set_table(tx, fresh, in_force.revision, now)
            return fresh
        if len(after.blocks) >= LONGEST:
            _write(tx, workspace, LEARNED, after, done, now)
        else:
            tx.put_state(key, msgspec.json.encode(after))
    return None


def moved(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether the shares of two states differ; a state without shares always does."""
    known, shares = before.get("weights"), after.get("weights")
    if known is None or shares is None:
        return before != after
    return known.keys() != shares.keys() or any(abs(known[name] - shares[name]) >= MOVED for name in shares)


def _matured(workspace: Workspace, before: Learned, now: float) -> tuple[Learned, list[Lesson]]:
    store, name, policy = workspace.store, workspace.endpoint.name, policy_of(before.use)
    every, after, lessons = policy.every, before, list[Lesson]()
    shadows = Shadows(workspace)
    while len(lessons) < AT_ONCE:
        since = -math.inf if after.next_block is None else after.next_block
        first = store.first_time(name, since, before.revision)
        start = None if first is None else max(since, math.floor(first / every) * every)
        if start is None or start + every + before.rules.delay > now:
            break
        closed = store.closings()
        rows = [row for row in store.closed(name, start, start + every) if row[0] <= closed]
        lesson = Lesson(
            start,
            min((row[0] for row in rows), default=0),
            max((row[0] for row in rows), default=0),
            sorted((mark(row[1].id), row[2], row[3]) for row in rows if row[2] is not None or row[3] is not None),
        )
        after = replace(lived(after, lesson, rows, policy, shadows), next_block=start + every)
        lessons.append(lesson)
    return after, lessons


def lived(before: Learned, lesson: Lesson, rows: Iterable[Row], policy: Learns, shadows: Shadowing) -> Learned:
    """What is known after a block, with what was told of it then; live and when it is checked."""
    known = {name: (label, reward) for name, label, reward in lesson.told}
    told = []
    for number, exposure, _, _, asked in rows:
        if number <= lesson.last and exposure.revision >= before.revision:
            label, reward = known.get(mark(exposure.id), (None, None))
            told.append(Told(exposure, label, reward, asked))
    rules = before.rules
    found = experiences(told, shadows, rules.metric, rules.labels, rules.bound or math.inf)
    chained = blake2b(before.log.encode() + _encode([lesson.start, found]), digest_size=32).hexdigest()
    state = policy.learn(before.state, found) if found else before.state
    return replace(before, state=as_json(state), blocks=(*before.blocks, lesson.start), log=chained)


def as_json(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """A state as it comes back from the store: what is learned must not depend on whether it was away."""
    found: Mapping[str, Any] = msgspec.json.decode(msgspec.json.encode(state))
    return found


class Shadows(dict[int, tuple[str, Mapping[str, float]]]):
    """Champion and shadows of each revision, looked up when they are asked for."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace

    def get(self, revision: int, default: Any = None) -> Any:
        """As a mapping's; a revision that nobody knows had none."""
        if revision not in self:
            table = self._workspace.store.table_at(self._workspace.endpoint.name, revision)
            shares = {one.variant: one.share for one in table.shadows} if table else {}
            self[revision] = (table.champion, shares) if table else default
        return self[revision]


# -- writing it down ------------------------------------------------------------------------------------------


def _write(
    tx: Transaction,
    workspace: Workspace,
    kind: str,
    before: Learned | None,
    after: Learned,
    now: float,
    revision: int | None = None,
) -> None:
    """Keep what was learned, with an entry of the ledger that it can be derived from again."""
    shares = after.state.get("weights", {})
    told = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
    body = {
        "policy": msgspec.to_builtins(after.use),
        "rules": msgspec.to_builtins(after.rules),
        "bundles": dict(after.bundles),
        "since": after.revision,
        "blocks": list(before.blocks) if before else [],
        "log": before.log if before else "",
        "state": after.state,
        "revision": revision,
        "reason": f"policy {after.use.name}" + (f": {told}" if told else ""),
    }
    Ledger(workspace.store).append(tx, workspace.endpoint.name, kind, now, body)
    tx.put_state(key_of(workspace), msgspec.json.encode(after))


def learned_of(workspace: Workspace) -> Learned | None:
    """What the endpoint's policy has learned; None: it never did."""
    raw = workspace.store.state(key_of(workspace))
    return msgspec.json.decode(raw, type=Learned) if raw else None


def key_of(workspace: Workspace) -> str:
    """Where the store keeps what was learned."""
    return f"learned/{workspace.endpoint.name}"


def lesson_key(workspace: Workspace, start: float) -> str:
    """Where the store keeps what was told of a block."""
    return f"lesson/{workspace.endpoint.name}/{start!r}"


def policy_of(use: Use) -> Learns:
    """The policy of that name. Raises ``SpecError`` where it does not learn."""
    policy = plugins.make(Policy, use)
    if not isinstance(policy, Learns):
        raise SpecError(f"policy {use.name!r} learned once, and does not any more.")
    return policy
