"""Evidence of a rollout, kept up to date from closed exposures and matured blocks. Pure; constant memory.

``begin`` a state, ``advance`` it, and read it with ``evidence``. The state holds its own cursors (closed exposures
taken in, the next block to come), so that storing it together with the verdict in one transaction counts everything
once. What judges find in ``Evidence``:

=============================  ==================================================================================
``log_e["failures.harm"]``     the challenger fails more often than the champion
``["failures.noninferior"]``   its failure rate is below (1 + margin) times the champion's
``["failures.over_limit"]``    its failure rate is above the limit; bet by request, as traffic comes, not by unit
``["failures.under_limit"]``   its failure rate is below the limit, likewise
``["quality.better"]``         its loss is lower on the same rows
``["quality.worse"]``          its loss is higher on the same rows
``["quality.noninferior"]``    its loss is not higher by the margin or more
``estimates["silence"]``       seconds since the challenger was last asked anything
``["quality.difference"]``     mean loss difference, challenger minus champion, over all labelled pairs
``["quality.spread"]``         standard deviation of the difference over blocks
=============================  ==================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

from rivals.errors import DataError, SpecError
from rivals.observe.outcomes import Metric, difference, matured
from rivals.statistics.eprocess import BlockBets, FailureArm, RateLimit, on_answers, on_block, on_failure
from rivals.values import Counts, Evidence, Exposure, Outcome, Pair, Rollout

UNITS = 5_000  # failed units remembered; a pair with more failures than that was decided long ago


@dataclass(frozen=True, slots=True)
class Rules:
    """What counts as evidence. ``margin`` and ``limit`` are of the failure rate, ``quality_margin`` of the loss."""

    metric: Metric = "brier"
    labels: tuple[Any, ...] = (0, 1)  # of the classifier's outputs, in their order
    margin: float = 0.5
    limit: float = 0.01
    quality_margin: float = 0.002
    bound: float = math.inf  # squared errors are clipped at it
    block: float = 86_400.0
    label_delay: float = 0.0
    min_pairs: int = 30

    def __post_init__(self) -> None:
        if not self.block > 0:
            raise SpecError(f"endpoint.rollout.block is a duration above 0, as 1d; not {self.block:g} seconds.")


@dataclass(frozen=True, slots=True)
class EvidenceState:
    """All that is remembered about one pair of rivals."""

    champion: str
    challenger: str
    started: float
    next_block: float  # start of the first block not bet on yet
    latest: float  # when the challenger was last asked
    cursor: int = 0  # of the closed exposures
    counts: tuple[Counts, Counts] = (Counts(), Counts())  # champion, challenger
    arm: FailureArm = field(default_factory=FailureArm)
    rate: RateLimit = field(default_factory=RateLimit)
    units: tuple[int, ...] = ()  # that failed already: one bet each
    quality: BlockBets = field(default_factory=BlockBets)
    loss: float = 0.0  # summed difference over labelled pairs

    @property
    def blocks(self) -> int:
        """Matured blocks that were bet on."""
        return self.quality.blocks


def begin(rollout: Rollout, cursor: int = 0) -> EvidenceState:
    """No evidence yet. ``cursor``: exposures up to it are older than the rollout."""
    names = (rollout.champion.variant, rollout.challenger.variant)
    return EvidenceState(*names, rollout.started, next_block=rollout.started, latest=rollout.started, cursor=cursor)


def due(state: EvidenceState, now: float, rules: Rules) -> list[float]:
    """Starts of the blocks whose pairs ``advance`` waits for."""
    return matured(state.next_block, now, rules.block, rules.label_delay)


def advance(
    state: EvidenceState,
    exposures: Iterable[Exposure],
    blocks: Iterable[tuple[float, Sequence[Pair]]],
    now: float,
    rules: Rules,
    *,
    cursor: int | None = None,
) -> EvidenceState:
    """Take in closed exposures (answers to clients and shadows alike, in the order they closed) and matured blocks.

    Exposures of other variants, or from before the rollout, are passed over; a block that was bet on is not bet on
    again. ``cursor`` is where the next exposures come after. Raises ``DataError`` on a block that is not due.
    """
    state = _with_answers(state, exposures, rules)
    for start, pairs in blocks:
        if start + rules.block + rules.label_delay > now:
            raise DataError(f"The block at {start:.0f} is not due at {now:.0f}; take blocks from `due`.")
        if start >= state.next_block:
            state = _with_block(state, start, pairs, rules)
    return state if cursor is None else replace(state, cursor=cursor)


def evidence(state: EvidenceState, rollout: Rollout, now: float) -> Evidence:
    """The state as judges read it."""
    labelled = state.counts[0].labelled
    estimates = {"silence": max(0.0, now - state.latest)}
    if labelled:
        estimates["quality.difference"] = state.loss / labelled
    if state.blocks > 1:
        estimates["quality.spread"] = state.quality.spread
    log_e = {
        "failures.harm": state.arm.harm.highest,
        "failures.noninferior": state.arm.noninferior.highest,
        "failures.over_limit": state.rate.over,
        "failures.under_limit": state.rate.under,
        "quality.better": state.quality.better.highest,
        "quality.worse": state.quality.worse.highest,
        "quality.noninferior": state.quality.noninferior.highest,
    }
    counts = {state.champion: state.counts[0], state.challenger: state.counts[1]}
    return Evidence(
        rollout.endpoint, state.champion, state.challenger, now, counts, log_e, estimates, blocks=state.blocks
    )


def _with_answers(state: EvidenceState, exposures: Iterable[Exposure], rules: Rules) -> EvidenceState:
    tallies = {state.champion: _Tally(state.counts[0]), state.challenger: _Tally(state.counts[1])}
    arm, rate, latest, units, good = state.arm, state.rate, state.latest, dict.fromkeys(state.units), 0
    for one in exposures:
        tally = tallies.get(one.variant)
        if tally is None or one.time < state.started or one.outcome is Outcome.OPEN:
            continue
        # A shadow without room was not asked: that is no fault of its. A client without an answer always counts.
        if one.shadow and one.outcome is Outcome.SHED:
            continue
        failed = one.outcome is not Outcome.OK
        tally.asked += 1
        tally.asked_failures += failed
        challenger = one.variant == state.challenger
        if challenger:
            latest = max(latest, one.time)
            # Rows of one request fail together; the first one stands for all.
            if one.id.endswith("/0"):
                if failed:
                    rate, good = on_answers(rate, good, failed=True, limit=rules.limit), 0
                else:
                    good += 1
        share = 0.0 if one.shadow else _share(one, state)
        if not 0 < share < 1:
            continue
        tally.requests += 1
        tally.failures += failed
        if failed and len(units) < UNITS and (unit := _short(one.unit)) not in units:
            units[unit] = None
            arm = on_failure(arm, challenger, share, rules.margin)
    rate = on_answers(rate, good, failed=False, limit=rules.limit)
    counts = (tallies[state.champion].counts(), tallies[state.challenger].counts())
    return replace(state, arm=arm, rate=rate, latest=latest, units=tuple(units), counts=counts)


def _with_block(state: EvidenceState, start: float, pairs: Sequence[Pair], rules: Rules) -> EvidenceState:
    state = replace(state, next_block=start + rules.block)
    found = difference(pairs, rules.metric, rules.labels, bound=rules.bound, min_pairs=rules.min_pairs)
    if found is None:
        return state
    champion, challenger = (replace(one, labelled=one.labelled + found.rows) for one in state.counts)
    return replace(
        state,
        quality=on_block(state.quality, found.mean, rules.quality_margin),
        loss=state.loss + found.mean * found.rows,
        counts=(champion, challenger),
    )


def _share(one: Exposure, state: EvidenceState) -> float:
    """The challenger's share among the two when the request was routed; 0 or 1: not randomised between them."""
    challenger, champion = one.propensity.get(state.challenger, 0.0), one.propensity.get(state.champion, 0.0)
    return challenger / (challenger + champion) if challenger + champion > 0 else 0.0


def _short(unit: str) -> int:
    """A unit in six bytes; two that fall together cost one bet, no truth."""
    return int.from_bytes(blake2b(unit.encode(), digest_size=6).digest(), "big")


class _Tally:
    """Counts while they are being counted."""

    __slots__ = ("asked", "asked_failures", "failures", "labelled", "requests")

    def __init__(self, counts: Counts) -> None:
        self.requests, self.failures = counts.requests, counts.failures
        self.asked, self.asked_failures, self.labelled = counts.asked, counts.asked_failures, counts.labelled

    def counts(self) -> Counts:
        return Counts(self.requests, self.failures, self.asked, self.asked_failures, self.labelled)
