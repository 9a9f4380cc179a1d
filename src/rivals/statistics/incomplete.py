"""Logarithms of the regularised incomplete gamma and beta functions, for the mixtures; a serving image has no SciPy.

Series and continued fractions: Abramowitz & Stegun 6.5.29, 6.5.31 and 26.5.8, the fractions summed as in Lentz (1976).
Both converge in some multiple of the square root of the larger parameter; equal to SciPy's to 1e-10.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import count

_SMALL = 1e-300
_CLOSE = 1e-15


def log_gamma_p(shape: float, x: float) -> float:
    """Log of the probability that a gamma variable of that shape, scale 1, is at most ``x``."""
    if x <= 0:
        return -math.inf
    return _gamma_series(shape, x) if x < shape + 1 else _log_rest(_gamma_fraction(shape, x))


def log_gamma_q(shape: float, x: float) -> float:
    """Log of the probability that a gamma variable of that shape, scale 1, is above ``x``."""
    if x <= 0:
        return 0.0
    return _log_rest(_gamma_series(shape, x)) if x < shape + 1 else _gamma_fraction(shape, x)


def log_beta(a: float, b: float) -> float:
    """Log of the beta function."""
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def log_beta_i(a: float, b: float, x: float) -> float:
    """Log of the probability that a beta(a, b) variable is at most ``x``."""
    if x <= 0:
        return -math.inf
    if x >= 1:
        return 0.0
    if x > (a + 1) / (a + b + 2):
        return _log_rest(log_beta_i(b, a, 1 - x))
    front = a * math.log(x) + b * math.log1p(-x) - math.log(a) - log_beta(a, b)
    return front - math.log(_fraction(1.0, _beta_terms(a, b, x)))


def _log_rest(log_probability: float) -> float:
    """Log of one minus a probability."""
    rest = -math.expm1(log_probability)
    return math.log(rest) if rest > 0 else -math.inf


def _gamma_series(shape: float, x: float) -> float:
    term = total = 1.0
    for n in count(1):
        term *= x / (shape + n)
        total += term
        if term < total * _CLOSE:
            break
    return shape * math.log(x) - x - math.lgamma(shape + 1) + math.log(total)


def _gamma_fraction(shape: float, x: float) -> float:
    terms = ((n * (shape - n), x + 2 * n + 1 - shape) for n in count(1))
    return shape * math.log(x) - x - math.lgamma(shape) - math.log(_fraction(x + 1 - shape, terms))


def _beta_terms(a: float, b: float, x: float) -> Iterator[tuple[float, float]]:
    for m in count():
        yield -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)), 1.0
        yield (m + 1) * (b - m - 1) * x / ((a + 2 * m + 1) * (a + 2 * m + 2)), 1.0


def _fraction(first: float, terms: Iterator[tuple[float, float]]) -> float:
    """The continued fraction first + a1 / (b1 + a2 / (b2 + ...)) of the pairs (a, b)."""
    value = first or _SMALL
    above, below = value, 0.0
    for a, b in terms:
        below = 1 / ((b + a * below) or _SMALL)
        above = (b + a / above) or _SMALL
        value *= above * below
        if abs(above * below - 1) < _CLOSE:
            break
    return value
