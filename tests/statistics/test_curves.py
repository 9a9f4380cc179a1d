from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import auc, average_precision_score, roc_auc_score

from rivals.statistics.curves import cut, precision_recall, reliability, roc, thresholds


def drawn(seed: int = 0, rows: int = 2000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    chance = np.round(rng.uniform(0.02, 0.98, rows), 2)
    return (rng.random(rows) < chance).astype(int), chance, rng.uniform(0.5, 2, rows)


@pytest.mark.parametrize("weighted", [False, True])
def test_areas_under_the_curves_are_scikit_learns(weighted: bool) -> None:
    target, chance, weight = drawn()
    each = weight if weighted else None
    curve, steps = roc(target, chance, each), precision_recall(target, chance, each)
    assert auc(curve.x, curve.y) == pytest.approx(roc_auc_score(target, chance, sample_weight=each))
    area = np.sum(np.diff(np.append(0.0, steps.x)) * steps.y)
    assert area == pytest.approx(average_precision_score(target, chance, sample_weight=each))


def test_true_chances_are_reliable_and_intervals_hold_them() -> None:
    """Ten bins of ten seeds, each at 95 %: at most 12 of 100 outside (P < 1 %)."""
    outside = 0
    for seed in range(10):
        target, chance, _ = drawn(seed)
        found = reliability(target, chance)
        outside += int(((found.said < found.low) | (found.said > found.high)).sum())
        assert found.rows.sum() == len(target)
        assert found.error < 0.05
    assert outside <= 12


def test_one_probability_for_all_is_one_bin() -> None:
    found = reliability(np.array([0, 1, 1, 0]), np.full(4, 0.5))
    assert (found.rows.tolist(), found.error) == ([4], 0.0)


def test_a_cut_says_one_from_the_threshold_up() -> None:
    outputs = np.array([[0.7, 0.3], [0.69, 0.31], [0.2, 0.8]])
    assert cut(outputs, 0.31)[:, 1].tolist() == [0, 1, 1]
    assert thresholds(outputs[:, 1]).max() <= 0.8
