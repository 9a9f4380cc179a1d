"""Per-row losses and metrics in float64, equal to ``sklearn.metrics`` and without it.

A classifier's ``target`` is the index of the row's label, its ``outputs`` are probabilities of shape (rows, labels);
a regressor's are values, of shape (rows,) and (rows, 1). Of two labels only the second one's probability is looked at.
Weights are optional everywhere. What is undefined on the rows given (a ranking of one class, a mean of no rows) is
NaN, never a made-up number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rivals.errors import DataError, SpecError

Floats = NDArray[np.float64]
Target = NDArray[Any]
Weight = Floats | None

TINY = float(np.finfo(np.float64).eps)  # probabilities are clipped to [TINY, 1 - TINY], as scikit-learn clips them
BINARY = 2
VALUES = ("regression", "custom")


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of merit. ``rows`` gives a loss per row where the metric is their weighted mean.

    With ``by_group``, ``compute`` is of the rows of one group, and the metric the mean over groups: each weighs what
    its rows weigh on average, and one where it is undefined (NaN) is left out.
    """

    name: str
    lower_is_better: bool
    compute: Callable[[Target, Floats, Weight], float]
    rows: Callable[[Target, Floats], Floats] | None = None
    tasks: tuple[str, ...] = ("binary", "multiclass")
    by_group: bool = False

    def of(self, target: Target, outputs: Floats, weight: Weight = None, group: NDArray[Any] | None = None) -> float:
        """The metric on these rows. Raises ``DataError`` where it is by group and rows have none."""
        if not self.by_group:
            return self.compute(target, outputs, weight)
        values, sizes, _ = self.groups(target, outputs, weight, group)
        return float(values @ sizes / sizes.sum()) if sizes.sum() else float("nan")

    def groups(
        self, target: Target, outputs: Floats, weight: Weight, group: NDArray[Any] | None
    ) -> tuple[Floats, Floats, NDArray[np.int64]]:
        """Of a metric by group: the value and the weight of each group (0 where undefined), and each row's group."""
        if group is None:
            raise DataError(f"{self.name} is taken within groups: name the column under data.group.")
        index = np.unique(group, return_inverse=True)[1].astype(np.int64)
        order = np.argsort(index, kind="stable")
        parts = np.split(order, np.cumsum(np.bincount(index))[:-1]) if len(index) else []
        values = np.array([self.compute(target[part], outputs[part], None) for part in parts], np.float64)
        sizes = np.array([1.0 if weight is None else weight[part].mean() for part in parts], np.float64)
        known = np.isfinite(values)
        return np.where(known, values, 0.0), np.where(known, sizes, 0.0), index


def metric(name: str) -> Metric:
    """The metric of that name. Raises ``SpecError`` with the names there are."""
    if (known := found(name)) is None:
        raise SpecError(f"No metric is called {name!r}. Known: {', '.join(sorted(METRICS))}.")
    return known


def found(name: str) -> Metric | None:
    """The metric of that name, if it is one of ours."""
    return METRICS.get(ALIASES.get(name, name)) or _at(name)


def score(
    name: str, target: Any, outputs: Any, *, labels: Sequence[Any] | None = None, weight: Weight = None,
    group: NDArray[Any] | None = None,
) -> float:  # fmt: skip
    """Compute one metric. ``labels`` (in the order of the outputs) where ``target`` holds labels instead of indexes."""
    chosen = metric(name)
    answers = np.asarray(outputs, np.float64)
    answers = answers.reshape(len(answers), -1) if len(answers) else answers
    truth = np.asarray(target) if labels is None else indexes(target, labels)
    if not len(truth):
        return float("nan")
    return chosen.of(truth, answers, weight, group)


def indexes(target: Any, labels: Sequence[Any]) -> NDArray[np.int64]:
    """Labels as their indexes. Raises ``DataError`` on a label that is not among them."""
    places = {label: index for index, label in enumerate(labels)}
    try:
        return np.array([places[label] for label in target], np.int64)
    except KeyError as error:
        raise DataError(f"The label {error.args[0]!r} is not among {', '.join(map(repr, labels))}.") from None


# -- losses per row ---------------------------------------------------------------------------------


