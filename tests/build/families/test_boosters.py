"""What is particular to the families xgboost, catboost and function; their door's claims are in tests/doors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from rivals.build.families.catboost import CatBoost
from rivals.build.families.function import Function
from rivals.build.families.xgboost import XGBoost
from rivals.errors import SpecError
from rivals.testing import prepared

HERE = __name__


def a_class(task: str, seed: int) -> Any:
    """Not an estimator but its class."""
    return XGBoost


def no_chances(task: str, seed: int) -> Any:
    """An estimator that gives no probabilities."""
    return XGBoost().estimator("regression", seed)


def test_xgboost_takes_texts_for_labels_and_answers_with_them() -> None:
    rows = prepared(("a", "b"), "multiclass")
    block = rows.inputs.to_numpy(np.float32)
    model = clone(XGBoost(n_estimators=5).estimator("multiclass", 0)).fit(block, rows.labels)
    assert set(model.predict(block)) <= {"low", "mid", "top"}
    assert list(model.classes_) == ["low", "mid", "top"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: XGBoost(n_estimatorz=3), "n_estimatorz.*n_estimators"),
        (lambda: XGBoost(n_jobs=3), "'n_jobs' to choose"),
        (lambda: CatBoost(train_dir="x"), "'train_dir' is not for a variant to choose"),
        (lambda: CatBoost(depths=3).estimator("binary", 0), "CatBoost: .*depths"),
        (lambda: Function(f"{HERE}:a_class").estimator("binary", 0), "lacks an instance"),
        (lambda: Function(f"{HERE}:no_chances").estimator("binary", 0), "lacks predict_proba"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(make: Any, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        make()
