"""Means of bounded values by betting: exact at every look and any sample size, and for logged propensities.

Someone bets on each value before it is seen; if the mean is what the null says, the money has no reason to grow.
``mean_interval`` for the mean of one arm (a score, a clipped loss); ``difference_interval`` for two, from pairs or from
``scores``, which weigh each unit by the logged probability of the arm it got, so that ramps and bandits do not mislead.

Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting", JRSS-B 2024, arXiv:2010.09686;
logged propensities: Waudby-Smith, Wu, Ramdas, Karampatziakis & Mineiro, arXiv:2210.10768.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rivals.errors import DataError
from rivals.statistics.losses import Floats
from rivals.statistics.mixtures import ALPHA, crossing

STAKES = (0.05, 0.1, 0.2, 0.4, 0.7)  # of the money that one value can win or lose
CAUTION = 0.5  # the part of the money that one value may cost, at most, in a hedged bet


def scores(
    challenger: NDArray[np.bool_], outcome: Floats, share: Floats | float, expected: Floats | float = 0.0
) -> Floats:
    """One score per unit whose mean is the difference of the arms, challenger minus champion, whatever the shares were.

    psi = A (y - e) / pi - (1 - A) (y - e) / (1 - pi). ``share``: the challenger's propensity pi when the unit was
    assigned, in (0, 1), as logged. ``expected``: what y was expected to be from what was known before, such as the mean
    so far or ``adjust.expected``; the better, the smaller the variance. With y and e in [low, high] and shares within
    [floor, 1 - floor], a score is at most (high - low) / floor in size.
    """
    pi = np.asarray(share, np.float64)
    if not ((pi > 0) & (pi < 1)).all():
        raise DataError("A propensity of 0 or 1 compares nothing: leave out units that could get one arm only.")
    psi: Floats = np.where(challenger, 1 / pi, -1 / (1 - pi)) * (outcome - expected)
    return psi


def past_mean(values: Floats, first: float) -> Floats:
    """The mean of the values before each, of which the first has only ``first``; along the last axis."""
    count = np.arange(1, values.shape[-1] + 1)
    mean: Floats = (first + np.cumsum(values, -1) - values) / count
    return mean


# -- differences: fixed stakes, mixed ----------------------------------------------------------------


def log_wealth(values: Floats, bound: float, null: float = 0.0, side: int = 0) -> Floats:
    """Log evidence after each value that the mean is not ``null``; along the last axis.

    ``values``: within [-``bound``, ``bound``], in the order they came. ``side``: 1 bets on a mean above, -1 below,
    0 on both with half the money each. Proof at alpha once it was log(1 / alpha), at any time.
    """
    if side == 0:
        above, below = (log_wealth(values, bound, null, one) for one in (1, -1))
        both: Floats = np.logaddexp(above, below) - math.log(2)
        return both
    if np.size(values) and not np.abs(values).max() <= bound * (1 + 1e-12):
        raise DataError(f"A bet needs values within -{bound} and {bound}; some are not. Clip them, or raise the bound.")
    gains = np.maximum(side * (values - null) / (bound + side * null), -1.0)  # -1 at worst, whatever the null
    logs = -math.log(len(STAKES)) + np.log1p(STAKES[0] * gains).cumsum(-1)
    for stake in STAKES[1:]:
        logs = np.logaddexp(logs, np.log1p(stake * gains).cumsum(-1) - math.log(len(STAKES)))
    return logs


def difference_interval(values: Floats, bound: float, alpha: float = ALPHA) -> tuple[float, float]:
    """Interval for the mean of differences or scores within [-``bound``, ``bound``], given all looks so far: (T,)."""
    proof = math.log(2 / alpha)

    def doubt(null: float, side: int) -> float:
        return float(log_wealth(values, bound, null, side).max(initial=0.0)) - proof

    # evidence for a mean above falls as the null rises, at every moment; so halving finds where it stops to be proof
    low = crossing(lambda null: -doubt(null, 1), -bound, bound)
    high = crossing(lambda null: doubt(null, -1), -bound, bound)
    return low, high


# -- one mean: hedged, with bets that follow the variance ---------------------------------------------


def hedged_log_wealth(values: Floats, mean: float, alpha: float = ALPHA) -> Floats:
    """Log of the hedged capital against that mean after each value in [0, 1]; along the last axis.

    Half the money bets on a mean above, half on one below; the stakes follow the variance seen so far (the predictable
    plug-in, theorem 3). Proof at alpha once it was log(1 / alpha).
    """
    above, below = (_capital(values, mean, side, alpha) for side in (1, -1))
    hedged: Floats = np.maximum(above, below) - math.log(2)
    return hedged


def mean_interval(values: Floats, low: float = 0.0, high: float = 1.0, alpha: float = ALPHA) -> tuple[float, float]:
    """Interval for the mean of values within [``low``, ``high``], given all looks so far: (T,)."""
    if np.size(values) and not (low <= np.min(values) and np.max(values) <= high):
        raise DataError(f"A bounded mean needs values within {low} and {high}; some are not. Clip them, or widen it.")
    unit, proof = (np.asarray(values, np.float64) - low) / (high - low), math.log(2 / alpha)

    def doubt(mean: float, side: int) -> float:
        return float(_capital(unit, mean, side, alpha).max(initial=0.0)) - proof

    least = crossing(lambda mean: -doubt(mean, 1), 0.0, 1.0)
    most = crossing(lambda mean: doubt(mean, -1), 0.0, 1.0)
    return low + (high - low) * least, low + (high - low) * most


def _capital(values: Floats, mean: float, side: int, alpha: float) -> Floats:
    """Log capital of bets that the mean is above (side 1) or below (-1)."""
    count = np.arange(1, values.shape[-1] + 1)
    centre = (0.5 + np.cumsum(values, -1)) / (count + 1)
    squares = np.cumsum((values - centre) ** 2, -1)
    variance = (0.25 + squares - (values - centre) ** 2) / count  # of the values before
    stake = np.sqrt(2 * math.log(2 / alpha) / (variance * count * np.log1p(count)))
    worst = mean if side > 0 else 1 - mean
    stake = np.minimum(stake, CAUTION / worst) if worst > 0 else stake
    capital: Floats = np.log1p(side * stake * (values - mean)).cumsum(-1)
    return capital
