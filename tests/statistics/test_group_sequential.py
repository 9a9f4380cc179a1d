"""Planned looks: published constants, type I error, power; and what unplanned looks do (V1)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivals.errors import DataError
from rivals.statistics.group_sequential import obrien_fleming, pocock, spending, stopping_probability

# Armitage, McPherson & Rowe (1969): a two-sided 5 % test, repeated k times
REPEATED = {
    2: 0.083,
    3: 0.107,
    5: 0.142,
    10: 0.193,
    20: 0.248,
    50: 0.320,
    100: 0.374,
    200: 0.424,
    500: 0.487,
    1000: 0.530,
}
USUAL = 1.959964


def test_repeating_a_test_errs_as_often_as_armitage_mcpherson_and_rowe_found() -> None:
    """By 30,000 simulated runs of 1,000 looks, within .01: three standard errors of the last."""
    rng = np.random.default_rng(1)
    alarms = np.zeros(1_000)
    for _ in range(30):
        z = np.cumsum(rng.normal(size=(1_000, 1_000)), 1) / np.sqrt(np.arange(1, 1_001))
        alarms += np.maximum.accumulate(np.abs(z) > USUAL, axis=1).sum(0)
    measured = {k: alarms[k - 1] / 30_000 for k in REPEATED}
    print({k: (published, round(measured[k], 3)) for k, published in REPEATED.items()})
    assert all(measured[k] == pytest.approx(published, abs=0.01) for k, published in REPEATED.items())


@pytest.mark.parametrize("looks", [k for k in REPEATED if k <= 200])
def test_the_integral_gives_the_same_table(looks: int) -> None:
    """To the third decimal that was published."""
    assert stopping_probability(np.full(looks, USUAL))[-1] == pytest.approx(REPEATED[looks], abs=1.2e-3)


@pytest.mark.parametrize(
    ("kind", "looks", "published"),
    [(pocock, 5, 2.413), (pocock, 10, 2.555), (obrien_fleming, 5, 2.040), (obrien_fleming, 10, 2.087)],
)
def test_boundaries_are_the_published_constants(
    kind: Callable[[int], np.ndarray], looks: int, published: float
) -> None:
    bounds = kind(looks)
    assert bounds[-1] == pytest.approx(published, abs=6e-4)
    assert stopping_probability(bounds)[-1] == pytest.approx(0.05, abs=1e-9)


@pytest.mark.parametrize(("kind", "looks"), [(pocock, 5), (obrien_fleming, 10)])
def test_boundaries_err_as_often_as_they_say(kind: Callable[[int], np.ndarray], looks: int) -> None:
    """100,000 runs: 5 % within .2 points, three standard errors."""
    z = np.cumsum(np.random.default_rng(2).normal(size=(100_000, looks)), 1) / np.sqrt(np.arange(1, looks + 1))
    assert (np.abs(z) > kind(looks)).any(1).mean() == pytest.approx(0.05, abs=0.002)


def test_one_look_is_the_usual_test() -> None:
    assert pocock(1)[0] == pytest.approx(USUAL, abs=1e-5)
    assert spending([1.0])[0] == pytest.approx(USUAL, abs=1e-5)
    assert stopping_probability(np.array([USUAL]), drift=2.8016)[-1] == pytest.approx(0.8, abs=1e-4)


def test_five_looks_cost_little_power() -> None:
    assert 0.78 < stopping_probability(obrien_fleming(5), drift=2.8016)[-1] < 0.8


def test_spending_gives_the_published_boundaries_for_equal_looks() -> None:
    """Five looks of Lan and DeMets' O'Brien-Fleming function, as gsDesign prints them."""
    assert spending([0.2, 0.4, 0.6, 0.8, 1.0]) == pytest.approx([4.877, 3.357, 2.680, 2.290, 2.031], abs=6e-4)


@given(st.lists(st.floats(0.05, 0.95), min_size=1, max_size=4, unique=True))
@settings(max_examples=20, deadline=None)
def test_looks_anywhere_spend_alpha_and_no_more(fractions: list[float]) -> None:
    looks = [*(one for one in sorted(fractions)), 1.0]
    if min(np.diff(looks)) < 0.01:
        return
    spent = stopping_probability(spending(looks), looks)
    assert spent[-1] == pytest.approx(0.05, abs=1e-6)
    assert (np.diff(spent) >= -1e-9).all()


@pytest.mark.parametrize("fractions", [[], [0.5, 0.5], [0.5, 0.4], [0.0, 1.0], [0.5, 1.5]])
def test_looks_out_of_order_are_refused(fractions: list[float]) -> None:
    with pytest.raises(DataError, match="rising"):
        spending(fractions)


def test_a_plan_without_looks_is_refused() -> None:
    with pytest.raises(DataError, match="one look"):
        pocock(0)
