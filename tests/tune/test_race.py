"""Stopping what will not win."""

from __future__ import annotations

import numpy as np
import pytest

from rivals.tune.race import expected, hopeless


def test_a_trial_that_is_clearly_worse_is_stopped_and_one_that_is_better_never() -> None:
    rng = np.random.default_rng(1)
    best = rng.exponential(size=3000)
    assert hopeless(best[:1000] + 0.5, best)
    assert not hopeless(best[:1000] - 0.01, best)
    assert not hopeless(best[:1000], best)


@pytest.mark.parametrize("seen", [500, 1000])
def test_what_would_have_won_is_stopped_less_often_than_said(seen: int) -> None:
    """10,000 trials as good as the best one, 1,500 rows: of those that end below it, at most 1 in 1,000 is stopped
    (seen: none; were it 1 in 1,000, twelve or more of about 5,000 would be seen in 1 % of runs)."""
    rng = np.random.default_rng(seen)
    best = rng.exponential(size=1500)
    wrong = 0
    for _ in range(10_000):
        trial = best + rng.normal(0, 0.3, 1500)
        if trial.mean() < best.mean() and hopeless(trial[:seen], best):
            wrong += 1
    assert wrong <= 12


def test_a_stopped_trial_counts_as_what_it_would_have_come_to() -> None:
    best = np.array([1.0, 2.0, 3.0, 4.0])
    assert expected(np.array([2.0, 3.0]), best) == pytest.approx(3.5)


def test_nothing_is_said_of_no_rows_or_of_all() -> None:
    best = np.ones(10)
    assert not hopeless(np.array([9.0]), best)
    assert not hopeless(best + 9, best)
