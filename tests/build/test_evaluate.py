from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from rivals.build.bank import Bank
from rivals.build.evaluate import measure, scores
from rivals.errors import SpecError

from .toy import HERE

RNG = np.random.default_rng(0)
ROWS = 90
LABELS = ("a", "b", "c")


def banked(task: Any = "binary", weighted: bool = False) -> Bank:
    width = {"binary": 2, "multiclass": 3, "regression": 1}[task]
    outputs = RNG.normal(size=(ROWS, 1)) if width == 1 else RNG.dirichlet(np.ones(width), ROWS)
    return Bank(
        ids=np.arange(ROWS).astype(str).astype(object),
        fold=np.repeat([0, 1, -1], ROWS // 3),
        target=RNG.normal(size=ROWS) if width == 1 else RNG.integers(0, width, ROWS),
        outputs=outputs,
        task=task,
        labels=() if width == 1 else (0, 1) if width == 2 else LABELS,
        weight=RNG.uniform(0.5, 2, ROWS) if weighted else None,
    )


def test_scores_are_of_all_rows_and_apart_of_each_fold_and_of_those_held_out() -> None:
    bank = banked()
    found = scores(bank, ("log_loss", "accuracy"))
    assert found.metrics["log_loss"] == pytest.approx(metrics.log_loss(bank.target, bank.outputs))
    assert len(found.folds) == 3
    held = bank.fold == -1
    assert found.folds[2]["log_loss"] == pytest.approx(metrics.log_loss(bank.target[held], bank.outputs[held]))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("binary", "average_precision"), ("binary", "neg_brier_score"), ("binary", "balanced_accuracy"),
        ("multiclass", "roc_auc_ovr"), ("multiclass", "f1_weighted"), ("regression", "neg_median_absolute_error"),
    ],
)  # fmt: skip
def test_scorers_of_scikit_learn_are_asked_as_it_asks_them(task: str, name: str, weighted: bool) -> None:
    bank = banked(task, weighted)
    found = measure(name, bank.task, bank.labels)
    weight = {"sample_weight": bank.weight}
    words = np.array(bank.labels)[bank.target] if bank.labels else bank.target
    chosen = np.array(bank.labels)[bank.outputs.argmax(axis=1)] if bank.labels else bank.outputs[:, 0]
    known = {
        "average_precision": lambda: metrics.average_precision_score(words, bank.outputs[:, -1], **weight),
        "neg_brier_score": lambda: -metrics.brier_score_loss(words, bank.outputs[:, -1], **weight),
        "balanced_accuracy": lambda: metrics.balanced_accuracy_score(words, chosen, **weight),
        "roc_auc_ovr": lambda: metrics.roc_auc_score(words, bank.outputs, multi_class="ovr", **weight),
        "f1_weighted": lambda: metrics.f1_score(words, chosen, average="weighted", **weight),
        "neg_median_absolute_error": lambda: -metrics.median_absolute_error(words, chosen, **weight),
    }[name]
    assert found.compute(bank.target, bank.outputs, bank.weight) == pytest.approx(known(), abs=1e-12)
    assert not found.lower_is_better


def test_the_users_own_function_is_a_metric() -> None:
    bank = banked()
    own = measure(f"{HERE}:above", "binary", bank.labels)
    assert own.compute(bank.target, bank.outputs, None) == pytest.approx(
        bank.outputs[np.arange(ROWS), bank.target].mean()
    )
    assert not own.lower_is_better
    assert measure(f"{HERE}:cost", "binary", bank.labels).lower_is_better


@pytest.mark.parametrize(
    ("name", "task", "says"),
    [
        ("log_los", "binary", "Did you mean 'log_loss'"),
        ("rmse", "binary", "rmse is none of a binary task"),
        ("log_loss", "regression", "mae, mse, pinball, r2, rmse"),
        ("nowhere:metric", "binary", "no module 'nowhere'"),
    ],
)
def test_mistakes_are_sentences(name: str, task: Any, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        measure(name, task)
    assert says in str(caught.value)
