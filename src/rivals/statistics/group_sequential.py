"""Looks planned in advance: boundaries for a test that may stop at a few of them, where its full length is known.

More powerful than an e-process if the length is kept; worth nothing if looks are added. Boundaries are for the
absolute value of the z statistic at each look and are computed, by integrating the density of the score from look to
look (Armitage, McPherson & Rowe, JRSS-A 1969), not tabulated. Jennison & Turnbull, Group Sequential Methods (1999).
No SciPy here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from statistics import NormalDist

import numpy as np

from rivals.errors import DataError
from rivals.statistics.incomplete import log_beta_i
from rivals.statistics.losses import Floats
from rivals.statistics.mixtures import ALPHA, crossing

NORMAL = NormalDist()
LARGEST = 12.0  # z
LEAST = -600.0  # logarithm of a p-value beyond which z is the largest
NODES = 24  # of the integral, at least
_erf = np.vectorize(math.erf, otypes=[np.float64])


def pocock(looks: int, alpha: float = ALPHA) -> Floats:
    """The same boundary at each of ``looks`` equally spaced looks. Pocock, Biometrika 1977."""
    return _scaled(np.ones(looks), looks, alpha)


def obrien_fleming(looks: int, alpha: float = ALPHA) -> Floats:
    """High boundaries at first, nearly the usual one at the last. O'Brien & Fleming, Biometrics 1979."""
    return _scaled(np.sqrt(looks / np.arange(1, looks + 1)), looks, alpha)


def spending(fractions: Sequence[float], alpha: float = ALPHA) -> Floats:
    """Boundaries for looks at any ``fractions`` of the planned information, the last being 1 or less.

    Alpha is spent as O'Brien and Fleming's boundaries spend it, so a look's boundary needs the looks before it only.
    Lan & DeMets, Biometrika 1983.
    """
    times = _checked(fractions)
    spent = [4 * (1 - NORMAL.cdf(NORMAL.inv_cdf(1 - alpha / 4) / math.sqrt(time))) for time in times]
    bounds: list[float] = []
    walk = _Walk()
    for time, target in zip(times, spent, strict=True):
        bounds.append(crossing(_overspent(walk, time, target), 0.0, LARGEST))
        walk = walk.on(time, bounds[-1])
    return np.asarray(bounds)


def as_normal(mean: float, spread: float, count: int) -> float:
    """Student's t of ``count`` values with that mean and standard deviation, as the z of the same two-sided p-value.

    0 where all values are 0. Needs two values; raises ``DataError`` else.
    """
    if count < 2:  # noqa: PLR2004 -- a spread needs two
        raise DataError(f"A mean can be compared with its spread from two values on, not with {count}.")
    if not spread > 0:
        return math.copysign(LARGEST, mean) if mean else 0.0
    t2, freedom = count * (mean / spread) ** 2, count - 1
    log_p = log_beta_i(freedom / 2, 0.5, freedom / (freedom + t2))
    z = LARGEST if log_p < LEAST else -NORMAL.inv_cdf(math.exp(log_p) / 2) if log_p < 0 else 0.0
    return math.copysign(min(z, LARGEST), mean)


def stopping_probability(bounds: Floats, fractions: Sequence[float] | None = None, drift: float = 0.0) -> Floats:
    """Probability of having stopped by each look. With no ``drift`` the last is the type I error, else the power.

    ``bounds``: of abs(z). ``fractions``: of the information, increasing; equally spaced by default. ``drift``: the mean
    of z at full information; a test that is looked at once has 80 % power at 2.80.
    """
    times = _checked(fractions if fractions is not None else np.arange(1, len(bounds) + 1) / len(bounds))
    walk, stopped = _Walk(drift), []
    for time, bound in zip(times, np.asarray(bounds).tolist(), strict=True):
        stopped.append(1 - walk.mass(time, bound))
        walk = walk.on(time, bound)
    return np.asarray(stopped)


def _scaled(shape: Floats, looks: int, alpha: float) -> Floats:
    """The boundaries of that shape that are crossed with probability ``alpha``."""
    if looks < 1 or not 0 < alpha < 1:
        raise DataError(f"A plan needs at least one look and an alpha in (0, 1); got {looks} looks and {alpha}.")
    return shape * crossing(lambda scale: alpha - stopping_probability(scale * shape)[-1], 0.5, LARGEST)


def _overspent(walk: _Walk, time: float, target: float) -> Callable[[float], float]:
    return lambda bound: target - (1 - walk.mass(time, bound))


def _checked(fractions: Sequence[float] | Floats) -> list[float]:
    times = [float(one) for one in fractions]
    if (
        not times
        or not all(low < high for low, high in zip([0.0, *times], times, strict=False))
        or times[-1] > 1 + 1e-9
    ):
        raise DataError(
            f"Looks are fractions of the planned information, rising from above 0 to at most 1; got {times}."
        )
    return times


_legendre = cache(np.polynomial.legendre.leggauss)  # the same few sizes, thousands of times


class _Walk:
    """The density of the score on its way, of those that did not stop: a Brownian motion on nodes of an integral."""

    def __init__(self, drift: float = 0.0) -> None:
        self.drift, self.time = drift, 0.0
        self.nodes, self.weights = np.zeros(1), np.ones(1)  # weights are probabilities

    def mass(self, time: float, bound: float) -> float:
        """Probability of not having stopped by the look at ``time``."""
        step, limit = math.sqrt(time - self.time), bound * math.sqrt(time)
        centre = self.nodes + self.drift * (time - self.time)
        inside = _erf((limit - centre) / (step * math.sqrt(2))) - _erf((-limit - centre) / (step * math.sqrt(2)))
        return float(self.weights @ inside) / 2

    def on(self, time: float, bound: float) -> _Walk:
        """The walk after a look that stopped everyone beyond ``bound``."""
        step, limit = math.sqrt(time - self.time), bound * math.sqrt(time)
        after = _Walk(self.drift)
        # nodes have to be closer than the step is wide
        points, weights = _legendre(NODES + math.ceil(3 * limit / step))
        after.time, after.nodes = time, limit * points
        moved = (after.nodes[:, None] - self.nodes - self.drift * (time - self.time)) / step
        density = np.exp(-(moved**2) / 2) @ self.weights / (step * math.sqrt(2 * math.pi))
        after.weights = limit * weights * density
        return after
