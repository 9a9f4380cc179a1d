from __future__ import annotations

import numpy as np
import pytest

from rivals.statistics.losses import Metric, metric
from rivals.statistics.offline import DAY, blocks_of, confidence_set, differences, drawn, influences, interval

DRAWS = 400


def losses(rng: np.random.Generator, gaps: list[float], days: int = 25, rows: int = 30) -> np.ndarray:
    """Losses (models, rows) with shocks that a day's rows share, in part with the other models."""
    common = rng.normal(0, 0.10, days)
    own = rng.normal(0, 0.03, (len(gaps), days))
    noise = rng.normal(0, 0.15, (len(gaps), days, rows))
    return (np.array(gaps)[:, None, None] + common[None, :, None] + own[:, :, None] + noise).reshape(len(gaps), -1)


def mean_of_outputs() -> Metric:
    return Metric("loss", True, lambda t, o, w: float(np.average(o[:, 0], weights=w)), rows=lambda t, o: o[:, 0])


def looked(found: np.ndarray, days: int = 25) -> tuple[np.ndarray, np.ndarray]:
    blocks = np.repeat(np.arange(days), found.shape[1] // days)
    each = [influences(mean_of_outputs(), np.zeros(found.shape[1]), one[:, None], None, blocks) for one in found]
    return np.array([score for score, _ in each]), np.array([influence for _, influence in each])


def test_days_are_blocks_where_there_are_enough() -> None:
    time = np.repeat(np.arange(12) * DAY, 5) + np.tile(np.arange(5) * 3600.0, 12)
    assert (blocks_of(60, time) == np.repeat(np.arange(12), 5)).all()


def test_few_days_are_cut_into_stretches_of_equal_size_in_the_order_of_time() -> None:
    time = np.random.default_rng(0).permutation(100).astype(float)
    blocks = blocks_of(100, time)
    assert (np.bincount(blocks) == 10).all()
    assert (np.diff(blocks[np.argsort(time)]) >= 0).all()


def test_a_group_is_a_block() -> None:
    group = np.array([f"g{k % 12}" for k in range(60)], dtype=object)
    blocks = blocks_of(60, None, group)
    assert len(set(blocks)) == 12
    assert all(len(set(blocks[group == name])) == 1 for name in set(group))


@pytest.mark.parametrize("weighted", [False, True])
def test_influences_of_a_mean_are_the_same_by_losses_and_by_leaving_out(weighted: bool) -> None:
    rng = np.random.default_rng(3)
    target, said = rng.integers(0, 2, 200), rng.dirichlet([1, 1], 200)
    weight = rng.uniform(0.5, 2, 200) if weighted else None
    blocks = np.repeat(np.arange(20), 10)
    brier = metric("brier")
    by_rows = influences(brier, target, said, weight, blocks)
    without = influences(Metric("brier", True, brier.compute), target, said, weight, blocks)
    assert by_rows[0] == without[0]
    assert np.allclose(by_rows[1], without[1], atol=1e-12)


def test_the_jackknife_of_a_mean_gives_its_standard_error() -> None:
    rng = np.random.default_rng(4)
    found = rng.normal(size=(1, 50))
    _, influence = looked(found, days=50)
    assert influence[0].std(ddof=1) / np.sqrt(50) == pytest.approx(found.std(ddof=1) / np.sqrt(50))


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    """95 % nominal, 25 shared-shock days, 300 runs: 92 % or more; a true 95 % falls below in about 2 % of seeds."""
    held = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        scores, influence = looked(losses(rng, [0.5]))
        low, high = interval(scores[0], influence[0], drawn(25, DRAWS, rng), 0.05)
        held += low <= 0.5 <= high
    assert held >= 276


def test_the_rows_own_error_would_be_far_too_small() -> None:
    """The same rows taken for independent cover the truth in less than 60 %: the reason why days are drawn."""
    held = 0
    for seed in range(200):
        found = losses(np.random.default_rng(seed), [0.5])[0]
        held += abs(found.mean() - 0.5) <= 1.96 * found.std() / np.sqrt(len(found))
    assert held < 120


def test_equals_are_seldom_called_different() -> None:
    """Five equal models against the first, 5 % together; 300 runs: at most 24 alarms (P < 2 % at a true 5 %)."""
    alarms = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        scores, influence = looked(losses(rng, [0.5] * 5))
        found = differences(scores[1:] - scores[0], influence[1:] - influence[0], drawn(25, DRAWS, rng), 0.05)
        alarms += any(one.low > 0 or one.high < 0 for one in found)
    assert alarms <= 24


def test_the_best_is_in_the_confidence_set_and_bad_ones_are_not() -> None:
    """Two equal best ones stay, both, in 95 %: at most 16 of 200 runs lose one (P < 3 % at a true 5 %)."""
    lost = kept_bad = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        scores, influence = looked(losses(rng, [0.5, 0.5, 0.6]))
        left = confidence_set(scores, influence, drawn(25, DRAWS, rng), 0.05)
        lost += not {0, 1} <= set(left)
        kept_bad += 2 in left
    assert lost <= 16
    assert kept_bad <= 4


def test_equal_predictions_are_never_told_apart() -> None:
    rng = np.random.default_rng(5)
    one = losses(rng, [0.5, 0.9])
    scores, influence = looked(np.array([one[0], one[0], one[0], one[1]]))
    counts = drawn(25, DRAWS, rng)
    assert confidence_set(scores, influence, counts, 0.05) == [0, 1, 2]
    (same,) = differences(scores[1:2] - scores[0], influence[1:2] - influence[0], counts, 0.05)
    assert (same.estimate, same.low, same.high) == (0.0, 0.0, 0.0)


def test_one_model_is_the_best() -> None:
    rng = np.random.default_rng(6)
    scores, influence = looked(losses(rng, [0.5]))
    assert confidence_set(scores, influence, drawn(25, DRAWS, rng), 0.05) == [0]
