"""Quantiles that may be watched: an interval for one arm's, and whether two arms have the same.

A latency is judged by how often it passes its agreed limit (``eprocess.FailureArm``); this is how it is reported.
Howard & Ramdas, "Sequential estimation of quantiles with applications to A/B testing", Bernoulli 2022,
arXiv:1906.09712: theorem 3 (double stitching) and theorem 5 (the A/B test). No SciPy here.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rivals.errors import DataError
from rivals.statistics.losses import Floats
from rivals.statistics.mixtures import ALPHA, EPOCH, PACE, best_rho, beta_binomial, zeta

GRID = 0.5  # fineness of the grid of quantiles, in log odds
GOLDEN = (math.sqrt(5) - 1) / 2
SHRINKS = 60


def double_stitching(quantile: float, units: float, planned: float, alpha: float = ALPHA) -> float:
    """By how many units an empirical distribution may stray above ``quantile``, at any time and any quantile.

    ``planned``: the number of units from which on it is narrow.
    """
    _refuse(quantile)
    most = max(units, planned)
    odds = math.log(quantile / (1 - quantile))
    near = quantile
    if quantile < 1 / 2:
        near = min(1 / 2, 1 / (1 + math.exp(-odds - 2 * GRID * math.sqrt(planned * EPOCH / most))))
    variance, all_epochs = near * (1 - near), zeta(PACE)
    place = math.sqrt(most / planned) * abs(odds) / (2 * GRID) + 1
    doubt = PACE * (math.log(math.log(EPOCH * most / planned)) + math.log(place))
    doubt += math.log(2 * all_epochs * (2 * all_epochs + 1) / (alpha * math.log(EPOCH) ** PACE))
    spread = (EPOCH**0.25 + EPOCH**-0.25) / math.sqrt(2)
    tail = (math.sqrt(EPOCH) + 1) / 2 * (1 - 2 * quantile) / 3 * doubt
    grid = GRID * math.sqrt(EPOCH * most * variance / planned)
    return grid + math.sqrt(spread**2 * variance * most * doubt + tail**2) + tail


def quantile_interval(
    values: Floats, quantile: float, planned: float = 100, alpha: float = ALPHA
) -> tuple[float, float]:
    """Interval for one arm's quantile, in the values' unit; at all times and for all quantiles at once, 1 - alpha.

    A side that the values do not reach yet is infinite.
    """
    ordered, units = np.sort(values), len(values)
    low = math.floor(units * quantile - double_stitching(1 - quantile, max(units, 1), planned, alpha))
    high = math.ceil(units * quantile + double_stitching(quantile, max(units, 1), planned, alpha)) - 1
    return (
        float(ordered[low]) if 0 <= low < units else -math.inf,
        float(ordered[high]) if 0 <= high < units else math.inf,
    )


def quantile_p_value(
    champion: Floats, challenger: Floats, quantile: float, planned: float = 100, alpha: float = ALPHA
) -> float:
    """Two-sided p-value that two arms share a quantile; it may be looked at any time.

    ``champion``, ``challenger``: the values so far, in any order and of any lengths. ``planned``: units per arm at
    which the test is sharpest, for proof at ``alpha``. For any value the two could share, each arm's share of values
    below it is evidence against it; the value with the least evidence counts. Raises ``DataError`` on NaN or a quantile
    outside (0, 1).
    """
    _refuse(quantile)
    if not len(champion) or not len(challenger):
        return 1.0
    candidates = np.union1d(champion, challenger)
    if np.isnan(candidates).any():
        raise DataError(
            "A quantile needs values that can be ordered; some are NaN. Leave them out or count them apart."
        )
    total = sum(_evidence(np.sort(arm), candidates, quantile, planned, alpha) for arm in (champion, challenger))
    return float(min(1.0, math.exp(-min(np.min(total), 700.0))))


def _evidence(ordered: Floats, candidates: Floats, quantile: float, planned: float, alpha: float) -> Floats:
    """Log evidence of one arm against each candidate being its quantile, by the kindest share below it."""
    units = len(ordered)
    table = _table(units, quantile, planned, alpha)
    kindest, least = _least(units, quantile, planned, alpha)
    below = np.searchsorted(ordered, candidates, "left")
    upto = np.searchsorted(ordered, candidates, "right")
    return np.where(upto < kindest, table[upto], np.where(below > kindest, table[below], least))


def _table(units: int, quantile: float, planned: float, alpha: float) -> Floats:
    """Log evidence of the two-sided beta-binomial mixture, had 0, 1, ... of the units been below: (units + 1,)."""
    # the beta functions of neighbouring counts differ by a factor, so that one sum of logarithms gives them all
    v = quantile * (1 - quantile)
    r = max(best_rho(planned * v, alpha) - v, 1e-3 * v)
    above, under = r / quantile, r / (1 - quantile)
    steps: NDArray[np.int64] = np.arange(units)

    def rising(start: float) -> Floats:
        return np.concatenate(([0.0], np.cumsum(np.log(start + steps))))

    counts = np.arange(units + 1)
    likely = counts * math.log(quantile) + (units - counts) * math.log1p(-quantile)
    together = math.lgamma(above + under + units) - math.lgamma(above + under)
    return rising(under) + rising(above)[::-1] - together - likely


def _least(units: int, quantile: float, planned: float, alpha: float) -> tuple[float, float]:
    """The count below, any real number, that is the least evidence; and that evidence. By golden section."""
    v = quantile * (1 - quantile)
    mixture = beta_binomial(planned * v, quantile, 1 - quantile, alpha)
    low, high = 0.0, float(units)
    for _ in range(SHRINKS):
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        if mixture(left - quantile * units, v * units) < mixture(right - quantile * units, v * units):
            high = right
        else:
            low = left
    kindest = (low + high) / 2
    return kindest, mixture(kindest - quantile * units, v * units)


def _refuse(quantile: float) -> None:
    if not 0 < quantile < 1:
        raise DataError(f"A quantile lies between 0 and 1, not {quantile}: the 99th percentile is 0.99.")
