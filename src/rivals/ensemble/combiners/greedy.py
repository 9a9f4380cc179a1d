"""Members chosen one by one, again and again, whoever helps most."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rivals.ensemble.weighing import Answers, asked, checked, emit_weighted, learnable, weighted
from rivals.errors import SpecError
from rivals.protocols import Graph, Lesson

PATIENCE = 10  # rounds without a better blend, then it ends
SHORT = 12  # candidates of a round that are tried; the slope of the loss says which
GLANCE = 20_000  # rows, spread evenly, on which it says so; what is tried is tried on all
TINY = 1e-15

Floats = NDArray[np.float64]
Singles = NDArray[Any]  # of float32


class Greedy:
    """Ensemble selection with replacement (Caruana et al., ICML 2004), on the bank; how often one is chosen weighs it.

    The loss is the one of the deciding metric where that is log_loss, brier, mae or rmse, else the task's own. Nobody
    joins who would take the members together beyond ``latency_ms`` (asked one by one) or ``size_mb``.
    """

    def __init__(
        self,
        rounds: int = 50,
        latency_ms: float | None = None,
        size_mb: float | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        if not isinstance(rounds, int) or rounds < 1:
            raise SpecError(f"Greedy takes rounds of 1 or more, not {rounds!r}.")
        self.rounds, self.limits = rounds, (latency_ms, size_mb)
        self.weights = None if weights is None else checked(weights)
        self.named = frozenset(self.weights or ())

    def learn(self, lesson: Lesson) -> Mapping[str, Any]:
        """Weights. Raises ``SpecError`` where no member keeps the limits."""
        learnable(lesson, "greedy")
        names = list(lesson.answers)
        room = _Room([lesson.cost.get(name, (0.0, 0.0)) for name in names], self.limits)
        if not room.left([]).any():
            raise SpecError(f"No member keeps the limits: {room.said}.")
        goal = _goal(lesson)
        chosen, best, loss = list[int](), 0, np.inf
        while len(chosen) < self.rounds and len(chosen) < best + PATIENCE:
            place, now = goal.next(chosen, room.left(chosen))
            chosen.append(place)
            if now < loss - 1e-12:
                best, loss = len(chosen), now
        counts = np.bincount(chosen[:best], minlength=len(names))
        return {"weights": {name: int(n) / best for name, n in zip(names, counts, strict=True) if n}}

    def ask(self, members: Sequence[str], answers: Answers) -> Sequence[str]:
        """Whoever was chosen and has not answered yet."""
        return asked(members, answers, self.weights)

    def combine(self, answers: Answers) -> Floats:
        """The weighted mean."""
        return weighted(answers, self.weights)

    def emit(self, graph: Graph, answers: Mapping[str, str], width: int) -> str:
        """The same as operators."""
        return emit_weighted(graph, answers, self.weights, width)


@dataclass(frozen=True, slots=True)
class _Room:
    """Who may still join."""

    costs: Sequence[tuple[float, float]]  # milliseconds and MB
    limits: tuple[float | None, float | None]

    @property
    def said(self) -> str:
        """The limits in words."""
        units = ("ms", "MB")
        return ", ".join(f"{most:g} {unit}" for most, unit in zip(self.limits, units, strict=True) if most is not None)

    def left(self, chosen: Sequence[int]) -> NDArray[np.bool_]:
        """Those with whom the chosen ones keep the limits; who was chosen costs nothing more."""
        inside = np.isin(np.arange(len(self.costs)), chosen)
        fits = np.full(len(self.costs), True)
        for kind, most in enumerate(self.limits):
            cost = np.array([one[kind] for one in self.costs])
            if most is not None:
                fits &= cost[inside].sum() + np.where(inside, 0.0, cost) <= most
        return fits


# -- losses of blends -------------------------------------------------------------------------------


class _Squares:
    """Squared distance: all that counts are the members' errors' products with one another."""

    def __init__(self, errors: Singles, weight: Floats) -> None:
        scaled = errors * np.sqrt(weight).astype(np.float32)
        self._products = (scaled @ scaled.T).astype(np.float64)

    def next(self, chosen: Sequence[int], allowed: NDArray[np.bool_]) -> tuple[int, float]:
        """Who makes the best blend with the chosen ones, and its loss."""
        counts = np.bincount(chosen, minlength=len(self._products))
        products = self._products
        now = counts @ products @ counts + 2 * (products @ counts) + products.diagonal()
        place = int(np.where(allowed, now, np.inf).argmin())
        return place, float(now[place]) / (len(chosen) + 1) ** 2


class _Rowwise:
    """Any convex loss of one number a row: of those that its slope points at, the best one is found by trying."""

    def __init__(
        self,
        values: Singles,
        weight: Floats,
        loss: Callable[[Singles], Singles],
        slope: Callable[[Singles], Singles],
    ) -> None:
        self._values, self._weight = values, weight.astype(np.float32)
        self._loss, self._slope = loss, slope
        self._sum = np.zeros(values.shape[1], np.float32)
        self._step = -(-values.shape[1] // GLANCE)
        self._few = np.ascontiguousarray(values[:, :: self._step])

    def next(self, chosen: Sequence[int], allowed: NDArray[np.bool_]) -> tuple[int, float]:
        """Who makes the best blend with the chosen ones, and its loss."""
        many = len(chosen)
        tried, weight = np.flatnonzero(allowed), self._weight[:: self._step]
        if many:
            self._sum += self._values[chosen[-1]]
            falls = self._few @ (weight * self._slope(self._sum[:: self._step] / many))
            tried = tried[np.argsort(falls[tried], kind="stable")[:SHORT]]
        elif self._step > 1:
            first = np.array([float(weight @ self._loss(self._few[one])) for one in tried])
            tried = tried[np.argsort(first, kind="stable")[:SHORT]]
        losses = [float(self._weight @ self._loss((self._sum + self._values[one]) / (many + 1))) for one in tried]
        place = int(np.argmin(losses))
        return int(tried[place]), losses[place]


def _goal(lesson: Lesson) -> _Squares | _Rowwise:
    """The loss to make small, over rows that count."""
    said, target = list(lesson.answers.values()), lesson.target
    weight = np.ones(len(target)) if lesson.weight is None else lesson.weight
    weight = weight / weight.sum()
    if lesson.task == "regression":
        errors = np.stack([one[:, 0] - target for one in said]).astype(np.float32)
        if lesson.metric in {"mae", "absolute", "neg_mean_absolute_error"}:
            return _Rowwise(errors, weight, np.abs, np.sign)
        return _Squares(errors, weight)
    labels = target.astype(np.int64)
    if lesson.metric in {"brier", "neg_brier_score"}:
        happened = np.eye(said[0].shape[1])[labels]
        errors = np.stack([(one - happened).ravel() for one in said]).astype(np.float32)
        return _Squares(errors, np.repeat(weight, happened.shape[1]))
    likely = np.empty((len(said), len(labels)), np.float32)
    places = np.arange(len(labels)) * said[0].shape[1] + labels
    for place, one in enumerate(said):
        likely[place] = one.take(places)

    def loss(blend: Singles) -> Singles:
        lost: Singles = -np.log(np.maximum(blend, np.float32(TINY)))
        return lost

    def slope(blend: Singles) -> Singles:
        steep: Singles = -1 / np.maximum(blend, np.float32(TINY))
        return steep

    return _Rowwise(likely, weight, loss, slope)
