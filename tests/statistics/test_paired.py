from __future__ import annotations

import baycomp
import numpy as np
import pytest
from scipy import stats

from rivals.errors import DataError
from rivals.statistics.losses import roc_auc
from rivals.statistics.paired import corrected_t, correlated_t, delong, mcnemar, student, student_quantile


@pytest.mark.parametrize("df", [1, 2, 9, 99, 5000])
def test_student_is_scipys(df: int) -> None:
    for t in (-40.0, -2.3, -0.1, 0.0, 0.7, 3.1):
        assert student(t, df) == pytest.approx(stats.t.cdf(t, df), rel=1e-8, abs=1e-14)
    for p in (0.001, 0.3, 0.5, 0.975):
        assert student_quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=1e-7, abs=1e-9)


def test_without_correction_it_is_the_one_sample_t_test() -> None:
    values = np.random.default_rng(0).normal(0.4, 1, 10)
    found, known = corrected_t(values, 0.0), stats.ttest_1samp(values, 0)
    assert found.p == pytest.approx(known.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(known.confidence_interval()))


def test_correction_is_nadeau_and_bengios() -> None:
    values = np.random.default_rng(0).normal(0.4, 1, 10)
    t = values.mean() / np.sqrt(values.var(ddof=1) * (1 / 10 + 1 / 9))
    assert corrected_t(values, 1 / 9).p == pytest.approx(2 * stats.t.sf(abs(t), 9))


@pytest.mark.parametrize("rope", [0.01, 0.05, 0.3])
@pytest.mark.parametrize("seed", range(5))
def test_the_posterior_is_baycomps(rope: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.normal(0.7, 0.1, 10), rng.normal(0.72, 0.1, 10)
    left, same, right = baycomp.CorrelatedTTest.probs(first, second, rope=rope)
    found = correlated_t(second - first, 1 / 9, rope)
    assert (found.below, found.equivalent, found.above) == pytest.approx((left, same, right))


def test_mcnemar_is_the_exact_binomial_test() -> None:
    rng = np.random.default_rng(1)
    for rows in (30, 400):
        first, second = rng.random(rows) < 0.8, rng.random(rows) < 0.7
        only, other = int((first & ~second).sum()), int((~first & second).sum())
        assert mcnemar(first, second).p == pytest.approx(stats.binomtest(only, only + other).pvalue)
    assert mcnemar(first, first).p == 1.0


def test_delong_covers_a_known_difference_and_is_the_difference_of_the_areas() -> None:
    """Equal areas, 300 runs of 300 rows: at most 25 alarms at 5 % (P < 1 %)."""
    alarms = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        target = rng.integers(0, 2, 300)
        first, second = target + rng.normal(0, 1.5, 300), target + rng.normal(0, 1.5, 300)
        alarms += delong(target, first, second).p < 0.05
    assert alarms <= 25
    areas = [roc_auc(target, np.column_stack([-one, one]), None) for one in (first, second)]
    assert delong(target, first, second).difference == pytest.approx(areas[0] - areas[1])


def test_equal_models_are_equal_and_one_fold_is_refused() -> None:
    same = corrected_t([0.0, 0.0, 0.0], 0.5)
    assert (same.low, same.high, same.p) == (0.0, 0.0, 1.0)
    assert correlated_t([0.0, 0.0], 1.0, 0.01).equivalent == 1.0
    with pytest.raises(DataError, match="two folds"):
        corrected_t([0.1], 0.5)
    with pytest.raises(DataError, match="two rows of each class"):
        delong(np.array([0, 0, 1]), np.zeros(3), np.ones(3))
