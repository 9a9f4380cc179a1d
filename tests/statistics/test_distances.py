"""Distances of counts: nothing where nothing changed, whatever the size; bounds of chance that hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from rivals.statistics.distances import chi_square_tail, js, ks, psi, share_above, wasserstein

FLAT = np.full(20, 0.05)


@pytest.mark.parametrize("rows", [100, 1_000, 10_000])
@pytest.mark.parametrize("distance", [psi, js, ks])
def test_chance_is_no_shift(distance, rows: int) -> None:
    """400 windows as the reference: 0.2, 0.1 and 0.1 are called shifts; certainty of ln(400 * 100) is 1 in 100."""
    rng, shift = np.random.default_rng(rows), 0.2 if distance is psi else 0.1
    found = []
    for _ in range(400):
        before, now = rng.multinomial(20_000, FLAT).astype(float), rng.multinomial(rows, FLAT).astype(float)
        found.append(distance(before, now))
    apart, certain = np.array(found).T
    assert np.median(apart) < shift / 2
    assert certain.max() < math.log(40_000)
    for level in (2, 4):
        assert (certain >= level).mean() <= math.exp(-level) + 3 * math.sqrt(math.exp(-level) / 400)


@pytest.mark.parametrize("distance", [psi, js, ks])
def test_another_distribution_is_far_and_certain(distance) -> None:
    before, now = FLAT * 20_000, np.repeat([0.08, 0.02], 10) * 1_000
    apart, certain = distance(before, now)
    assert apart > 0.1
    assert certain > 20


@pytest.mark.parametrize("freedom", [1, 5, 19])
@pytest.mark.parametrize("times", [1.5, 3, 10])
def test_the_tail_of_chi_square_is_bounded(freedom: int, times: float) -> None:
    exact = -stats.chi2.logsf(times * freedom, freedom)
    assert 0 < chi_square_tail(times * freedom, freedom) <= exact


def test_a_share_above_its_limit_is_as_certain_as_a_binomial_at_most() -> None:
    exact = -stats.binom.logsf(39, 100, 0.2)
    assert 0.5 * exact < share_above(40, 100, 0.2) <= exact
    assert share_above(20, 100, 0.2) == 0
    assert share_above(100, 100, 0.2) == pytest.approx(100 * math.log(5))


def test_earth_is_moved_as_far_as_scipy_says() -> None:
    rng = np.random.default_rng(0)
    one, other = np.sort(rng.random(20_000)), np.sort(rng.random(20_000) ** 2)
    edges = np.linspace(0, 1, 41)
    counts = [np.histogram(values, edges)[0].astype(float) for values in (one, other)]
    assert wasserstein(*counts, edges) == pytest.approx(stats.wasserstein_distance(one, other), rel=0.02)
