from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from rivals.errors import DataError, SpecError
from rivals.statistics.losses import METRICS, indexes, metric, score

seeds = st.integers(0, 2**32 - 1)


def chances(rng: np.random.Generator, rows: int, labels: int) -> np.ndarray:
    raw = rng.dirichlet(np.full(labels, 0.3), rows)  # some as good as zero and one
    raw[:, 0] = 1 - raw[:, 1:].sum(axis=1)
    return np.clip(raw, 0, 1).round(int(rng.integers(1, 16)))  # rounding makes ties


def close(ours: float, theirs: float) -> bool:
    return bool(np.isclose(ours, theirs, rtol=1e-12, atol=1e-12, equal_nan=True))


@settings(max_examples=60, deadline=None)
@given(seeds, st.booleans())
def test_binary_metrics_are_those_of_scikit_learn(seed: int, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(2, 80))
    said = chances(rng, rows, 2)
    said[:, 0] = 1 - said[:, 1]
    target = rng.integers(0, 2, rows)
    target[:2] = 0, 1
    weight = rng.uniform(0.1, 3, rows) if weighted else None
    chosen = said.argmax(axis=1)
    each = np.ones(rows) if weight is None else weight
    known = {
        "log_loss": metrics.log_loss(target, said, sample_weight=weight),
        "brier": metrics.brier_score_loss(target, said[:, 1], sample_weight=weight),
        "roc_auc": metrics.roc_auc_score(target, said[:, 1], sample_weight=weight),
        "accuracy": metrics.accuracy_score(target, chosen, sample_weight=weight),
        "f1": metrics.f1_score(target, chosen, sample_weight=weight, zero_division=0),
        "f1@0.3": metrics.f1_score(target, said[:, 1] >= 0.3, sample_weight=weight, zero_division=0),
        "average_precision": metrics.average_precision_score(target, said[:, 1], sample_weight=weight),
        "balanced_log_loss": metrics.log_loss(target, said, sample_weight=each / np.bincount(target, each)[target]),
    }
    for name, value in known.items():
        assert close(score(name, target, said, weight=weight), value), name


@settings(max_examples=40, deadline=None)
@given(seeds, st.booleans())
def test_multiclass_metrics_are_those_of_scikit_learn(seed: int, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    rows, labels = int(rng.integers(6, 80)), ["blau", "grün", "red", "yellow"]
    said = rng.dirichlet(np.ones(4), rows)
    target = rng.integers(0, 4, rows)
    target[:4] = range(4)
    weight = rng.uniform(0.1, 3, rows) if weighted else None
    words = np.array(labels)[target]
    chosen = np.array(labels)[said.argmax(axis=1)]
    known = {
        "log_loss": metrics.log_loss(words, said, labels=labels, sample_weight=weight),
        "brier": metrics.brier_score_loss(words, said, labels=labels, sample_weight=weight),
        "accuracy": metrics.accuracy_score(words, chosen, sample_weight=weight),
        "f1": metrics.f1_score(words, chosen, average="macro", sample_weight=weight, zero_division=0),
        "average_precision": np.mean(
            [metrics.average_precision_score(target == k, said[:, k], sample_weight=weight) for k in range(4)],
        ),
        "roc_auc": np.mean(
            [metrics.roc_auc_score(target == k, said[:, k], sample_weight=weight) for k in range(4)],
        ),
    }
    for name, value in known.items():
        assert close(score(name, words, said, labels=labels, weight=weight), float(value)), name


@settings(max_examples=40, deadline=None)
@given(seeds, st.booleans())
def test_regression_metrics_are_those_of_scikit_learn(seed: int, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(2, 80))
    target = rng.normal(100, 20, rows)
    said = target + rng.normal(0, 5, rows)
    weight = rng.uniform(0.1, 3, rows) if weighted else None
    known = {
        "mae": metrics.mean_absolute_error(target, said, sample_weight=weight),
        "mse": metrics.mean_squared_error(target, said, sample_weight=weight),
        "rmse": metrics.root_mean_squared_error(target, said, sample_weight=weight),
        "r2": metrics.r2_score(target, said, sample_weight=weight),
        "pinball": metrics.mean_pinball_loss(target, said, sample_weight=weight),
    }
    for name, value in known.items():
        assert close(score(name, target, said[:, None], weight=weight), float(value)), name


@settings(max_examples=40, deadline=None)
@given(seeds, st.booleans(), st.sampled_from([None, 1, 3, 10]))
def test_ndcg_is_the_mean_of_scikit_learns_over_lists(seed: int, weighted: bool, most: int | None) -> None:
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(2, 60))
    target, said = rng.integers(0, 4, rows), rng.normal(size=(rows, 1)).round(int(rng.integers(0, 3)))  # with ties
    group = rng.integers(0, 6, rows).astype(str).astype(object)
    weight = rng.uniform(0.1, 3, rows) if weighted else None
    values, sizes = [], []
    for one in sorted(set(group)):
        here = group == one
        if target[here].any():  # a list without a relevant row says nothing
            alone = here.sum() == 1  # scikit-learn refuses a list of one, which is always in the best order
            values.append(1.0 if alone else metrics.ndcg_score([target[here]], [said[here, 0]], k=most))
            sizes.append(1.0 if weight is None else weight[here].mean())
    expected = np.average(values, weights=sizes) if values else np.nan
    name = "ndcg" if most is None else f"ndcg@{most}"
    assert close(score(name, target, said, weight=weight, group=group), float(expected))


def test_a_metric_within_groups_asks_for_groups() -> None:
    with pytest.raises(DataError, match=r"data\.group"):
        score("ndcg@3", [0, 1], [[0.1], [0.2]])


@pytest.mark.parametrize("name", ["ndcg@0", "ndcg@x", "f1@1", "f1@", "auc@3"])
def test_a_metric_at_nowhere_is_unknown(name: str) -> None:
    with pytest.raises(SpecError, match="No metric is called"):
        metric(name)


@pytest.mark.parametrize("name", [one.name for one in METRICS.values() if one.rows is not None])
def test_a_metric_with_losses_per_row_is_their_weighted_mean(name: str) -> None:
    rng = np.random.default_rng(1)
    target = rng.integers(0, 2, 50)
    said = chances(rng, 50, 2)
    weight = rng.uniform(0, 2, 50)
    found = metric(name)
    assert found.rows is not None
    assert close(found.compute(target, said, weight), float(np.average(found.rows(target, said), weights=weight)))


def test_a_sure_mistake_costs_much_and_not_infinity() -> None:
    assert score("log_loss", [0], [[0.0, 1.0]]) == pytest.approx(36.04, abs=0.01)


def test_what_is_undefined_is_nan() -> None:
    assert np.isnan(score("roc_auc", [1, 1], [[0.5, 0.5], [0.4, 0.6]]))
    assert np.isnan(score("log_loss", [], []))
    assert np.isnan(score("r2", [2.0, 2.0], [[1.0], [2.0]]))


def test_names_of_scikit_learn_are_understood() -> None:
    assert metric("brier_score").name == "brier"
    assert metric("root_mean_squared_error").name == "rmse"


def test_an_unknown_metric_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SpecError, match=r"'logloss'.*log_loss"):
        metric("logloss")


def test_an_unknown_label_is_refused_by_its_name() -> None:
    with pytest.raises(DataError, match="'pink' is not among 'red'"):
        indexes(["pink"], ["red"])
