"""Gradient-boosted trees by XGBoost."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from xgboost import XGBClassifier, XGBModel, XGBRanker, XGBRegressor

from rivals.build.lists import graded, in_lists
from rivals.errors import SpecError
from rivals.plugins import nearest

SETTLED = {"n_jobs": 1, "tree_method": "hist", "verbosity": 0}
KEPT = ("enable_categorical", "callbacks", "early_stopping_rounds", "eval_metric", "n_jobs")  # not of a wish


class XGBoost:
    """XGBoost's scikit-learn estimator for the task; options are its parameters: ``XGBoost(n_estimators=200)``.

    It takes gaps as they are; ``scale_pos_weight`` helps where one label is rare. Extra ``rivals[boosting]``.
    Chen & Guestrin, XGBoost: A scalable tree boosting system, KDD 2016.
    """

    tasks = ("binary", "multiclass", "regression", "ranking")

    def __init__(self, **params: Any) -> None:
        known = [name for name in [*XGBModel().get_params(), "scale_pos_weight"] if name not in KEPT]
        for name in params:
            if name not in known:
                raise SpecError(f"XGBoost has no parameter {name!r} to choose.{nearest(name, known)}")
        self._params = params

    def estimator(self, task: str, seed: int) -> Any:
        """Unfitted, by task."""
        made = {"ranking": Ranked, "regression": XGBRegressor}.get(task, Labelled)
        return made(**{**SETTLED, "random_state": seed, **self._params})


class Labelled(XGBClassifier):  # type: ignore[misc]  # XGBoost has no types
    """XGBoost's classifier for labels of any kind: it numbers them, as XGBoost wants them."""

    def fit(self, inputs: Any, labels: Any, *, sample_weight: Any = None) -> Labelled:
        """Fit on labels as they are."""
        self.__dict__.pop("labels_", None)  # while it is fitted its classes are numbers
        known, numbers = np.unique(np.asarray(labels), return_inverse=True)
        super().fit(inputs, numbers, sample_weight=sample_weight)
        self.labels_ = known
        return self

    def predict(self, inputs: Any, **more: Any) -> NDArray[Any]:
        """The likeliest label of each row."""
        found: NDArray[Any] = self.labels_[np.asarray(super().predict(inputs, **more), np.int64)]
        return found

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, in the order of the probabilities."""
        found: NDArray[Any] = self.labels_ if "labels_" in vars(self) else super().classes_
        return found


class Ranked(XGBRanker):  # type: ignore[misc]  # XGBoost has no types
    """XGBoost's ranker (LambdaMART), told which rows are one list in whatever order they come."""

    def fit(self, inputs: Any, values: Any, groups: Any, sample_weight: Any = None) -> Ranked:
        """Fit on grades 0, 1, 2, ...; a list weighs what its rows weigh on average, for XGBoost weighs lists."""
        order, index = in_lists(groups)
        lists = None if sample_weight is None else np.bincount(index, sample_weight[order]) / np.bincount(index)
        super().fit(inputs[order], graded(values)[order], qid=index, sample_weight=lists)
        return self
