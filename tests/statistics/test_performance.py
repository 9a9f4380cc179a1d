"""Quality before labels: calibrations that rise, estimates that hold under another mix of rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import roc_auc_score

from rivals.errors import DataError
from rivals.statistics.performance import (
    calibrate,
    calibrated,
    expected_accuracy,
    expected_loss,
    expected_roc_auc,
    fit_tables,
    of_labels,
)


def drawn(rng: np.random.Generator, rows: int, lean: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """What an overconfident model says of rows, and what happens."""
    chance = rng.beta(lean, 1, rows)
    odds = (chance / (1 - chance)) ** 2
    return odds / (1 + odds), (rng.random(rows) < chance).astype(int)


def test_a_calibration_is_the_isotonic_regression() -> None:
    said, happened = drawn(np.random.default_rng(0), 3_000)
    ours = calibrate(said, happened)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(said, happened)
    grid = np.linspace(0, 1, 500)
    np.testing.assert_allclose(np.interp(grid, ours.said, ours.happened), theirs.predict(grid), atol=0.02)
    assert (np.diff(ours.happened) >= 0).all()


def test_accuracy_and_auc_are_known_without_labels_under_another_mix() -> None:
    rng = np.random.default_rng(1)
    said, happened = drawn(rng, 20_000)
    lines = of_labels(np.column_stack([1 - said, said]), happened)
    new, truth = drawn(rng, 20_000, lean=2.5)
    both = np.column_stack([1 - new, new])
    chances = calibrated(both, lines)
    assert expected_accuracy(both, chances) == pytest.approx(((new >= 0.5) == truth).mean(), abs=0.01)
    assert expected_roc_auc(new, chances[:, 1]) == pytest.approx(roc_auc_score(truth, new), abs=0.01)


def test_the_auc_that_is_expected_is_the_one_there_is_where_all_is_certain() -> None:
    said, happened = drawn(np.random.default_rng(2), 500)
    said = said.round(1)  # with ties
    assert expected_roc_auc(said, happened.astype(float)) == pytest.approx(roc_auc_score(happened, said))
    assert np.isnan(expected_roc_auc(said, np.zeros(500)))


def test_several_labels_add_up_to_one() -> None:
    rng = np.random.default_rng(3)
    said = rng.dirichlet([1, 1, 1], 2_000)
    lines = of_labels(said, np.array([rng.choice(3, p=row) for row in said]))
    np.testing.assert_allclose(calibrated(said, lines).sum(axis=1), 1)


def test_a_regressors_loss_is_foreseen_from_its_inputs() -> None:
    """Errors that are five times as large in one half of the rows; later on, nine rows in ten are of that half."""
    rng = np.random.default_rng(4)
    codes = {"half": rng.integers(0, 2, 4_000), "noise": rng.integers(0, 9, 4_000)}
    loss = np.where(codes["half"] == 1, 5.0, 1.0) * rng.chisquare(1, 4_000)
    tables = fit_tables(codes, loss)
    later = {"half": (rng.random(2_000) < 0.9).astype(int), "noise": rng.integers(0, 9, 2_000)}
    assert expected_loss(tables, later, 2_000).mean() == pytest.approx(4.6, rel=0.05)
    assert expected_loss(tables, {}, 3).tolist() == pytest.approx([loss.mean()] * 3)


def test_no_rows_are_no_calibration() -> None:
    with pytest.raises(DataError, match="none"):
        calibrate(np.empty(0), np.empty(0))
