"""Scores of banked predictions, by metrics of three kinds: ours, scikit-learn's scorers, the user's functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import get_scorer, get_scorer_names

from rivals.build.bank import HELD_OUT, Bank
from rivals.build.named import NAMED, named
from rivals.errors import SpecError
from rivals.plugins import nearest
from rivals.statistics.losses import ALIASES, METRICS, Floats, Metric, Target, Weight, found
from rivals.values import Learned, Scores


def measure(name: str, task: Learned, labels: Sequence[Any] = ()) -> Metric:
    """The metric of that name: one of ours, a scorer of scikit-learn, or ``module:function``.

    A function is called as ``function(labels, outputs)`` or with ``weight=...`` where rows have weights; more is better
    unless it has an attribute ``lower_is_better = True``. With ``by_group = True`` it is called for each group, without
    weights, and the metric is their mean. Raises ``SpecError`` with the nearest name.
    """
    known = None if NAMED.fullmatch(name) else found(name)
    if known is not None:
        if task not in known.tasks:
            fitting = [other.name for other in METRICS.values() if task in other.tasks]
            raise SpecError(
                f"metric {name} is none of a {task} task; of ours, these are: {', '.join(sorted(fitting))}."
            )
        return known
    if NAMED.fullmatch(name):
        return _own(name, labels)
    if task != "ranking" and name in get_scorer_names():
        return _scorer(name, task, labels)
    raise SpecError(f"No metric is called {name!r}.{nearest(name, [*METRICS, *ALIASES, *get_scorer_names()])}")


def scores(bank: Bank, metrics: Sequence[str]) -> Scores:
    """Metrics on all rows that were not fitted on; apart, those of every fold and last of the rows held out of all."""
    measures = [measure(name, bank.task, bank.labels) for name in metrics]
    parts = [*sorted(set(bank.fold[bank.fold != HELD_OUT].tolist())), *([HELD_OUT] if HELD_OUT in bank.fold else [])]
    folds = tuple(_all(measures, metrics, bank.where(bank.fold == part)) for part in parts)
    return Scores(_all(measures, metrics, bank.judged), folds)


def _all(measures: Sequence[Metric], names: Sequence[str], bank: Bank) -> dict[str, float]:
    pairs = zip(names, measures, strict=True)
    return {name: one.of(bank.target, bank.outputs, bank.weight, bank.group) for name, one in pairs}


def _own(name: str, labels: Sequence[Any]) -> Metric:
    function = named(name)

    def compute(target: Target, outputs: Floats, weight: Weight) -> float:
        truth = np.array(labels)[target] if labels else target
        return float(function(truth, outputs, **({} if weight is None else {"weight": weight})))

    lower, by_group = (bool(getattr(function, key, False)) for key in ("lower_is_better", "by_group"))
    return Metric(name, lower, compute, by_group=by_group)


def _scorer(name: str, task: Learned, labels: Sequence[Any]) -> Metric:
    scorer = get_scorer(name)
    labelled = task in {"binary", "multiclass"}

    def answered(outputs: Floats) -> Any:
        return _Chances(outputs, labels) if labelled else _Values(outputs)

    def compute(target: Target, outputs: Floats, weight: Weight) -> float:
        truth = np.array(labels)[target] if labels else target
        given = {} if weight is None else {"sample_weight": weight}
        return float(scorer(answered(outputs), np.arange(len(outputs))[:, None], truth, **given))

    return Metric(name, lower_is_better=False, compute=compute)  # scikit-learn turns losses round


class _Chances(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Answers that are known already, in the manner scorers ask for; X holds row numbers."""

    def __init__(self, outputs: Floats, labels: Sequence[Any]) -> None:
        self.outputs, self.classes_ = outputs, np.array(labels)

    def predict_proba(self, places: NDArray[np.int64]) -> Floats:
        return self.outputs[places[:, 0]]

    def predict(self, places: NDArray[np.int64]) -> NDArray[Any]:
        chosen: NDArray[Any] = self.classes_[self.predict_proba(places).argmax(axis=1)]
        return chosen

    def __sklearn_is_fitted__(self) -> bool:
        return True


class _Values(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """As ``_Chances``, for values."""

    def __init__(self, outputs: Floats) -> None:
        self.outputs = outputs

    def predict(self, places: NDArray[np.int64]) -> Floats:
        values: Floats = self.outputs[places[:, 0], 0]
        return values

    def __sklearn_is_fitted__(self) -> bool:
        return True
