"""Mixture martingales and their boundaries: how far a sum may stray, at any time, before chance is no excuse.

Let S be a sum of deviations and V its intrinsic time (its variance, as far as the model has it). A mixture is a
function ``log_mixture(s, v)``: the log of an e-process at S = s, V = v. It reaches log(1 / alpha) with probability at
most alpha, ever; ``boundary`` solves for the s where it does. Each is tuned to be narrowest at one ``optimum`` of V and
is valid at all of them. Stitched boundaries, in closed form, grow at the rate of the iterated logarithm instead.

Howard, Ramdas, McAuliffe & Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences", Ann. Statist.
2021, arXiv:1810.08240: propositions 4 to 8 and theorem 1. No SciPy here: a serving image has none.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from rivals.errors import DataError
from rivals.statistics.incomplete import log_beta, log_beta_i, log_gamma_p, log_gamma_q

LogMixture = Callable[[float, float], float]

ALPHA = 0.05
HALVINGS = 60
FAR = 30.0  # standard deviations


def best_rho(optimum: float, alpha: float = ALPHA) -> float:
    """The prior precision of a two-sided normal mixture that is about narrowest at V = ``optimum``."""
    if not (optimum > 0 and 0 < alpha < 1):
        raise DataError(f"A mixture is tuned to a time above 0 and an alpha in (0, 1); got {optimum} and {alpha}.")
    return optimum / (2 * math.log(1 / alpha) + math.log1p(2 * math.log(1 / alpha)))


def normal(optimum: float, alpha: float = ALPHA, *, one_sided: bool = False) -> LogMixture:
    """Normal mixture, for sub-Gaussian sums: Robbins (1970); propositions 5 (two-sided) and 6 (one-sided).

    The two-sided one is what mSPRT and GAVI compute.
    """
    rho = best_rho(optimum, 2 * alpha if one_sided else alpha)

    def log_mixture(s: float, v: float) -> float:
        shrunk, z = math.log(rho / (v + rho)) / 2, s / math.sqrt(v + rho)
        if not one_sided:
            return shrunk + z * z / 2
        if z < -FAR:  # where the tail underflows, by Mills' ratio
            return shrunk + math.log(2 / (-z * math.sqrt(2 * math.pi)))
        return shrunk + z * z / 2 + math.log(math.erfc(-z / math.sqrt(2)))

    return log_mixture


def gamma_exponential(optimum: float, scale: float, alpha: float = ALPHA) -> LogMixture:
    """Gamma-exponential mixture, for sub-exponential sums with that scale; one-sided, proposition 9."""
    rho, square = best_rho(optimum, 2 * alpha), scale * scale
    prior = rho / square
    start = prior * math.log(prior) - math.lgamma(prior) - log_gamma_p(prior, prior)

    def log_mixture(s: float, v: float) -> float:
        moved, shape = (scale * s + v) / square, (v + rho) / square
        rate = moved + prior
        return start + math.lgamma(shape) + log_gamma_p(shape, rate) - shape * math.log(rate) + moved

    return log_mixture


def gamma_poisson(optimum: float, scale: float, alpha: float = ALPHA) -> LogMixture:
    """Gamma-Poisson mixture, for sub-Poisson sums with jumps of that size; one-sided, proposition 10."""
    rho, square = best_rho(optimum, 2 * alpha), scale * scale
    prior = rho / square
    start = prior * math.log(prior) - math.lgamma(prior) - log_gamma_q(prior, prior)

    def log_mixture(s: float, v: float) -> float:
        rate = (v + rho) / square
        shape = s / scale + rate
        return start + math.lgamma(shape) + log_gamma_q(shape, rate) - shape * math.log(rate) + v / square

    return log_mixture


def beta_binomial(
    optimum: float, below: float, above: float, alpha: float = ALPHA, *, one_sided: bool = False
) -> LogMixture:
    """Beta-binomial mixture, for sums of steps within [-``below``, ``above``]; propositions 7 and 8.

    V is the number of steps times ``below * above``. A sum that no steps could reach is infinite evidence.
    """
    g, h = below, above
    r = max(best_rho(optimum, 2 * alpha if one_sided else alpha) - g * h, 1e-3 * g * h)
    part = h / (g + h) if one_sided else 1.0

    def log_partial(a: float, b: float) -> float:
        return log_beta(a, b) + log_beta_i(a, b, part)

    start = log_partial(r / (g * (g + h)), r / (h * (g + h)))

    def log_mixture(s: float, v: float) -> float:
        down, up = (v - g * s) / (g * (g + h)), (v + h * s) / (h * (g + h))  # steps each way, as a lone coin has them
        slack = 1e-9 * (1 + v)
        if down < -slack or up < -slack:
            return math.inf
        down, up = max(down, 0.0), max(up, 0.0)
        likely = up * math.log(g / (g + h)) + down * math.log(h / (g + h))
        return log_partial(r / (g * (g + h)) + down, r / (h * (g + h)) + up) - start - likely

    return log_mixture


def boundary(log_mixture: LogMixture, v: float, alpha: float = ALPHA) -> float:
    """The largest sum at intrinsic time ``v`` that is not yet proof at ``alpha``."""
    most, proof = max(v, 1.0), math.log(1 / alpha)
    while log_mixture(most, v) < proof:
        most *= 2
    return crossing(lambda s: log_mixture(s, v) - proof, 0.0, most)


def crossing(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a rising function turns positive between ``low`` and ``high``, by halving."""
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (low, middle) if function(middle) > 0 else (middle, high)
    return (low + high) / 2


# -- stitched boundaries ----------------------------------------------------------------------------

PACE = 1.4  # how alpha is spread over epochs: epoch k gets k^-1.4 of it
EPOCH = 2.0  # ratio of one epoch's end to its beginning


def zeta(s: float) -> float:
    """Riemann's zeta function for s > 1, by Euler and Maclaurin."""
    n = 20
    head = math.fsum(math.pow(k, -s) for k in range(1, n))
    rest = n / (s - 1) + 1 / 2 + s / (12 * n) - s * (s + 1) * (s + 2) / (720 * n**3)
    return head + math.pow(n, -s) * rest


def stitching(v: float, start: float, scale: float = 0.0, alpha: float = ALPHA) -> float:
    """Polynomial stitched boundary at ``v``, valid from V = ``start`` on; one-sided, theorem 1.

    ``scale``: of a sub-gamma sum; 0 for sub-Gaussian ones, negative for those whose far deviations are lighter still.
    """
    v = max(v, start)
    spread = (EPOCH**0.25 + EPOCH**-0.25) / math.sqrt(2)
    doubt = PACE * math.log(math.log(EPOCH * v / start)) + math.log(zeta(PACE) / (alpha * math.log(EPOCH) ** PACE))
    tail = (math.sqrt(EPOCH) + 1) / 2 * scale * doubt
    return math.sqrt(spread**2 * v * doubt + tail**2) + tail
