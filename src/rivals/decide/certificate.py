"""Are the error rates what they are said to be? The failure-arm evidence of simulated rollouts, looked at all the time.

Evidence is settled at failures, so a look at every failure is a look at every request. Only failures are drawn, and how
many requests that did not fail lie between two of them, which is all that the evidence depends on. The bets are those
of rollouts, in the form that takes many at once (``statistics.fleet``); ``flows.certify`` retraces some of them through
the evidence and the judge themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rivals.statistics.fleet import Events, Mask, fleet

BASES, SHARES = (0.5, 0.1, 0.01, 0.001), (0.5, 0.1, 0.01)
STEPS = (0.01, 0.05, 0.25, 0.5)
LONGER = 1.9  # times the fixed-horizon sample
ONE_SIDED, POWERED = 1.6449, 0.8416  # normal quantiles of 5 % and 80 %
ALPHA, MARGIN = 0.05, 0.5
PROOF = math.log(1 / ALPHA)
BOUND = 0.061  # of 2,000 rollouts at a true rate of 5 %, 99 % of certificates stay under it
STRAY = 2.33  # the same in standard errors, for fewer rollouts
POWER, ENOUGH = 0.8, 2_000  # observed power asked, of so many rollouts
RIGHT = 0.99  # of the decisions on a challenger twice as bad, over a ramp
AT_ONCE = 2_000_000  # failures drawn in one go


@dataclass(frozen=True, slots=True)
class Segment:
    """So many requests at one base failure rate, with one share for the challenger."""

    requests: int
    base: float
    share: float


@dataclass(frozen=True, slots=True)
class Traffic:
    """One kind of it, and how many times as often a challenger fails in it, whose harm is to be found."""

    name: str
    ratio: float
    segments: Sequence[Segment]


@dataclass(frozen=True, slots=True)
class Cell:
    """What came of the rollouts under one kind of traffic: shares of them."""

    traffic: str
    requests: int
    ratio: float
    false_rollback: float  # of equals
    false_promotion: float  # of a challenger exactly at the margin
    power: float  # harm found
    right: float  # of those that were decided, with harm: not for the challenger


def faults(cell: Cell, rollouts: int) -> list[str]:
    """What a cell of so many rollouts is not within; nothing, mostly."""
    found = []
    if cell.false_rollback > allowed(rollouts):
        found.append(f"{cell.traffic}: {cell.false_rollback:.1%} of equals are rolled back")
    if cell.false_promotion > allowed(rollouts):
        found.append(f"{cell.traffic}: {cell.false_promotion:.1%} are promoted at the margin")
    if cell.power < needed(rollouts):
        found.append(f"{cell.traffic}: harm is found in {cell.power:.1%}")
    if cell.traffic.startswith("ramp") and cell.right < RIGHT:
        found.append(f"{cell.traffic}: {cell.right:.1%} of the decisions are right")
    return found


def cells() -> list[Traffic]:
    """Every base rate and split at 1.9 times the fixed-horizon sample, steady and in a daily cycle; then ramps."""
    found = list[Traffic]()
    for base in BASES:
        ratio = 1.2 if base > 1 / 3 else 2.0  # no rate doubles past one half
        for share in SHARES:
            requests = int(LONGER * fixed_horizon(base, ratio, share))
            name = f"base {base:g}, split {share:.0%}"
            found.append(Traffic(name, ratio, [Segment(requests, base, share)]))
            found.append(Traffic(f"{name}, daily", ratio, _day(requests, base, share)))
    for name, rates in (("falling", (0.04, 0.03, 0.02, 0.01)), ("rising", (0.01, 0.02, 0.03, 0.04))):
        ramp = [Segment(10_000, base, share) for base, share in zip(rates, STEPS, strict=True)]
        found.append(Traffic(f"ramp 1-50%, {name} base", 2.0, ramp))
    return found


def _day(requests: int, base: float, share: float) -> list[Segment]:
    """The same over two days: failures and traffic come in waves, and one hour in six is a burst of ten."""
    swing = 0.25 if base > 1 / 3 else 1.2  # a rate stays below one at the margin
    hours = np.arange(12)
    wave = np.exp(swing * np.sin(2 * np.pi * hours / 6))
    load = np.exp(np.cos(2 * np.pi * hours / 6)) * np.where(hours % 6 == 1, 10, 1)
    rates = base * wave / np.average(wave, weights=load)
    counts = np.diff(np.round(requests * np.cumsum(load) / load.sum()).astype(int), prepend=0)
    return [Segment(int(count), float(rate), share) for count, rate in zip(counts, rates, strict=True)]


def certify_traffic(traffic: Traffic, rollouts: int, rng: np.random.Generator) -> Cell:
    """Simulate equals, a challenger at the margin, and one that does harm."""

    def met(ratio: float) -> tuple[Mask, Mask]:
        ends = [fleet(events, MARGIN) for events in drawn(traffic.segments, ratio, rollouts, rng)]
        harm, fine = ([getattr(one, name)[:, -1] >= PROOF for one in ends] for name in ("harm", "noninferior"))
        return np.concatenate(harm), np.concatenate(fine)

    harmed, promoted = met(traffic.ratio)
    decided = harmed | promoted
    return Cell(
        traffic.name,
        sum(one.requests for one in traffic.segments),
        traffic.ratio,
        false_rollback=float(met(1.0)[0].mean()),
        false_promotion=float(met(1 + MARGIN)[1].mean()),
        power=float(harmed.mean()),
        right=float(harmed[decided].mean()) if decided.any() else math.nan,
    )


def drawn(segments: Sequence[Segment], ratio: float, rollouts: int, rng: np.random.Generator) -> Iterator[Events]:
    """So many rollouts with a challenger that fails ``ratio`` times as often, some at a time."""
    wide = sum(_widest(one, ratio) for one in segments)
    for at in range(0, rollouts, max(1, AT_ONCE // wide)):
        many = min(max(1, AT_ONCE // wide), rollouts - at)
        parts: list[Events] = []
        for one in segments:
            part = _segment(one, ratio, many, rng)
            if parts and parts[-1].share[0, 0] == one.share:
                _join(parts[-1], part)
            parts.append(part)
        # What comes after the last failure waits for the next one, which does not come.
        rows, last = np.arange(many), parts[-1].failed.sum(axis=1)
        parts[-1].good[rows, last] = parts[-1].ours[rows, last] = 0
        yield Events(*(np.concatenate([getattr(part, name) for part in parts], axis=1) for name in Events.__slots__))


def _widest(segment: Segment, ratio: float) -> int:
    """More failures than a segment ever has, and its end: six standard deviations."""
    mean = segment.requests * segment.base * (segment.share * ratio + 1 - segment.share)
    return int(mean + 6 * math.sqrt(mean) + 10)


def _segment(segment: Segment, ratio: float, many: int, rng: np.random.Generator) -> Events:
    """Good requests before a failure are geometric in number; a segment ends with those after its last failure."""
    share, worse = segment.share, segment.base * ratio
    rate = share * worse + (1 - share) * segment.base
    good = rng.geometric(rate, (many, _widest(segment, ratio))) - 1
    ends = np.cumsum(good + 1, axis=1)
    failed = ends <= segment.requests
    failed[:, -1] = False
    rows, last = np.arange(many), failed.sum(axis=1)
    good = np.where(failed, good, 0)
    good[rows, last] = segment.requests - np.where(last > 0, ends[rows, last - 1], 0)
    ours = rng.binomial(good, share * (1 - worse) / (1 - rate))
    hers = failed & (rng.random(failed.shape) < share * worse / rate)
    return Events(failed, hers, np.full(failed.shape, share), good - ours, ours)


def _join(one: Events, other: Events) -> None:
    """Where the split stays as it is, the good requests after the last failure wait for the next one."""
    rows, last = np.arange(len(one.failed)), one.failed.sum(axis=1)
    for ends, begins in ((one.good, other.good), (one.ours, other.ours)):
        begins[:, 0] += ends[rows, last]
        ends[rows, last] = 0


def fixed_horizon(base: float, ratio: float, share: float) -> int:
    """Requests of both together at which a one-sided 5 % test of two proportions finds the ratio in 80 % of cases."""
    worse = base * ratio
    spread = worse * (1 - worse) / share + base * (1 - base) / (1 - share)
    return math.ceil((ONE_SIDED + POWERED) ** 2 * spread / (worse - base) ** 2)


def allowed(rollouts: int) -> float:
    """What may be observed at a true rate of 5 %, in all but one of a hundred cells: 6.1 % of 2,000 rollouts."""
    return max(BOUND, ALPHA + STRAY * math.sqrt(ALPHA * (1 - ALPHA) / rollouts))


def needed(rollouts: int) -> float:
    """Power that must be observed: 80 % of 2,000 rollouts; of fewer, what a true 80 % stays above as often."""
    return POWER if rollouts >= ENOUGH else POWER - STRAY * math.sqrt(POWER * (1 - POWER) / rollouts)
