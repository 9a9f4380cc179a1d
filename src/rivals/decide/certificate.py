"""Are the error rates what they are said to be? The failure-arm evidence of simulated rollouts, looked at all the time.

Between two failures the evidence does not move, so a look at every failure is a look at every request. Whose failures
are, and how many there are, is drawn as it falls in the requests themselves: of each segment a binomial count, each of
them the challenger's with pi r / (pi r + 1 - pi).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rivals.statistics.fleet import fleet

BASES, SHARES = (0.5, 0.1, 0.01, 0.001), (0.5, 0.1, 0.01)
LONGER = 1.9  # times the fixed-horizon sample
ONE_SIDED, POWERED = 1.6449, 0.8416  # normal quantiles of 5 % and 80 %


@dataclass(frozen=True, slots=True)
class Segment:
    """So many requests at one base failure rate, with one share for the challenger."""

    requests: int
    base: float
    share: float


@dataclass(frozen=True, slots=True)
class Cell:
    """What came of the rollouts under one kind of traffic: shares of them."""

    traffic: str
    requests: int
    ratio: float  # of the failure rates, where harm was to be found
    false_rollback: float  # of equals
    false_promotion: float  # of a challenger exactly at the margin
    power: float  # harm found
    right: float  # of those that were decided, with harm: not for the challenger


def failures(
    segments: Sequence[Segment], ratio: float, rollouts: int, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.int64]]:
    """Whose each failure was and its share then, (rollouts, failures), and how many there were in each."""
    drawn = [rng.binomial(one.requests, one.base * (one.share * ratio + 1 - one.share), rollouts) for one in segments]
    count = np.sum(drawn, axis=0)
    column, at = np.arange(max(1, int(count.max()))), np.zeros(rollouts, np.int64)
    challenger = np.zeros((rollouts, len(column)), bool)
    share = np.full(challenger.shape, 0.5)
    for one, many in zip(segments, drawn, strict=True):
        here = (column >= at[:, None]) & (column < (at + many)[:, None])
        share[here] = one.share
        challenger[here] = rng.random(int(here.sum())) < one.share * ratio / (one.share * ratio + 1 - one.share)
        at += many
    return challenger, share, count


def certify_traffic(
    name: str,
    segments: Sequence[Segment],
    ratio: float,
    rollouts: int,
    rng: np.random.Generator,
    *,
    alpha: float = 0.05,
    margin: float = 0.5,
) -> Cell:
    """Simulate equals, a challenger at the margin, and one that fails ``ratio`` times as often."""
    level = math.log(1 / alpha)

    def met(of: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        challenger, share, count = failures(segments, of, rollouts, rng)
        found = fleet(challenger, share, margin, count)
        return found.harm[:, -1] >= level, found.noninferior[:, -1] >= level

    harmed, promoted = met(ratio)
    decided = harmed | promoted
    return Cell(
        name,
        sum(one.requests for one in segments),
        ratio,
        false_rollback=float(met(1.0)[0].mean()),
        false_promotion=float(met(1 + margin)[1].mean()),
        power=float(harmed.mean()),
        right=float(harmed[decided].mean()) if decided.any() else math.nan,
    )


def certificate(rollouts: int, rng: np.random.Generator) -> list[Cell]:
    """Every base rate and split at 1.9 times the fixed-horizon sample, then ramps and a daily cycle."""
    cells = []
    for base in BASES:
        ratio = 1.2 if base > 1 / 3 else 2.0  # no rate doubles past one half
        for share in SHARES:
            segment = Segment(int(LONGER * fixed_horizon(base, ratio, share)), base, share)
            cells.append(certify_traffic(f"base {base:g}, split {share:.0%}", [segment], ratio, rollouts, rng))
    steps = (0.01, 0.05, 0.25, 0.5)
    for name, rates in (("falling", (0.04, 0.03, 0.02, 0.01)), ("rising", (0.01, 0.02, 0.03, 0.04))):
        ramp = [Segment(10_000, base, share) for base, share in zip(rates, steps, strict=True)]
        cells.append(certify_traffic(f"ramp 1-50%, {name} base", ramp, 2.0, rollouts, rng))
    hours = [Segment(1_250, 0.01 * math.exp(1.2 * math.sin(2 * math.pi * hour / 24)), 0.1) for hour in range(48)]
    cells.append(certify_traffic("daily cycle x0.3-3.3, split 10%", hours, 2.0, rollouts, rng))
    return cells


def fixed_horizon(base: float, ratio: float, share: float) -> int:
    """Requests of both together at which a one-sided 5 % test of two proportions finds the ratio in 80 % of cases."""
    worse = base * ratio
    spread = worse * (1 - worse) / share + base * (1 - base) / (1 - share)
    return math.ceil((ONE_SIDED + POWERED) ** 2 * spread / (worse - base) ** 2)