def log_loss(target: Target, outputs: Floats) -> Floats:
    """Minus the logarithm of the probability given to what happened."""
    if outputs.shape[1] == BINARY:
        likely = np.where(target == 1, outputs[:, 1], 1 - outputs[:, 1])
    else:
        likely = outputs[np.arange(len(outputs)), target.astype(np.int64)]
    lost: Floats = -np.log(np.clip(likely, TINY, 1 - TINY))
    return lost


def brier(target: Target, outputs: Floats) -> Floats:
    """Squared distance from what happened (Brier 1950); of two classes, half of it: (p - y)^2."""
    if outputs.shape[1] == BINARY:
        return np.asarray(np.square(outputs[:, 1] - target), np.float64)
    happened = np.zeros_like(outputs)
    happened[np.arange(len(outputs)), target.astype(np.int64)] = 1.0
    every: Floats = np.square(outputs - happened).sum(axis=1)
    return every


def missed(target: Target, outputs: Floats) -> Floats:
    """1 where the likeliest label did not happen."""
    return np.asarray(outputs.argmax(axis=1) != target, np.float64)


def absolute(target: Target, outputs: Floats) -> Floats:
    """Absolute error."""
    return np.abs(outputs[:, 0] - target)


def squared(target: Target, outputs: Floats) -> Floats:
    """Squared error."""
    return np.square(outputs[:, 0] - target)


# -- metrics that are no mean of losses -------------------------------------------------------------


def roc_auc(target: Target, outputs: Floats, weight: Weight) -> float:
    """How often a row of the second class ranks above one of the first; several classes: mean of one against rest."""
    if outputs.shape[1] == BINARY:
        return _auc(target == 1, outputs[:, 1], weight)
    return float(np.mean([_auc(target == k, outputs[:, k], weight) for k in range(outputs.shape[1])]))


def f1(target: Target, outputs: Floats, weight: Weight) -> float:
    """Harmonic mean of precision and recall of the second class; several classes: the mean over them."""
    chosen = outputs.argmax(axis=1)
    classes = [1] if outputs.shape[1] == BINARY else sorted({*target.tolist(), *chosen.tolist()})
    return float(np.mean([_f1(target == k, chosen == k, weight) for k in classes]))


def average_precision(target: Target, outputs: Floats, weight: Weight) -> float:
    """Precision averaged over recall of the second class, the rarer one as a rule; several classes: their mean."""
    if outputs.shape[1] == BINARY:
        return _precision(target == 1, outputs[:, 1], weight)
    return float(np.mean([_precision(target == k, outputs[:, k], weight) for k in range(outputs.shape[1])]))


def balanced_log_loss(target: Target, outputs: Floats, weight: Weight) -> float:
    """Log loss where every label that is there counts the same, however rare it is."""
    each, lost = np.ones(len(target)) if weight is None else weight, log_loss(target, outputs)
    kept = [target == k for k in np.unique(target) if each[target == k].any()]
    return float(np.mean([np.average(lost[rows], weights=each[rows]) for rows in kept]))


def ndcg(target: Target, outputs: Floats, most: int | None = None) -> float:
    """Discounted gain of the first ``most`` rows, of the best order's (Jarvelin & Kekalainen 2002).

    Ties share their places; NaN where no row is relevant.
    """
    places = 1 / np.log2(np.arange(2, len(target) + 2))
    places[len(target) if most is None else most :] = 0.0
    gains = np.asarray(target, np.float64)
    best = float(np.sort(gains)[::-1] @ places)
    _, tie, many = np.unique(-outputs[:, 0], return_inverse=True, return_counts=True)
    ends = np.cumsum(many)
    summed = np.diff(np.append(0.0, np.cumsum(places)[ends - 1]))
    return float(np.bincount(tie, gains) / many @ summed / best) if best > 0 else float("nan")


def r2(target: Target, outputs: Floats, weight: Weight) -> float:
    """Share of the target's variance that is explained; NaN where the target does not vary."""
    around = _mean((target - _mean(target.astype(np.float64), weight)) ** 2, weight)
    return 1 - _mean(squared(target, outputs), weight) / around if around else float("nan")


