"""Quantiles: the golden values, false alarms under looking, and how soon a slower arm is seen (V1, V7)."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivals.errors import DataError
from rivals.statistics.eprocess import FailureArm, on_failure
from rivals.statistics.quantiles import double_stitching, quantile_interval, quantile_p_value

CLOSE = 2e-5
SIGMA = 0.6


@pytest.mark.parametrize(("quantile", "golden"), [(0.5, 68.62803), (0.9, 43.72119), (0.1, 59.96521)])
def test_double_stitching_has_its_golden_values(quantile: float, golden: float) -> None:
    assert double_stitching(quantile, 1_000, 100) == pytest.approx(golden, abs=CLOSE)


@pytest.mark.parametrize(
    ("quantile", "shift", "golden"),
    [(0.5, 70, 0.814704), (0.5, 85, 0.0838055), (0.5, 100, 0.0054947), (0.9, 55, 0.0340463)],
)
def test_the_p_value_has_its_golden_values(quantile: float, shift: int, golden: float) -> None:
    values = np.arange(1.0, 1_001.0)
    assert quantile_p_value(values, values + shift, quantile) == pytest.approx(golden, abs=CLOSE)


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=80),
    st.lists(st.integers(0, 40), min_size=1, max_size=80),
    st.floats(0.05, 0.95),
)
def test_the_p_value_knows_no_order_no_unit_and_no_first_arm(one: list[int], other: list[int], quantile: float) -> None:
    a, b = np.asarray(one, float), np.asarray(other, float)
    p = quantile_p_value(a, b, quantile)
    assert 0 < p <= 1
    assert quantile_p_value(b[::-1], a[::-1], quantile) == pytest.approx(p)
    assert quantile_p_value(3 * a - 7, 3 * b - 7, quantile) == pytest.approx(p)


def test_arms_that_share_every_value_share_every_quantile() -> None:
    values = np.random.default_rng(1).normal(size=500)
    assert quantile_p_value(values, values, 0.9) == 1


def test_no_values_are_no_evidence() -> None:
    assert quantile_p_value(np.array([]), np.arange(9.0), 0.5) == 1
    assert quantile_interval(np.array([]), 0.5) == (-math.inf, math.inf)


@pytest.mark.parametrize("quantile", [0.0, 1.0, 99.0])
def test_a_quantile_outside_its_range_is_refused(quantile: float) -> None:
    with pytest.raises(DataError, match=r"0\.99"):
        quantile_p_value(np.ones(3), np.ones(3), quantile)


def test_values_without_an_order_are_refused() -> None:
    with pytest.raises(DataError, match="NaN"):
        quantile_p_value(np.array([1.0, math.nan]), np.ones(3), 0.5)


def test_an_interval_holds_the_quantile_at_every_look() -> None:
    """At 5 %, 200 runs, 30 looks each, two quantiles; 8.6 % is what 99 of 100 seeds allow a true 5 %."""
    rng, missed = np.random.default_rng(3), 0
    looks = np.unique(np.geomspace(20, 2_000, 30).astype(int))
    truths = {q: NormalDist().inv_cdf(q) for q in (0.5, 0.95)}
    for _ in range(200):
        values = rng.normal(size=2_000)
        missed += any(
            not low <= truth <= high
            for q, truth in truths.items()
            for low, high in (quantile_interval(values[:look], q) for look in looks)
        )
    assert missed / 200 <= 0.086


# -- V7: a latency, lognormal with sigma .6; the slower arm has 20 % more at every quantile ----------

LOOKS = np.unique(np.geomspace(100, 20_000, 18).astype(int))


def latencies(rng: np.random.Generator, units: int, factor: float = 1.0) -> np.ndarray:
    return factor * np.exp(SIGMA * rng.normal(size=units))


def found(rng: np.random.Generator, quantile: float, factor: float, looks: np.ndarray = LOOKS) -> float:
    """Units per arm at the look that has proof, or infinity."""
    one, other = latencies(rng, looks[-1]), latencies(rng, looks[-1], factor)
    seen = (look for look in looks if quantile_p_value(one[:look], other[:look], quantile, planned=300) <= 0.05)
    return float(next(seen, math.inf))


@pytest.mark.parametrize(("quantile", "reference"), [(0.5, 450), (0.99, 7_820)])
def test_a_fifth_more_latency_is_seen_about_when_the_reference_saw_it(quantile: float, reference: float) -> None:
    """40 runs, 18 looks: medians of the reference; ours within a look, the looks being 1.37 apart."""
    rng = np.random.default_rng(4)
    median = float(np.median([found(rng, quantile, 1.2) for _ in range(40)]))
    assert reference / 1.37 <= median <= reference * 1.37


def test_equal_latencies_are_rarely_told_apart() -> None:
    """A/A, 120 runs of 12 looks, the reference saw none; 9.6 % is what 99 of 100 seeds allow a true 5 %."""
    rng = np.random.default_rng(5)
    alarms = [found(rng, quantile, 1.0, LOOKS[:12]) < math.inf for quantile in (0.5, 0.99) for _ in range(60)]
    assert np.mean(alarms) <= 0.096


def test_passing_the_agreed_limit_is_seen_within_2500_requests_per_arm() -> None:
    """The limit is the champion's 99th percentile; a fifth more latency passes it 2.16 times as often."""
    rng, limit = np.random.default_rng(6), math.exp(SIGMA * NormalDist().inv_cdf(0.99))
    seen = []
    for _ in range(100):
        late = np.stack([latencies(rng, 20_000) > limit, latencies(rng, 20_000, 1.2) > limit], axis=1)
        arm, found_at = FailureArm(), math.inf
        for pair, whose in zip(*np.nonzero(late), strict=True):
            arm = on_failure(arm, bool(whose), 0.5, margin=0.5)
            if arm.harm.highest >= math.log(20):
                found_at = pair + 1
                break
        seen.append(found_at)
    assert np.median(seen) <= 2_500
