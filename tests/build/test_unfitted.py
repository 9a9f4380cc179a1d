from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_sample_weight

from rivals.build.unfitted import unfitted, weights
from rivals.errors import BuildError, DataError, SpecError
from rivals.statistics.losses import score
from rivals.values import Use
from tests.build.lists import lists
from tests.build.toy import prepared

LINEAR = {"estimator": "LogisticRegression"}


def block_of(rows: Any) -> Any:
    return np.nan_to_num(rows.inputs[["a", "b"]].to_numpy(np.float32))


def everyone(rows: Any) -> Any:
    return np.arange(len(rows))


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_balanced_is_what_scikit_learn_means_by_it(task: Any) -> None:
    rows = prepared(task)
    rows.target[: len(rows) // 2] = 0  # makes the other labels rare
    block, which = block_of(rows), everyone(rows)
    np.testing.assert_allclose(weights(rows, which, "balanced"), compute_sample_weight("balanced", rows.labels))
    made = unfitted(Use("sklearn", {**LINEAR, "class_weight": "balanced"}), task, 0).fit(block, rows, which)
    theirs = LogisticRegression(class_weight="balanced").fit(block, rows.labels)
    np.testing.assert_allclose(made.predict_proba(block), theirs.predict_proba(block), atol=1e-3)


def test_balanced_goes_with_the_weights_of_rows() -> None:
    rows = prepared(weight="w")
    assert rows.weight is not None
    found = weights(rows, everyone(rows), "balanced")
    assert found is not None
    sums = np.bincount(rows.target, found)
    assert sums[0] == pytest.approx(sums[1])
    assert sums.sum() == pytest.approx(rows.weight.sum())
    given = weights(rows, everyone(rows), {1: 3.0})
    assert given is not None
    np.testing.assert_allclose(given, rows.weight * np.where(rows.target == 1, 3.0, 1.0))


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("sklearn", LINEAR),
        ("sklearn", {"estimator": "GaussianNB"}),
        ("lightgbm", {"n_estimators": 20}),
        ("xgboost", {"n_estimators": 20}),
        ("catboost", {"iterations": 20}),
        ("function", {"function": "tests.build.toy:model"}),
        ("pipeline", {"estimator": {"use": "sklearn.linear_model:LogisticRegression"}}),
    ],
)
def test_every_family_hears_of_rare_labels(family: str, options: dict[str, Any]) -> None:
    rows = prepared()
    rows.target[np.random.default_rng(0).random(len(rows)) < 0.8] = 0
    block = block_of(rows)
    said = [
        unfitted(Use(family, {**options, **more}), "binary", 0).fit(block, rows, everyone(rows)).predict_proba(block)
        for more in ({}, {"class_weight": "balanced"}, {"class_weight": {1: 10}})
    ]
    assert said[1][:, 1].mean() > 1.5 * said[0][:, 1].mean()
    assert said[2][:, 1].mean() > 1.5 * said[0][:, 1].mean()


@pytest.mark.parametrize(
    ("task", "wanted", "said"),
    [
        ("regression", "balanced", "goes with labels"),
        ("binary", "balanced_subsample", "knows no class_weight 'balanced_subsample'; say balanced"),
        ("binary", {"no": -1}, "from 0 up"),
        ("binary", 3, "balanced, or a number for each label"),
        ("multiclass", {"tip": 3}, "no label 'tip'. Did you mean 'top'?"),
    ],
)
def test_weights_of_labels_that_cannot_be_are_refused(task: Any, wanted: Any, said: str) -> None:
    rows = prepared(task)
    with pytest.raises(SpecError, match=said.replace("?", r"\?")):
        unfitted(Use("xgboost", {"n_estimators": 2, "class_weight": wanted}), task, 0).fit(
            block_of(rows), rows, everyone(rows)
        )


def test_what_takes_no_weights_says_so() -> None:
    rows = prepared()
    use = Use("sklearn", {"estimator": "KNeighborsClassifier", "class_weight": "balanced"})
    with pytest.raises(BuildError, match=r"takes no weights.*class_weight"):
        unfitted(use, "binary", 0).fit(block_of(rows), rows, everyone(rows))


@pytest.mark.parametrize(("family", "options"), [("lightgbm", {"n_estimators": 30}), ("xgboost", {"n_estimators": 30})])
def test_a_ranker_is_told_lists_in_any_order_and_ranks_within_them(family: str, options: dict[str, Any]) -> None:
    rows = lists()
    block = rows.inputs.to_numpy(np.float32)
    model = unfitted(Use(family, options), "ranking", 0).fit(block, rows, everyone(rows))
    said = model.predict(block).reshape(-1, 1)
    assert score("ndcg@5", rows.target, said, group=rows.group) > 0.95
    shuffled = np.random.default_rng(1).permutation(len(rows))
    order = np.argsort(np.asarray(rows.group)[shuffled], kind="stable")
    again = unfitted(Use(family, options), "ranking", 0).fit(block[shuffled], rows, shuffled)
    assert len(order) == len(again.predict(block))
    assert score("ndcg@5", rows.target, again.predict(block).reshape(-1, 1), group=rows.group) > 0.95


def test_what_is_no_ranker_learns_what_a_row_is_worth() -> None:
    rows = lists()
    block = rows.inputs.to_numpy(np.float32)
    model = unfitted(Use("sklearn", {"estimator": "Ridge"}), "ranking", 0).fit(block, rows, everyone(rows))
    assert score("ndcg@5", rows.target, model.predict(block).reshape(-1, 1), group=rows.group) > 0.9


def test_a_ranker_refuses_what_is_no_grade() -> None:
    rows = lists()
    with pytest.raises(DataError, match="grades"):
        unfitted(Use("lightgbm", {"n_estimators": 2}), "ranking", 0).fit(
            rows.inputs.to_numpy(np.float32), type(rows)(rows.inputs, rows.target - 0.5, rows.signature, rows.ids, group=rows.group), everyone(rows)
        )  # fmt: skip
