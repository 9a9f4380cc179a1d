"""Is a block (a day, an hour) still like those before it? Bets on its rank, whatever distribution blocks have.

While blocks are exchangeable, the share of those so far that are at least as large as the newest one is a fair p-value,
independent of all before it; so bets on small ones are an e-process, and their sum over all starts is an e-detector: an
alarm at ``M >= a`` comes once in ``a`` blocks on average or later. Nothing is assumed of tails or spread, and days on
which everything goes wrong belong to what is usual once there were some.

Vovk, Petej, Nouretdinov, Ahlberg, Carlsson & Gammerman, "Retrain or not retrain: conformal test martingales for
change-point detection", COPA 2021, arXiv:2102.10439.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

SHIFTS = (0.5, 1.0, 1.5, 2.0, 3.0)  # bets: as if blocks were normal, and had risen by so many standard deviations
KEPT = 120  # blocks that are remembered
LOWEST = 4.0  # standard deviations, of a block below all others
NORMAL = NormalDist()
LONGEST = 20.0  # logarithm that is carried on: what has ended is forgotten


@dataclass(frozen=True, slots=True)
class Course:
    """A series of block values: those so far, the bets on the next one's being higher, and when their rise began."""

    past: tuple[float, ...] = ()
    logs: tuple[float, ...] = ()
    rise: float = 0.0
    began: float | None = None

    @property
    def log_e(self) -> float:
        """Logarithm of M, over all bets; 0 before the first block."""
        if not self.logs:
            return 0.0
        top = max(self.logs)
        return max(0.0, top + math.log(math.fsum(math.exp(log - top) for log in self.logs) / len(self.logs)))


def step(course: Course, value: float, time: float, tolerance: float = 0.0) -> Course:
    """The next block, which ended at ``time``; a rise of up to ``tolerance`` above the past is none."""
    past = np.array(course.past)
    p = (1 + int((past >= value - tolerance).sum())) / (1 + len(past))
    normal = NORMAL.inv_cdf(1 - p) if p < 1 else -LOWEST  # where such a rank lies, were blocks normal
    gains = [shift * normal - shift * shift / 2 for shift in SHIFTS]
    logs = course.logs or (-math.inf,) * len(SHIFTS)
    grown = tuple(min(float(np.logaddexp(log, 0.0)) + gain, LONGEST) for log, gain in zip(logs, gains, strict=True))
    middle = gains[1]
    rise = max(0.0, min(course.rise + middle, LONGEST))
    began = (course.began if course.rise > 0 else time) if rise > 0 else None
    return Course((*course.past[-KEPT + 1 :], value), grown, rise, began)
