"""The sample-ratio test: quiet on honest splits at every event, quick on crooked ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammaln

from rivals.errors import DataError
from rivals.statistics.ratio import ALARM, STRENGTH, srm_log_e


def paths(rng: np.random.Generator, runs: int, units: int, share: float, promised: float) -> np.ndarray:
    """Log e-values after every unit, (runs, units): the same formula as ``srm_log_e``, vectorised."""
    first = np.cumsum(rng.random((runs, units)) < share, axis=1)
    second = np.arange(1, units + 1) - first
    found = np.full(first.shape, math.lgamma(STRENGTH))
    for count, theta in ((first, promised), (second, 1 - promised)):
        found += gammaln(STRENGTH * theta + count) - gammaln(STRENGTH * theta) - count * math.log(theta)
    return found - gammaln(STRENGTH + first + second)


def stops(found: np.ndarray) -> np.ndarray:
    """Units until the alarm, infinite where there was none."""
    hit = found >= ALARM
    return np.where(hit.any(axis=1), hit.argmax(axis=1) + 1.0, np.inf)


def test_the_vectorised_form_is_the_same_function() -> None:
    found = paths(np.random.default_rng(1), 3, 500, 0.3, 0.25)
    first = np.cumsum(np.random.default_rng(1).random((3, 500)) < 0.3, axis=1)
    for run in range(3):
        for unit in (0, 99, 499):
            counts = (first[run, unit], unit + 1 - first[run, unit])
            assert srm_log_e(counts, (0.25, 0.75)) == pytest.approx(found[run, unit], abs=1e-9)


def test_an_honest_split_raises_no_alarm_in_1000_runs_watched_at_every_unit() -> None:
    # Promised: 1 run in 1,000 at most. Three splits, 10,000 units each.
    rng = np.random.default_rng(7)
    alarms = {s: sum(int(np.isfinite(stops(paths(rng, 100, 10_000, s, s))).sum()) for _ in range(10)) for s in (0.5,)}
    alarms |= {s: int(np.isfinite(stops(paths(rng, 300, 5_000, s, s))).sum()) for s in (0.1, 0.01)}
    assert alarms == {0.5: 0, 0.1: 0, 0.01: 0}


@pytest.mark.parametrize(("share", "median", "units"), [(0.48, 10_125, 40_000), (0.45, 1_650, 10_000)])
def test_a_crooked_split_is_found_by_the_published_median(share: float, median: int, units: int) -> None:
    found = stops(paths(np.random.default_rng(11), 150, units, share, 0.5))
    print(f"{share}: median {np.median(found):,.0f} units, asked {median:,}")
    # The median of 150 runs is known to about a tenth.
    assert np.median(found) <= 1.1 * median


def test_units_of_a_variant_that_was_promised_none_are_a_mismatch_at_once() -> None:
    assert srm_log_e((10, 1), (1.0, 0.0)) == math.inf
    assert srm_log_e((10, 0), (1.0, 0.0)) == pytest.approx(0.0)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.floats(0.01, 1)), min_size=2, max_size=6))
def test_shares_are_taken_up_to_scale_and_order_of_variants_is_nothing(rows: list[tuple[int, float]]) -> None:
    counts, shares = [count for count, _ in rows], [share for _, share in rows]
    one = srm_log_e(counts, shares)
    assert one == pytest.approx(srm_log_e(counts, [7 * share for share in shares]), rel=1e-6, abs=1e-3)
    assert one == pytest.approx(srm_log_e(counts[::-1], shares[::-1]), rel=1e-6, abs=1e-3)


def test_the_mean_e_value_of_an_honest_split_is_one() -> None:
    # Summed over all outcomes of 12 units: an e-value's mean under the null is exactly 1.
    mean = sum(
        math.comb(12, k) * 0.3**k * 0.7 ** (12 - k) * math.exp(srm_log_e((k, 12 - k), (0.3, 0.7))) for k in range(13)
    )
    assert mean == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("counts", "shares"), [((1,), (0.5, 0.5)), ((1, -1), (0.5, 0.5)), ((1, 1), (0, 0)), ((1, math.nan), (1, 1))]
)
def test_what_cannot_be_is_refused(counts: tuple[float, ...], shares: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match="sample ratio"):
        srm_log_e(counts, shares)
