"""Blocks of paired losses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss

from rivals.observe.outcomes import Metric, difference, matured
from rivals.values import Pair

DAY = 86_400.0


@pytest.mark.parametrize(
    ("now", "starts"),
    [(0.0, []), (3 * DAY - 1, []), (3 * DAY, [0.0]), (5.5 * DAY, [0.0, DAY, 2 * DAY]), (-DAY, [])],
)
def test_a_block_matures_when_its_last_label_is_due(now: float, starts: list[float]) -> None:
    assert matured(0.0, now, DAY, label_delay=2 * DAY) == starts


@given(st.floats(0, 1e9), st.floats(1, 1e6), st.floats(0, 1e6), st.floats(0, 30))
@settings(max_examples=100)
def test_matured_blocks_follow_one_another_and_are_over(
    first: float, block: float, delay: float, blocks: float
) -> None:
    now = first + blocks * block + delay
    starts = matured(first, now, block, delay)
    assert all(start + block + delay <= now for start in starts)
    assert starts == sorted(set(starts))
    assert abs(len(starts) - blocks) <= 1 + 1e-6


def rows(count: int = 50, classes: int = 2, seed: int = 1) -> tuple[list[Pair], np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = rng.integers(classes, size=count)
    p, q = rng.dirichlet(np.ones(classes), (2, count))
    pairs = [
        Pair(f"{i}/0", float(i), tuple(a), tuple(b), int(y))
        for i, (a, b, y) in enumerate(zip(p.tolist(), q.tolist(), label, strict=True))
    ]
    return pairs, label, p, q


def of(
    pairs: list[Pair],
    metric: Metric = "brier",
    labels: tuple[Any, ...] = (0, 1),
    bound: float = math.inf,
    least: int = 1,
) -> Any:
    return difference(pairs, metric, labels, bound=bound, min_pairs=least)


def test_brier_differences_are_those_of_scikit_learn() -> None:
    pairs, label, p, q = rows()
    found = of(pairs)
    assert found.rows == 50
    assert found.mean == pytest.approx(brier_score_loss(label, q[:, 1]) - brier_score_loss(label, p[:, 1]), abs=1e-12)


def test_brier_of_several_classes_is_halved_so_that_it_stays_below_one() -> None:
    pairs, label, p, q = rows(classes=3)
    happened = np.eye(3)[label]
    expected = (((q - happened) ** 2).sum(axis=1) - ((p - happened) ** 2).sum(axis=1)).mean() / 2
    assert of(pairs, labels=(0, 1, 2)).mean == pytest.approx(expected, abs=1e-12)
    worst = Pair("1/0", 0.0, (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), 0)
    assert of([worst], labels=(0, 1, 2)).mean == 1.0


def test_log_loss_is_clipped_and_scaled() -> None:
    pairs, label, p, q = rows()
    expected = (log_loss(label, q) - log_loss(label, p)) / math.log(1000)
    assert of(pairs, "log_loss").mean == pytest.approx(expected, rel=0.05)
    assert of([Pair("1/0", 0.0, (0.0, 1.0), (1.0, 0.0), 1)], "log_loss").mean == pytest.approx(1.0)


def test_squared_errors_are_clipped_at_the_bound() -> None:
    pairs = [Pair("1/0", 0.0, (1.0,), (100.0,), 2.0), Pair("2/0", 0.0, (1.0,), (2.0,), 2)]
    assert of(pairs, "squared").mean == pytest.approx((98.0**2 - 1 - 1) / 2)
    assert of(pairs, "squared", bound=4.0).mean == pytest.approx((4 - 1 - 1) / 2)


def test_labels_are_found_by_what_they_are() -> None:
    pair = Pair("1/0", 0.0, (0.9, 0.1), (0.1, 0.9), "late")
    assert of([pair], labels=("in time", "late")).mean == pytest.approx(0.01 - 0.81)
    assert of([Pair("1/0", 0.0, (0.9, 0.1), (0.1, 0.9), True)]).mean == pytest.approx(0.01 - 0.81)


@pytest.mark.parametrize("label", [None, "yes", 7, math.nan, [1], {"a": 1}])
def test_a_label_that_is_none_of_the_labels_is_no_label(label: Any) -> None:
    assert of([Pair("1/0", 0.0, (0.5, 0.5), (0.5, 0.5), label)]) is None


@pytest.mark.parametrize("label", [None, "7", math.nan, math.inf, [1.0]])
def test_a_value_that_is_no_number_is_no_value(label: Any) -> None:
    assert of([Pair("1/0", 0.0, (0.5,), (0.5,), label)], "squared") is None


def test_silence_is_not_evidence() -> None:
    pairs, *_ = rows(20)
    assert of([]) is None
    assert of(pairs, least=21) is None
    assert of(pairs, least=20).rows == 20
    assert of([Pair("1/0", 0.0, (0.5, 0.5), (math.nan, math.nan), 1)]) is None
