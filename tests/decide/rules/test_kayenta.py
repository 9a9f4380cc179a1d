"""Mann-Whitney by hand and by SciPy; scores and thresholds as documented."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, norm

from rivals.decide.rules.kayenta import Kayenta, _statistic, high
from rivals.decide.rules.look import Arms, Look, Tally
from rivals.values import Status

LOW = np.arange(1.0, 6.0)


def point(canary: int, baseline: int, wrong: int = 0) -> Look:
    """Failures in a hundred of either; wrong answers of the canary's hundred, where the baseline has none."""
    arms = Arms(Tally(1_000, 10 * baseline), Tally(100, canary), Tally(100, baseline))
    return Look(0.1, arms, Arms(Tally(1_000, 0), Tally(100, wrong), Tally(100, 0)))


def said(rule: Kayenta, looks: list[Look]) -> list[Status]:
    memory, found = rule.begin(), []
    for look in looks:
        memory, status = rule.look(memory, look)
        found.append(status)
    return found


def test_five_points_far_above_are_high() -> None:
    # shift 10, moved back by 2.5: all 25 pairs are still higher; (25 - 12.5 - 0.5) / sqrt(25 * 11 / 12) = 2.507
    assert _statistic(LOW, LOW + 7.5) == pytest.approx(12 / np.sqrt(25 * 11 / 12))
    assert high(LOW, LOW + 10)
    assert not high(LOW, LOW + 10, confidence=0.99)  # 2.576


def test_five_points_a_little_above_are_not() -> None:
    # shift 3, moved back by 0.75: 22 of 25 pairs; (22 - 12.5 - 0.5) / 4.787 = 1.88
    assert not high(LOW, LOW + 3)


def test_what_is_lower_or_equal_is_not_high() -> None:
    assert not high(LOW + 10, LOW)
    assert not high(LOW, LOW)
    assert not high(np.ones(5), np.ones(7))
    assert not high(np.zeros(0), LOW)


def test_the_statistic_is_that_of_scipy_ties_included() -> None:
    rng = np.random.default_rng(5)
    for _ in range(50):
        control, experiment = rng.integers(0, 6, 30).astype(float), rng.integers(0, 8, 20).astype(float)
        p = mannwhitneyu(experiment, control, alternative="two-sided", method="asymptotic").pvalue
        assert 2 * norm.sf(abs(_statistic(control, experiment))) == pytest.approx(p)


def test_identical_pods_fail_about_once_in_a_hundred_runs() -> None:
    # 98 % two-sided, and a quarter of the shift on top: below 1 % here; more than 12 of 400 by chance: 3e-4
    rng = np.random.default_rng(6)
    assert sum(high(rng.normal(size=50), rng.normal(size=50)) for _ in range(400)) <= 12


def test_three_runs_of_fifty_points_each_pass_before_the_next_step() -> None:
    found = said(Kayenta(), [point(1 + number % 3, 1 + number % 3) for number in range(150)])
    assert (found[-1], set(found[:-1])) == (Status.PASS, {Status.INCONCLUSIVE})


def test_the_first_bad_run_fails_the_whole_analysis() -> None:
    found = said(Kayenta(), [point(10 + number % 3, 1 + number % 3) for number in range(50)])
    assert found[-1] is Status.FAIL


def test_one_bad_metric_of_two_scores_fifty_which_is_below_marginal() -> None:
    looks = tuple(point(number % 3, number % 3, wrong=5 + number % 2) for number in range(50))
    rule = Kayenta(("failures", "answers"))
    assert rule.score(looks) == 50
    assert said(rule, list(looks))[-1] is Status.FAIL
    assert said(Kayenta(("failures", "answers"), marginal=40), list(looks))[-1] is Status.INCONCLUSIVE


def test_without_any_data_nothing_passes() -> None:
    assert Kayenta().score((Look(0.1),) * 50) == 0
