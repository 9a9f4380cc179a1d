"""Evidence of a rollout, kept up to date from closed exposures and matured blocks. Pure; constant memory.

``begin`` a state, ``advance`` it, and read it with ``evidence``. The state holds its own cursors (closed exposures
taken in, the next block to come), so that storing it together with the verdict in one transaction counts everything
once. What judges find in ``Evidence``:

=============================  ==================================================================================
``log_e["failures.harm"]``     the challenger fails more often than the champion
``["failures.noninferior"]``   its failure rate is below (1 + margin) times the champion's
``["failures.over_limit"]``    its failure rate is above the limit, on the first time that each unit met it
``["failures.under_limit"]``   its failure rate is below the limit, likewise
``["quality.better"]``         its loss is lower on the same rows
``["quality.worse"]``          its loss is higher on the same rows
``["quality.noninferior"]``    its loss is not higher by the margin or more
``estimates["silence"]``       seconds since the challenger was last asked anything
``["quality.difference"]``     mean loss difference, challenger minus champion, over all labelled pairs
``["quality.spread"]``         standard deviation of the difference over blocks
``["shadow.dropped_share"]``   of the shadow's questions that have no answer: what is paired is then a selection
``["quality.z/<n>"]``          Student's t of it after n blocks, as a normal z: at looks that were planned
``["share"]``                  of the traffic that the challenger has now; 0 in the shadow
``["age"]``                    seconds since the rollout began
=============================  ==================================================================================

``guardrails`` has the rest: latency, declared slices, reward, the split itself; ``drifting`` has the drift of answers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rivals.errors import DataError, SpecError
from rivals.observe.arm import UNITS, Arm, Units, Waiting, short
from rivals.observe.drifting import DriftBets, DriftRules, on_pairs
from rivals.observe.guardrails import (
    SHARES,
    RewardBets,
    RewardRules,
    SliceBets,
    Slow,
    mismatch,
    on_rewards,
    on_slices,
    reward_found,
    share_of,
    slices_found,
)
from rivals.observe.outcomes import Metric, losses, matured
from rivals.statistics.eprocess import BlockBets, FailureArm, RateLimit, on_answers, on_block
from rivals.statistics.group_sequential import as_normal
from rivals.values import Counts, Evidence, Exposure, Outcome, Pair, Rewarded, Rollout

SEEN = 2_000  # units that come again, counted for the split; the first ones stand for all


NO_REWARDS: Mapping[float, Sequence[Rewarded]] = {}


@dataclass(frozen=True, slots=True)
class Rules:
    """What counts as evidence. ``margin`` and ``limit`` are of the failure rate, ``quality_margin`` of the loss.

    ``margin`` is that of slow answers too, and ``slow_limit`` their limit; ``slice_margin`` is of the loss in a slice.
    """

    metric: Metric = "brier"
    labels: tuple[Any, ...] = (0, 1)  # of the classifier's outputs, in their order
    margin: float = 0.5
    limit: float = 0.01
    slow_limit: float = 0.02
    quality_margin: float = 0.002
    slice_margin: float = 0.02
    reward: RewardRules | None = None
    drift: DriftRules | None = None
    bound: float = math.inf  # squared errors are clipped at it
    block: float = 86_400.0
    label_delay: float = 0.0
    min_pairs: int = 30
    looks: tuple[int, ...] = ()  # blocks after which a test of fixed length looks

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
    waiting: tuple[Waiting, ...] = ()  # successes that are not ripe yet
    rate: RateLimit = field(default_factory=RateLimit)
    units: tuple[int, ...] = ()  # that failed already: one bet each
    asked: tuple[int, ...] = ()  # that the challenger was asked about already: one bet on its limits each
    quality: BlockBets = field(default_factory=BlockBets)
    looks: dict[int, float] = field(default_factory=dict)  # z by the number of blocks
    loss: float = 0.0  # summed difference over labelled pairs
    shadows: int = 0  # questions that were to be put in the shadow, to either
    dropped: int = 0  # of those: without an answer
    slow: Slow = field(default_factory=Slow)
    slow_units: tuple[int, ...] = ()
    slices: dict[str, SliceBets] = field(default_factory=dict)
    reward: RewardBets = field(default_factory=RewardBets)
    drift: DriftBets = field(default_factory=DriftBets)
    mix: dict[float, tuple[int, int]] = field(default_factory=dict)
    seen: tuple[int, ...] = ()  # units of the mix that may come again

    @property
    def blocks(self) -> int:
        """Matured blocks that were bet on."""
        return self.quality.blocks


def begin(rollout: Rollout, cursor: int = 0, *, tau_ms: float | None = None) -> EvidenceState:
    """No evidence yet. ``cursor``: exposures up to it are older than the rollout; ``tau_ms``: slower is slow."""
    names = (rollout.champion.variant, rollout.challenger.variant)
    state = EvidenceState(*names, rollout.started, next_block=rollout.started, latest=rollout.started, cursor=cursor)
    return replace(state, slow=Slow(None if tau_ms is None else tau_ms * 1e3))


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
    rewards: Mapping[float, Sequence[Rewarded]] = NO_REWARDS,
) -> EvidenceState:
    """Take in closed exposures (answers to clients and shadows alike, in the order they closed) and matured blocks.

    ``rewards``: by the start of a block, those of its time; where units come again, of the rollout up to its end.

    Exposures of other variants, or from before the rollout, are passed over; a block that was bet on is not bet on
    again. ``cursor`` is where the next exposures come after. Raises ``DataError`` on a block that is not due.
    """
    state = _with_answers(state, exposures, rules)
    for start, pairs in blocks:
        if start + rules.block + rules.label_delay > now:
            raise DataError(f"The block at {start:.0f} is not due at {now:.0f}; take blocks from `due`.")
        if start >= state.next_block:
            state = _with_rewards(state, start, rewards.get(start, ()), rules)
            state = _with_block(state, start, pairs, rules)
    return state if cursor is None else replace(state, cursor=cursor)


def evidence(state: EvidenceState, rollout: Rollout, now: float) -> Evidence:
    """The state as judges read it."""
    labelled = state.counts[0].labelled
    estimates = {"silence": max(0.0, now - state.latest), "share": rollout.share, "age": now - state.started}
    if state.shadows:
        estimates["shadow.dropped_share"] = state.dropped / state.shadows
    if state.slow.tau_us is not None:
        estimates["latency.tau_ms"] = state.slow.tau_us / 1e3
    if labelled:
        estimates["quality.difference"] = state.loss / labelled
    if state.blocks > 1:
        estimates["quality.spread"] = state.quality.spread
    estimates |= {f"quality.z/{blocks}": z for blocks, z in state.looks.items()}
    slices, of_slices = slices_found(state.slices, labelled)
    reward, of_reward = reward_found(state.reward)
    drift, of_drift = state.drift.found()
    log_e = {
        "failures.harm": state.arm.harm.highest,
        "failures.noninferior": state.arm.noninferior.highest,
        "failures.over_limit": state.rate.over,
        "failures.under_limit": state.rate.under,
        "quality.better": state.quality.better.highest,
        "quality.worse": state.quality.worse.highest,
        "quality.noninferior": state.quality.noninferior.highest,
        "ratio.mismatch": mismatch(state.mix),
        **state.slow.found(),
        **slices,
        **reward,
        **drift,
    }
    estimates |= of_slices | of_reward | of_drift
    counts = {state.champion: state.counts[0], state.challenger: state.counts[1]}
    return Evidence(
        rollout.endpoint, state.champion, state.challenger, now, counts, log_e, estimates, blocks=state.blocks
    )


def _with_answers(state: EvidenceState, exposures: Iterable[Exposure], rules: Rules) -> EvidenceState:
    found = _Answers(state, rules)
    for one in exposures:
        if one.variant in found.tallies and one.time >= state.started and one.outcome is not Outcome.OPEN:
            found.take(one)
    return found.state()


def _with_block(state: EvidenceState, start: float, pairs: Sequence[Pair], rules: Rules) -> EvidenceState:
    state = replace(state, next_block=start + rules.block)
    if rules.drift is not None and len(pairs) >= max(1, rules.min_pairs):
        state = replace(state, drift=on_pairs(state.drift, pairs, rules.drift))
    known, each = losses(pairs, rules.metric, rules.labels, rules.bound)
    rows = len(each)
    state = replace(state, slices=on_slices(state.slices, known, each, rules.slice_margin, rules.min_pairs))
    if rows < max(1, rules.min_pairs):
        return state
    mean = math.fsum(each) / rows
    champion, challenger = (replace(one, labelled=one.labelled + rows) for one in state.counts)
    quality = on_block(state.quality, mean, rules.quality_margin)
    looks = state.looks
    if quality.blocks in rules.looks:
        looks = {**looks, quality.blocks: as_normal(quality.mean, quality.spread, quality.blocks)}
    return replace(
        state,
        quality=quality,
        looks=looks,
        loss=state.loss + mean * rows,
        counts=(champion, challenger),
    )


def _with_rewards(state: EvidenceState, start: float, rewards: Sequence[Rewarded], rules: Rules) -> EvidenceState:
    if rules.reward is None or not rewards:
        return state
    pair = (state.champion, state.challenger)
    return replace(
        state, reward=on_rewards(state.reward, rewards, pair, start, rules.reward, min_units=rules.min_pairs)
    )


class _Answers:
    """A state while exposures are being taken into it."""

    __slots__ = (
        "asked", "before", "dropped", "failing", "good", "latest", "mix", "pair", "quick", "rate", "rules", "seen",
        "shadows", "slow", "slow_rate", "tallies", "tau",
    )  # fmt: skip

    def __init__(self, state: EvidenceState, rules: Rules) -> None:
        self.before, self.rules, self.pair = state, rules, (state.champion, state.challenger)
        self.tallies = {state.champion: _Tally(state.counts[0]), state.challenger: _Tally(state.counts[1])}
        self.latest, self.shadows, self.dropped = state.latest, state.shadows, state.dropped
        self.failing = Arm(state.arm, state.units, state.waiting, rules.margin)
        self.tau, slow = state.slow.tau_us, state.slow
        self.slow = Arm(slow.arm, state.slow_units, slow.waiting, rules.margin)
        self.rate, self.good, self.slow_rate, self.quick = state.rate, 0, state.slow.rate, 0
        self.asked = Units(state.asked, UNITS)
        self.mix, self.seen = dict(state.mix), Units(state.seen, SEEN)

    def take(self, one: Exposure) -> None:
        """Count one closed exposure of the pair."""
        failed = one.outcome is not Outcome.OK
        if one.shadow:
            self.shadows += 1
            self.dropped += failed
            # A shadow without room was not asked: that is no fault of its. A client without an answer always counts.
            if one.outcome is Outcome.SHED:
                return
        tally = self.tallies[one.variant]
        tally.asked += 1
        tally.asked_failures += failed
        slow = self.tau is not None and (failed or one.latency_us > self.tau)
        challenger = one.variant == self.before.challenger
        if challenger:
            self.latest = max(self.latest, one.time)
        share = 0.0 if one.shadow else share_of(one.propensity, *self.pair)
        if randomised := 0 < share < 1:
            tally.requests += 1
            tally.failures += failed
        name, _, row = one.id.rpartition("/")
        unit = None if name == one.unit else short(one.unit)
        # Rows of one request are answered together, and fail together; the first one stands for all.
        if unit is None and row != "0":
            return
        if challenger and self.asked.first(unit):
            self._asked(failed, slow)
        if randomised:
            closed = one.time + one.latency_us / 1e6
            self.failing.take(unit, failed, challenger, share, one.time, closed)
            if self.tau is not None:
                self.slow.take(unit, slow, challenger, share, one.time, closed)
            if (share in self.mix or len(self.mix) < SHARES) and self.seen.first(unit):
                ours, theirs = self.mix.get(share, (0, 0))
                self.mix[share] = (ours, theirs + 1) if challenger else (ours + 1, theirs)

    def _asked(self, failed: bool, slow: bool) -> None:
        if failed:
            self.rate, self.good = on_answers(self.rate, self.good, failed=True, limit=self.rules.limit), 0
        else:
            self.good += 1
        if slow:
            self.slow_rate = on_answers(self.slow_rate, self.quick, failed=True, limit=self.rules.slow_limit)
            self.quick = 0
        elif self.tau is not None:
            self.quick += 1

    def state(self) -> EvidenceState:
        """All of it, as a state again."""
        quick = on_answers(self.slow_rate, self.quick, failed=False, limit=self.rules.slow_limit)
        return replace(
            self.before,
            arm=self.failing.arm,
            waiting=self.failing.left(),
            rate=on_answers(self.rate, self.good, failed=False, limit=self.rules.limit),
            latest=self.latest,
            units=tuple(self.failing.units.known),
            asked=tuple(self.asked.known),
            counts=(self.tallies[self.pair[0]].counts(), self.tallies[self.pair[1]].counts()),
            shadows=self.shadows,
            dropped=self.dropped,
            slow=replace(self.before.slow, arm=self.slow.arm, waiting=self.slow.left(), rate=quick),
            slow_units=tuple(self.slow.units.known),
            mix=self.mix,
            seen=tuple(self.seen.known),
        )


class _Tally:
    """Counts while they are being counted."""

    __slots__ = ("asked", "asked_failures", "failures", "labelled", "requests")

    def __init__(self, counts: Counts) -> None:
        self.requests, self.failures = counts.requests, counts.failures
        self.asked, self.asked_failures, self.labelled = counts.asked, counts.asked_failures, counts.labelled

    def counts(self) -> Counts:
        return Counts(self.requests, self.failures, self.asked, self.asked_failures, self.labelled)