def _auc(positive: NDArray[np.bool_], ranked: Floats, weight: Weight) -> float:
    each = np.ones(len(ranked)) if weight is None else weight
    # Counts add up exactly in any order of ties; weights need always the same one.
    order = np.argsort(-ranked, kind=None if weight is None else "stable")
    ranked, positive, each = ranked[order], positive[order], each[order]
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # ties are one step of the curve
    hits = np.append(0.0, np.cumsum(each * positive)[ends])
    alarms = np.append(0.0, np.cumsum(each * ~positive)[ends])
    if not hits[-1] or not alarms[-1]:
        return float("nan")
    return float(np.trapezoid(hits, alarms) / (hits[-1] * alarms[-1]))


def _precision(positive: NDArray[np.bool_], ranked: Floats, weight: Weight) -> float:
    each = np.ones(len(ranked)) if weight is None else weight
    order = np.argsort(-ranked, kind=None if weight is None else "stable")
    ranked, positive, each = ranked[order], positive[order], each[order]
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    hits, all_ = np.cumsum(each * positive)[ends], np.cumsum(each)[ends]
    if not hits[-1]:
        return float("nan")
    # Rows that weigh nothing come before any that does: no precision there, and no gain in recall.
    precision = np.divide(hits, all_, out=np.zeros(len(hits)), where=all_ > 0)
    return float(np.diff(np.append(0.0, hits)) @ precision / hits[-1])


def _f1(happened: NDArray[np.bool_], said: NDArray[np.bool_], weight: Weight) -> float:
    each = np.ones(len(said)) if weight is None else weight
    both, either = float(each[happened & said].sum()), float(each[happened].sum() + each[said].sum())
    return 2 * both / either if either else 0.0


def _mean(values: Floats, weight: Weight) -> float:
    return float(np.average(values, weights=weight))


def _averaged(name: str, rows: Callable[[Target, Floats], Floats], *tasks: str) -> Metric:
    def compute(target: Target, outputs: Floats, weight: Weight) -> float:
        return _mean(rows(target, outputs), weight)

    return Metric(name, lower_is_better=True, compute=compute, rows=rows, tasks=tasks or ("binary", "multiclass"))


def _at(name: str) -> Metric | None:
    """``ndcg@10``: of the first ten; ``f1@0.3``: where 0.3 decides."""
    kind, _, said = name.partition("@")
    try:
        if kind == "ndcg" and int(said) > 0:
            return _ndcg(name, int(said))
        if kind == "f1" and 0 < (at := float(said)) < 1:
            return Metric(name, False, _f1_at(at), tasks=("binary",))
    except ValueError:
        pass
    return None


def _f1_at(threshold: float) -> Callable[[Target, Floats, Weight], float]:
    def compute(target: Target, outputs: Floats, weight: Weight) -> float:
        return _f1(target == 1, outputs[:, 1] >= threshold, weight)

    return compute


def _ndcg(name: str, most: int | None) -> Metric:
    def compute(target: Target, outputs: Floats, _: Weight) -> float:
        return ndcg(target, outputs, most)

    return Metric(name, False, compute, tasks=("ranking",), by_group=True)


def _accuracy(target: Target, outputs: Floats, weight: Weight) -> float:
    return _mean(1 - missed(target, outputs), weight)


def _rmse(target: Target, outputs: Floats, weight: Weight) -> float:
    return float(np.sqrt(_mean(squared(target, outputs), weight)))


def _pinball(target: Target, outputs: Floats) -> Floats:
    return absolute(target, outputs) / 2  # at the median


METRICS: Mapping[str, Metric] = {
    one.name: one
    for one in (
        _averaged("log_loss", log_loss),
        _averaged("brier", brier),
        _averaged("mae", absolute, *VALUES),
        _averaged("mse", squared, *VALUES),
        _averaged("pinball", _pinball, *VALUES),
        Metric("rmse", True, _rmse, tasks=VALUES),
        Metric("r2", False, r2, tasks=VALUES),
        Metric("accuracy", False, _accuracy),
        Metric("roc_auc", False, roc_auc),
        Metric("f1", False, f1),
        Metric("average_precision", False, average_precision),
        Metric("balanced_log_loss", True, balanced_log_loss),
        _ndcg("ndcg", None),
    )
}
ALIASES: Mapping[str, str] = {
    "brier_score": "brier",
    "brier_score_loss": "brier",
    "mean_absolute_error": "mae",
    "mean_squared_error": "mse",
    "root_mean_squared_error": "rmse",
    "mean_pinball_loss": "pinball",
}
