"""Evidence beside failures and quality overall: latency, declared slices, reward, and the split itself. Pure.

Each state is frozen and bounded: what it holds does not grow with traffic.

=====================================  ==========================================================================
``log_e["latency.harm"]``              the challenger is slow more often than the champion
``["latency.noninferior"]``            it is slow less than (1 + margin) times as often
``["latency.under_limit"]``            it is slow less often than the limit
``["slices.worse/<slice>"]``           its loss is higher on the rows of that slice
``["slices.noninferior/<slice>"]``     its loss there is not higher by the slice margin or more
``["reward.better" | "reward.worse"]`` units assigned to it bring more, or less
``["reward.noninferior"]``             they do not bring less by the margin or more
``["ratio.mismatch"]``                 units do not fall on the two as promised, as things are now
``estimates["latency.tau_ms"]``        what is called slow, stated when the rollout began
``["slices.values"]``                  slices that share alpha
``["slices.share/<slice>"]``           of the labelled pairs, and ``["slices.difference/<slice>"]`` there
``["reward.difference"]``              mean reward, challenger minus champion, in the reward's own units
=====================================  ==========================================================================
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from rivals.observe.arm import Waiting
from rivals.observe.outcomes import by_unit
from rivals.statistics.eprocess import BlockBets, FailureArm, RateLimit, on_block
from rivals.statistics.ratio import srm_log_e
from rivals.values import Pair, Rewarded

Floats = NDArray[np.float64]

VALUES = 32  # slices bet on; what else there is falls into one called "(other)"
SHARES = 64  # different shares of the challenger whose units are counted
OTHER = "(other)"


# -- latency -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Slow:
    """Who is slow: which of the two the slow answers to clients come from, and how often the challenger is."""

    tau_us: float | None = None  # slower than this is slow; stated before the rollout, or nothing is
    arm: FailureArm = field(default_factory=FailureArm)
    waiting: tuple[Waiting, ...] = ()
    rate: RateLimit = field(default_factory=RateLimit)

    def found(self) -> dict[str, float]:
        """Log e-values; none where nothing is called slow."""
        if self.tau_us is None:
            return {}
        return {
            "latency.harm": self.arm.harm.highest,
            "latency.noninferior": self.arm.noninferior.highest,
            "latency.under_limit": self.rate.under,
        }


# -- declared slices -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SliceBets:
    """One slice: bets by block, and rows that wait until there are enough of them for a bet."""

    bets: BlockBets = field(default_factory=BlockBets)
    waiting: int = 0
    pending: float = 0.0  # summed difference of those
    rows: int = 0
    loss: float = 0.0  # summed difference over all rows


def on_slices(
    slices: Mapping[str, SliceBets], pairs: Sequence[Pair], each: Floats, margin: float, min_pairs: int
) -> dict[str, SliceBets]:
    """Settle one bet per slice on a block's loss differences ``each`` (n,), one for each pair.

    Which slices there are is settled by the first block that has any, before a bet on them: the ``VALUES`` most
    frequent, and "(other)". A slice with few rows saves them up for a block in which there are ``min_pairs``.
    """
    rows: dict[str, list[float]] = {}
    for pair, one in zip(pairs, each.tolist(), strict=True):
        for name in pair.slices:
            rows.setdefault(name, []).append(one)
    if not rows:
        return dict(slices)
    known = dict(slices) or _chosen({name: len(few) for name, few in rows.items()})
    gathered: dict[str, list[float]] = {}
    for name, few in rows.items():
        gathered.setdefault(name if name in known else OTHER, []).extend(few)
    return {name: _on_rows(one, gathered.get(name, []), margin, min_pairs) for name, one in known.items()}


def _chosen(counts: Mapping[str, int]) -> dict[str, SliceBets]:
    most = sorted(counts, key=lambda name: (-counts[name], name))[:VALUES]
    return {name: SliceBets() for name in (*most, OTHER)}


def _on_rows(one: SliceBets, few: Sequence[float], margin: float, min_pairs: int) -> SliceBets:
    total = math.fsum(few)
    waiting, pending = one.waiting + len(few), math.fsum((one.pending, total))
    one = replace(one, rows=one.rows + len(few), loss=math.fsum((one.loss, total)))
    if waiting < max(1, min_pairs):
        return replace(one, waiting=waiting, pending=pending)
    return replace(one, bets=on_block(one.bets, pending / waiting, margin), waiting=0, pending=0.0)


def slices_found(slices: Mapping[str, SliceBets], labelled: int) -> tuple[dict[str, float], dict[str, float]]:
    """Log e-values and estimates of every slice that has rows."""
    log_e, estimates = dict[str, float](), {"slices.values": float(len(slices))} if slices else {}
    for name, one in slices.items():
        if one.rows:
            log_e[f"slices.worse/{name}"] = one.bets.worse.highest
            log_e[f"slices.noninferior/{name}"] = one.bets.noninferior.highest
            estimates[f"slices.share/{name}"] = one.rows / max(1, labelled)
            estimates[f"slices.difference/{name}"] = one.loss / one.rows
    return log_e, estimates


# -- reward --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RewardRules:
    """The range that rewards are declared to lie in, and the loss of mean reward that is acceptable, in its units."""

    low: float = 0.0
    high: float = 1.0
    margin: float = 0.02


@dataclass(frozen=True, slots=True)
class RewardBets:
    """Bets on what units brought, by the arm they were assigned to; one per block."""

    bets: BlockBets = field(default_factory=BlockBets)
    units: int = 0
    total: float = 0.0  # of the rewards, scaled to [0, 1]
    weight: float = 0.0
    effect: float = 0.0  # summed estimate of the difference, by weight
    span: float = 0.0  # of the declared range; 0 where no reward came yet


def on_rewards(
    state: RewardBets,
    rewards: Sequence[Rewarded],
    pair: tuple[str, str],
    start: float,
    rules: RewardRules,
    *,
    min_units: int = 1,
) -> RewardBets:
    """Settle one bet on the units that were first met in the block that begins at ``start``.

    ``rewards`` may reach back to the beginning of the rollout, so that a unit that comes back is not counted again
    (trap 1). A block's estimate is the mean of (y - m) (A - p) / (p (1 - p)) over its units: y the reward scaled to
    [0, 1] and clipped there, A whether the unit is the challenger's, p the share it was assigned with, m the mean
    reward of the blocks before. It is weighed by the root of the sum of p (1 - p): what is known of a block from its
    routing alone. Inverse propensity betting: arXiv:2210.10768.
    """
    units = [one for one in by_unit(rewards) if one.time >= start]
    shares = [share_of(one.propensity, *pair) for one in units]
    kept = [(one, p) for one, p in zip(units, shares, strict=True) if 0 < p < 1 and math.isfinite(one.reward)]
    if len(kept) < max(1, min_units):
        return state
    span = rules.high - rules.low
    y = np.array([min(1.0, max(0.0, (one.reward - rules.low) / span)) for one, _ in kept])
    p = np.array([share for _, share in kept])
    arm = np.array([one.variant == pair[1] for one, _ in kept], np.float64)
    usual = state.total / state.units if state.units else 0.5
    effect = math.fsum((y - usual) * (arm - p) / (p * (1 - p))) / len(y)
    weight = math.sqrt(math.fsum(p * (1 - p)))
    return RewardBets(
        bets=on_block(state.bets, -effect * weight, rules.margin / span * weight),
        units=state.units + len(y),
        total=state.total + math.fsum(y),
        weight=state.weight + weight**2,
        effect=state.effect + effect * weight**2,
        span=span,
    )


def reward_found(state: RewardBets) -> tuple[dict[str, float], dict[str, float]]:
    """Log e-values and estimates; none where no reward came yet."""
    if not state.units:
        return {}, {}
    log_e = {
        "reward.better": state.bets.better.highest,
        "reward.worse": state.bets.worse.highest,
        "reward.noninferior": state.bets.noninferior.highest,
    }
    estimates = {"reward.units": float(state.units), "reward.blocks": float(state.bets.blocks)}
    estimates["reward.difference"] = state.effect / state.weight * state.span
    return log_e, estimates


# -- the split itself ----------------------------------------------------------------------------------

Mix = Mapping[float, tuple[int, int]]  # the challenger's share when it was routed -> units of champion, challenger


def mismatch(mix: Mix) -> float:
    """Log e-value against "units fall on the two as promised", over all shares there were; they multiply."""
    return math.fsum(srm_log_e(counts, (1 - share, share)) for share, counts in sorted(mix.items()))


def share_of(propensity: Mapping[str, float], champion: str, challenger: str) -> float:
    """The challenger's share among the two when a request was routed; 0 or 1: not randomised between them."""
    theirs, ours = propensity.get(challenger, 0.0), propensity.get(champion, 0.0)
    return theirs / (theirs + ours) if theirs + ours > 0 else 0.0
