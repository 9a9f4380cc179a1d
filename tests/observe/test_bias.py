"""A copy of the champion with its bias taken off: better where the world moved, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from rivals.decide.attribution import attribute
from rivals.observe.bias import LEAST, Bias, corrected, on_labels, quality
from rivals.values import Trouble

DAY = 86_400.0


def watched(days: int, rate: float, seed: int, shock: float = 0.0, answers: float = 0.2) -> Bias:
    rng = np.random.default_rng(seed)
    found = Bias("old", "brier", 0.0)
    for day in range(days):
        said = np.clip(rng.normal(answers, 0.05, 200), 0.02, 0.98)
        today = np.clip(said + (rate - answers) + rng.normal(0, shock), 0, 1)
        came = (rng.random(200) < today).astype(float)
        found = on_labels(found, came, np.column_stack([1 - said, said]), day * DAY)
    return found


def test_a_rate_that_moved_is_found_and_calls_for_retraining() -> None:
    found = quality(watched(60, rate=0.32, seed=1))
    assert attribute([], [found]).trouble is Trouble.WORLD
    assert found.bias == pytest.approx(0.12, abs=0.02)
    assert found.expected < found.now


def test_good_and_bad_days_are_no_change_of_the_world() -> None:
    # A false alarm has a chance of 1 in 1,000 over the whole life, however often it is looked at; 60 lives of 240 days.
    assert not any(
        attribute([], [quality(watched(240, 0.2, seed, shock=0.06))]).reason.startswith("old") for seed in range(60)
    )


def test_a_value_is_moved_by_its_mean_residual() -> None:
    rng, found = np.random.default_rng(0), Bias("old", "squared", 0.0)
    for day in range(30):
        said = rng.normal(size=(100, 1))
        found = on_labels(found, said[:, 0] + 2 + rng.normal(size=100), said, day * DAY)
    assert corrected(found, np.zeros((1, 1)))[0, 0] == pytest.approx(2, abs=0.1)
    assert attribute([], [quality(found)]).trouble is Trouble.WORLD


def test_a_block_with_few_labels_says_nothing() -> None:
    before = watched(3, 0.2, 0)
    assert on_labels(before, np.zeros(LEAST - 1), np.full((LEAST - 1, 2), 0.5), DAY) is before


def test_probabilities_stay_probabilities() -> None:
    found = watched(40, 0.9, 3)
    asked = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
    assert corrected(found, asked).sum(axis=1) == pytest.approx([1, 1, 1])
