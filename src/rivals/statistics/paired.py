"""Two models on the same rows or the same folds: the tests a comparison is usually asked for, corrected.

Nadeau & Bengio, Inference for the generalization error, Machine Learning 52 (2003): folds share their training rows,
so the variance of a mean over folds grows by n_test / n_train; the t-test without it calls equals different.
Corani & Benavoli, A Bayesian approach for comparing cross-validated algorithms, Machine Learning 100 (2015).
DeLong, DeLong, Clarke-Pearson, Biometrics 44 (1988), in the form of Sun & Xu, IEEE SPL 21 (2014).
McNemar, Psychometrika 12 (1947), exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rivals.errors import DataError
from rivals.statistics.incomplete import log_beta_i
from rivals.statistics.losses import Floats

_STEPS = 80  # of bisection, beyond what float64 tells apart


@dataclass(frozen=True, slots=True)
class Tested:
    """A difference (first minus second), its interval at 1 - alpha, and the two-sided p-value of "no difference"."""

    difference: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, slots=True)
class Posterior:
    """How likely the first is below the second, within the region of practical equivalence, or above it."""

    below: float
    equivalent: float
    above: float


def student(t: float, df: float) -> float:
    """Probability that a Student variable of ``df`` degrees of freedom is at most ``t``."""
    if not math.isfinite(t):
        return float(t > 0)
    tail = math.exp(log_beta_i(df / 2, 0.5, df / (df + t * t))) / 2
    return 1 - tail if t > 0 else tail


def student_quantile(probability: float, df: float) -> float:
    """The value that a Student variable stays at or below with that probability."""
    if probability < 0.5:  # noqa: PLR2004 -- the middle
        return -student_quantile(1 - probability, df)
    low, high = 0.0, 1.0
    while student(high, df) < probability:
        high *= 2
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if student(middle, df) < probability else (low, middle)
    return (low + high) / 2


def corrected_t(differences: Any, ratio: float, alpha: float = 0.05) -> Tested:
    """Test differences by fold; ``ratio`` is n_test / n_train of a fold, 0 the naive test (Nadeau & Bengio 2003).

    Raises ``DataError`` on fewer than two folds.
    """
    found, error = _spread(differences, ratio)
    df = len(np.asarray(differences)) - 1
    if not error:
        return Tested(found, found, found, float(found == 0))
    reach = student_quantile(1 - alpha / 2, df) * error
    return Tested(found, found - reach, found + reach, 2 * student(-abs(found) / error, df))


def correlated_t(differences: Any, ratio: float, rope: float = 0.0) -> Posterior:
    """Posterior of the mean difference by fold, cut at -rope and rope (Corani & Benavoli 2015)."""
    found, error = _spread(differences, ratio)
    df = len(np.asarray(differences)) - 1
    if not error:
        return Posterior(float(found < -rope), float(abs(found) <= rope), float(found > rope))
    below, above = student((-rope - found) / error, df), 1 - student((rope - found) / error, df)
    return Posterior(below, max(0.0, 1 - below - above), above)


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_], alpha: float = 0.05) -> Tested:
    """Test whether two classifiers are right equally often; rows must be independent. Exact, from the rows they differ.

    ``difference`` is that of the shares right; its interval is the normal one for paired shares.
    """
    only, other, rows = int((first & ~second).sum()), int((~first & second).sum()), len(first)
    found = (only - other) / rows
    error = math.sqrt(max(only + other - (only - other) ** 2 / rows, 0)) / rows
    reach = NormalDist().inv_cdf(1 - alpha / 2) * error
    return Tested(found, found - reach, found + reach, _sign(min(only, other), only + other))


def delong(target: NDArray[Any], first: Floats, second: Floats, alpha: float = 0.05) -> Tested:
    """Test the difference of two areas under the ROC curve on the same independent rows.

    ``target`` is 0 or 1, the others are scores. Raises ``DataError`` with fewer than two rows of a class.
    """
    positive = target == 1
    if min(int(positive.sum()), int((~positive).sum())) <= 1:
        raise DataError("DeLong's test needs at least two rows of each class.")
    (hits, misses), (hits2, misses2) = _placements(positive, first), _placements(positive, second)
    found = float(hits.mean() - hits2.mean())
    error = math.sqrt(np.var(hits - hits2, ddof=1) / len(hits) + np.var(misses - misses2, ddof=1) / len(misses))
    if not error:
        return Tested(found, found, found, float(found == 0))
    reach = NormalDist().inv_cdf(1 - alpha / 2) * error
    return Tested(found, found - reach, found + reach, 2 * NormalDist().cdf(-abs(found) / error))


def _spread(differences: Any, ratio: float) -> tuple[float, float]:
    values = np.asarray(differences, np.float64)
    if len(values) <= 1:
        raise DataError("A test by fold needs at least two folds (data.split.folds).")
    return float(values.mean()), math.sqrt(float(values.var(ddof=1)) * (1 / len(values) + ratio))


def _sign(fewer: int, many: int) -> float:
    """Two-sided p of a fair coin that came up ``fewer`` times or less on its rarer side, of ``many``."""
    if not many or 2 * fewer >= many:
        return 1.0
    # P(X <= k) of a fair binomial is the incomplete beta function at one half.
    return min(1.0, 2 * math.exp(log_beta_i(many - fewer, fewer + 1, 0.5)))


def _placements(positive: NDArray[np.bool_], score: Floats) -> tuple[Floats, Floats]:
    """For each positive row the share of negatives below it, and for each negative the share of positives above it."""
    above, below = score[positive], score[~positive]
    return _share(np.sort(below), above), 1 - _share(np.sort(above), below)


def _share(ranked: Floats, values: Floats) -> Floats:
    """The share of ``ranked`` that lies below each value, ties by half."""
    both = np.searchsorted(ranked, values, "left") + np.searchsorted(ranked, values, "right")
    return np.asarray(both / (2 * len(ranked)), np.float64)
