"""Mixtures and their boundaries: the golden values, and what makes them boundaries.

V1: all golden values are of confseq's own C++ tests, whose targets came from another implementation, in R.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivals.errors import DataError
from rivals.statistics.mixtures import (
    LogMixture,
    best_rho,
    beta_binomial,
    boundary,
    gamma_exponential,
    gamma_poisson,
    normal,
    stitching,
    zeta,
)

CLOSE = 2e-5
MIXTURES = {
    "normal, two-sided": (normal(100), -0.6510052, 30.35209),
    "normal, one-sided": (normal(100, one_sided=True), -0.06502391, 27.66071),
    "gamma-exponential": (gamma_exponential(100, 2), -0.2490165, 33.02017),
    "gamma-Poisson": (gamma_poisson(100, 2), -0.06991219, 30.1949),
    "beta-binomial, two-sided": (beta_binomial(100, 0.2, 0.8), -0.6941012, 31.4308),
    "beta-binomial, one-sided": (beta_binomial(100, 0.2, 0.8, one_sided=True), -0.07134019, 28.41238),
}


@pytest.mark.parametrize("name", MIXTURES)
def test_a_mixture_has_its_golden_values(name: str) -> None:
    mixture, log, bound = MIXTURES[name]
    assert mixture(10, 100) == pytest.approx(log, abs=CLOSE)
    assert boundary(mixture, 100) == pytest.approx(bound, abs=CLOSE)


def test_the_best_prior_has_its_golden_value() -> None:
    assert best_rho(100) == pytest.approx(12.60056, abs=CLOSE)


@pytest.mark.parametrize(("scale", "golden"), [(3, 64.48755), (-1, 28.99389)])
def test_the_stitched_boundary_has_its_golden_values(scale: float, golden: float) -> None:
    assert stitching(100, 10, scale) == pytest.approx(golden, abs=CLOSE)


def test_zeta_is_what_it_is_known_to_be() -> None:
    assert zeta(2) == pytest.approx(math.pi**2 / 6, rel=1e-9)
    assert zeta(4) == pytest.approx(math.pi**4 / 90, rel=1e-9)


@pytest.mark.parametrize("name", MIXTURES)
@given(v=st.floats(1, 5_000), alpha=st.floats(0.001, 0.2))
def test_the_boundary_is_where_the_evidence_is_proof_and_grows_with_it(name: str, v: float, alpha: float) -> None:
    mixture = MIXTURES[name][0]
    bound = boundary(mixture, v, alpha)
    assert mixture(bound * 0.999, v) < math.log(1 / alpha) < mixture(bound * 1.001 + 1e-9, v)
    assert boundary(mixture, v, alpha / 2) >= bound * (1 - 1e-9)


def test_a_sum_that_no_steps_could_reach_is_infinite_evidence() -> None:
    assert beta_binomial(100, 0.2, 0.8)(1.0, 0.0) == math.inf


def test_a_one_sided_mixture_is_smooth_far_on_the_other_side() -> None:
    mixture = normal(100, one_sided=True)
    below, above = mixture(-318.34 * 30 / 30.0001, 12.5), mixture(-318.34 * 30 / 29.9999, 12.5)
    assert below == pytest.approx(above, abs=0.01)
    assert mixture(-1e6, 100) < mixture(-1e5, 100) < mixture(0, 100)


@pytest.mark.parametrize(("optimum", "alpha"), [(0, 0.05), (100, 0), (100, 1)])
def test_a_mixture_tuned_to_nothing_is_refused(optimum: float, alpha: float) -> None:
    with pytest.raises(DataError, match="above 0"):
        best_rho(optimum, alpha)


# -- boundaries are crossed as rarely as they say ----------------------------------------------------

RUNS, STEPS = 1_000, 2_000


def walked(mixture: LogMixture, steps: np.ndarray, variance: float) -> float:
    """Share of runs that ever cross the boundary."""
    times = np.arange(1, steps.shape[1] + 1)
    bounds = np.array([boundary(mixture, variance * time) for time in times[::10]])
    return float((np.cumsum(steps, 1)[:, ::10] > bounds + 1e-9).any(1).mean())


@pytest.mark.parametrize(
    ("mixture", "draw", "variance"),
    [
        (normal(500, one_sided=True), lambda rng: rng.normal(size=(RUNS, STEPS)), 1.0),
        (gamma_exponential(500, 1), lambda rng: rng.exponential(size=(RUNS, STEPS)) - 1, 1.0),
        (gamma_poisson(500, 1), lambda rng: rng.poisson(1, (RUNS, STEPS)) - 1.0, 1.0),
        (beta_binomial(50, 0.1, 0.9, one_sided=True), lambda rng: (rng.random((RUNS, STEPS)) < 0.1) - 0.1, 0.09),
    ],
)
def test_a_sum_of_no_drift_rarely_crosses(
    mixture: LogMixture, draw: Callable[[np.random.Generator], np.ndarray], variance: float
) -> None:
    """At 5 %, 1,000 runs of 2,000 steps, every tenth looked at; 6.6 % is what 99 of 100 seeds allow a true 5 %."""
    assert walked(mixture, draw(np.random.default_rng(1)), variance) <= 0.066


def test_the_stitched_boundary_is_rarely_crossed_from_its_start_on() -> None:
    times = np.arange(1, STEPS + 1)
    bounds = np.array([stitching(time, 10) for time in times])
    sums = np.cumsum(np.random.default_rng(2).normal(size=(RUNS, STEPS)), 1)
    assert (sums > bounds).any(1).mean() <= 0.066
