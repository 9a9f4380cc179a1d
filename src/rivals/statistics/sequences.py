"""Confidence sequences in closed form: intervals that hold at every look, for a rate and for a mean without bounds.

Means of bounded values, and differences, are in ``betting``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rivals.errors import DataError
from rivals.statistics.losses import Floats
from rivals.statistics.mixtures import ALPHA, best_rho, beta_binomial, crossing

UNITS = 100  # per arm, before an asymptotic interval says anything
EVENTS = 25  # per arm; 22 % false alarms without, 1 % with (10 % canary, 1 % of events)


def rate_interval(events: int, units: int, planned: float = 1_000, alpha: float = ALPHA) -> tuple[float, float]:
    """Interval for one arm's rate of events, narrowest at ``planned`` units; exact at any size and any look.

    The two-sided beta-binomial mixture, inverted: Howard et al., arXiv:1810.08240, proposition 7. Holds for the mean of
    any values in [0, 1] of which ``events`` is the sum.
    """
    if not 0 <= events <= units:
        raise DataError(f"A rate needs 0 <= events <= units; got {events} events of {units} units.")
    if not units:
        return 0.0, 1.0
    rate, proof = events / units, math.log(1 / alpha)

    def doubt(p: float) -> float:
        variance = p * (1 - p)
        return beta_binomial(planned * variance, p, 1 - p, alpha)(events - p * units, units * variance) - proof

    low = crossing(lambda p: -doubt(p), 0.0, rate) if events else 0.0
    high = crossing(doubt, rate, 1.0) if events < units else 1.0
    return low, high


def asymptotic_radius(deviation: Floats | float, units: Floats | float, planned: float, alpha: float = ALPHA) -> Floats:
    """Half the width of an asymptotic confidence sequence: of a mean of ``units`` scores with that standard deviation.

    ``planned``: units at which it is narrowest, there 1.55 times as wide as an interval that is looked at once.
    Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, Ann. Statist. 2024, arXiv:2103.06476.
    """
    time, rho = np.asarray(units, np.float64), best_rho(planned, alpha)
    radius: Floats = np.asarray(deviation) * np.sqrt((time + rho) * (np.log1p(time / rho) - 2 * math.log(alpha))) / time
    return radius


def asymptotic_sequence(
    scores: Floats, units: Sequence[Floats], events: Sequence[Floats], planned: float, alpha: float = ALPHA
) -> tuple[Floats, Floats]:
    """Lower and upper bound of the mean score after each unit; infinite where it is too early to say anything.

    ``scores``: (..., units) as ``betting.scores`` makes them. ``units`` and ``events``: per arm, how many there are so
    far, in the same shape. It speaks only once every arm has 100 units and 25 events, an event being whatever is rare:
    a failure, a purchase. The rule must not wait for it: use ``eprocess.FailureArm`` for rare ones. Values with heavy
    tails should be shown winsorised beside it, ``np.clip`` at a limit fixed beforehand. Paper: see the radius.
    """
    count = np.arange(1, scores.shape[-1] + 1)
    mean = np.cumsum(scores, -1) / count
    square = np.maximum(np.cumsum(scores * scores, -1) / count - mean**2, 0.0)
    early = np.zeros(scores.shape, bool)
    for arm, seen in zip(units, events, strict=True):
        early |= (np.asarray(arm) < UNITS) | (np.asarray(seen) < EVENTS)
    radius = np.where(early, np.inf, asymptotic_radius(np.sqrt(square), count, planned, alpha))
    return mean - radius, mean + radius
