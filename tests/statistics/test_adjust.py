"""Regression adjustment needs fewer units and learns from the past only."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rivals.errors import DataError
from rivals.statistics.adjust import expected
from rivals.statistics.betting import past_mean, scores
from rivals.statistics.sequences import asymptotic_sequence

UNITS = 6_000


def sample(rng: np.random.Generator, effect: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Covariates, outcomes that correlate with them by 0.7, and arms."""
    known, challenger = rng.normal(size=UNITS), rng.random(UNITS) < 0.5
    outcome = 0.7 * known + math.sqrt(1 - 0.7**2) * rng.normal(size=UNITS) + effect * challenger
    return known, outcome, challenger


def width(challenger: np.ndarray, outcome: np.ndarray, guess: np.ndarray) -> np.ndarray:
    arms = [np.cumsum(~challenger), np.cumsum(challenger)]
    low, high = asymptotic_sequence(scores(challenger, outcome, 0.5, guess), arms, arms, planned=2_000)
    return high - low


def test_a_correlation_of_07_halves_the_sample() -> None:
    """Units until the interval is .25 wide, mean of 60 runs: 1 - .49 = .51 of the units without, within .05."""
    rng, plain, adjusted = np.random.default_rng(1), [], []
    for _ in range(60):
        known, outcome, challenger = sample(rng, effect=0.1)
        plain.append(np.argmax(width(challenger, outcome, past_mean(outcome, 0.0)) <= 0.25))
        adjusted.append(np.argmax(width(challenger, outcome, expected(known, outcome)) <= 0.25))
    ratio = np.mean(adjusted) / np.mean(plain)
    print(f"sample ratio {ratio:.3f}, from {np.mean(plain):.0f} units")
    assert ratio == pytest.approx(0.51, abs=0.05)


def test_adjusted_scores_have_the_same_mean() -> None:
    """200 runs: within three standard errors of the effect."""
    rng, means = np.random.default_rng(2), []
    for _ in range(200):
        known, outcome, challenger = sample(rng, effect=0.1)
        means.append(scores(challenger, outcome, 0.5, expected(known, outcome)).mean())
    assert np.mean(means) == pytest.approx(0.1, abs=3 * np.std(means) / math.sqrt(200))


def test_an_expectation_never_sees_its_own_outcome_or_a_later_one() -> None:
    known, outcome, _ = sample(np.random.default_rng(3))
    changed = outcome.copy()
    changed[500:] = 100.0
    assert (expected(known, outcome)[:501] == expected(known, changed)[:501]).all()


def test_expectations_stay_within_the_outcomes_seen() -> None:
    known, outcome, _ = sample(np.random.default_rng(4))
    events = (outcome > 0).astype(float)
    guess = expected(np.stack([known, known, np.ones(UNITS)], axis=1), events, first=0.5)
    assert 0 <= guess.min() <= guess.max() <= 1


def test_missing_covariates_are_refused() -> None:
    with pytest.raises(DataError, match="finite"):
        expected(np.array([1.0, math.nan]), np.ones(2))


def test_of_no_units_nothing_is_expected() -> None:
    assert len(expected(np.empty((0, 2)), np.empty(0))) == 0
