"""ADWIN: a window of a mean that grows while nothing changes, and lets go of its past where that differs.

The window is kept as buckets whose sizes double (an exponential histogram), so that n values take O(log n) memory.
Every ``CLOCK`` values, each boundary between buckets is asked whether the means on its two sides differ by more than
chance; here the answer is not yes or no at one confidence, but the logarithm of 1 / delta at which it would just be
yes, so that whoever shares an alarm budget may decide.

Bifet & Gavaldà, "Learning from time-changing data with adaptive windowing", SDM 2007: the cut of section 4, with the
variance of the window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rivals.statistics.losses import Floats

CLOCK = 32  # values in the smallest bucket, and between two looks
OFTEN, RARELY = 4_096, 8  # values for which a window is asked one clock later, and clocks at most
EACH = 5  # buckets of one size, before the two oldest become one
LEAST = 2  # buckets that can differ
Bucket = tuple[int, float, float]  # how many values, their sum, the sum of their squares


@dataclass(frozen=True, slots=True)
class Adwin:
    """The window: buckets from the oldest to the newest, and values that do not fill one yet."""

    buckets: tuple[Bucket, ...] = ()
    waiting: tuple[float, ...] = ()

    @property
    def rows(self) -> int:
        """How many values it holds."""
        return sum(one[0] for one in self.buckets) + len(self.waiting)

    @property
    def mean(self) -> float:
        """Their mean; NaN where there are none."""
        rows, total = self.rows, math.fsum(one[1] for one in self.buckets) + math.fsum(self.waiting)
        return total / rows if rows else math.nan


@dataclass(frozen=True, slots=True)
class Seen:
    """The strongest cut of some values: the logarithm of 1 / delta; the value at which it was seen, and its age then.

    ``shift``: how much the newer side's mean is higher.
    """

    log: float = 0.0
    at: int = 0
    age: int = 0
    shift: float = 0.0
    cuts: int = 0  # how often the window let go of its past


def advance(state: Adwin, values: Floats, delta: float = 0.002) -> tuple[Adwin, Seen]:
    """Take in values in [0, 1]; the window is cut where the past differs at confidence ``delta``."""
    whole = np.concatenate([np.array(state.waiting), values]) if state.waiting else np.asarray(values, np.float64)
    many = len(whole) // CLOCK
    blocks = whole[: many * CLOCK].reshape(many, CLOCK)
    sums, squares = blocks.sum(axis=1).tolist(), (blocks * blocks).sum(axis=1).tolist()
    buckets, seen, cuts = list(state.buckets), Seen(), 0
    rows = sum(one[0] for one in buckets)
    for block in range(many):
        buckets.append((CLOCK, sums[block], squares[block]))
        _compress(buckets)
        rows += CLOCK
        if block % min(RARELY, 1 + rows // OFTEN):  # a long window can wait a little for its next look
            continue
        while len(buckets) >= LEAST:
            log, age, shift = _strongest(buckets)
            if log > seen.log:
                at = (block + 1) * CLOCK - len(state.waiting) - 1
                seen = Seen(log, at, age, shift)
            if log < -math.log(delta):
                break
            rows -= buckets.pop(0)[0]
            cuts += 1
    after = Adwin(tuple(buckets), tuple(whole[many * CLOCK :].tolist()))
    return after, Seen(seen.log, seen.at, seen.age, seen.shift, cuts)


def _compress(buckets: list[Bucket]) -> None:
    """Make one of the two oldest buckets of a size that there are too many of."""
    end, size = len(buckets), CLOCK
    while True:
        start = end
        while start and buckets[start - 1][0] == size:
            start -= 1
        if end - start <= EACH:
            return
        one, other = buckets[start], buckets[start + 1]
        buckets[start : start + 2] = [(2 * size, one[1] + other[1], one[2] + other[2])]
        end, size = start + 1, 2 * size


def _strongest(buckets: list[Bucket]) -> tuple[float, int, float]:
    """The cut whose sides differ most for their sizes: log of 1 / delta, values after it, the difference."""
    table = np.array(buckets).cumsum(axis=0)
    rows, total, square = table[-1].tolist()
    variance = max(square / rows - (total / rows) ** 2, 0.0)
    before, sums = table[:-1, 0], table[:-1, 1]
    after = rows - before
    shift = (total - sums) / after - sums / before
    size = before * after / rows  # the harmonic mean of the sides, halved as the paper has it
    # |shift| = sqrt(2 v x / m) + 2 x / (3 m), solved for x = ln(2 ln(n) / delta)
    linear, root = 2 / (3 * size), np.sqrt(2 * variance / size)
    x = ((np.sqrt(root * root + 4 * linear * np.abs(shift)) - root) / (2 * linear)) ** 2
    best = int(x.argmax())
    return float(x[best]) - math.log(2 * math.log(rows)), int(after[best]), float(shift[best])
