"""Where two rivals answer the same rows differently, and which of them is right. For trials in the shadow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rivals.values import Pair, Task

Decide = Callable[[tuple[float, ...]], Any]
FARTHEST = 10  # rows that are named


@dataclass(frozen=True, slots=True)
class Differing:
    """How often, and how far apart, two rivals are on some rows, and who is right where labels are known.

    Classifiers differ in the label they find most likely; regressors where they are ``tolerance`` apart. ``mean`` and
    ``largest`` are of the absolute difference of probabilities or values; shares are of ``rows``.
    """

    where: str  # "all" or a slice, as carrier=UA
    rows: int
    differ: int
    mean: float
    largest: float
    labelled: int = 0  # of those that differ
    champion_right: int = 0  # of those
    challenger_right: int = 0

    @property
    def share(self) -> float:
        """Of the rows that differ."""
        return self.differ / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True)
class Disagreement:
    """The report: all rows, then the slices by how much more than others they differ, and the farthest rows."""

    champion: str
    challenger: str
    parts: tuple[Differing, ...]
    farthest: tuple[Pair, ...] = ()


def disagreement(
    champion: str,
    challenger: str,
    pairs: Sequence[Pair],
    *,
    task: Task,
    labels: Sequence[Any] = (),
    tolerance: float = 0.0,
) -> Disagreement:
    """Compare paired answers. ``labels``: of the classifier's outputs, in their order.

    Of a regressor, whoever is closer to the label is right.
    """
    by_slice: dict[str, list[Pair]] = {}
    for pair in pairs:
        for name in pair.slices:
            by_slice.setdefault(name, []).append(pair)
    judge = _Compared(task, tuple(labels), tolerance)
    parts = [judge.part(name, rows) for name, rows in by_slice.items()]
    parts.sort(key=lambda one: (-one.share, one.where))
    farthest = sorted(pairs, key=lambda one: (-_apart(one), one.time, one.id))[:FARTHEST]
    return Disagreement(champion, challenger, (judge.part("all", pairs), *parts), tuple(farthest))


@dataclass(frozen=True, slots=True)
class _Compared:
    task: Task
    labels: tuple[Any, ...]
    tolerance: float

    def part(self, where: str, pairs: Sequence[Pair]) -> Differing:
        apart = [_apart(pair) for pair in pairs]
        differing = [pair for pair, gap in zip(pairs, apart, strict=True) if self._differs(pair, gap)]
        known = [pair for pair in differing if pair.label is not None]
        right = [self._right(pair) for pair in known]
        return Differing(
            where,
            len(pairs),
            len(differing),
            math.fsum(apart) / len(apart) if apart else 0.0,
            max(apart, default=0.0),
            len(known),
            right.count("champion"),
            right.count("challenger"),
        )

    def _differs(self, pair: Pair, apart: float) -> bool:
        if self.task == "regression":
            return apart > self.tolerance
        return _likeliest(pair.champion) != _likeliest(pair.challenger)

    def _right(self, pair: Pair) -> str:
        if self.task == "regression":
            ours, theirs = abs(pair.champion[0] - pair.label), abs(pair.challenger[0] - pair.label)
            return "champion" if ours < theirs else "challenger" if theirs < ours else ""
        answers = {"champion": pair.champion, "challenger": pair.challenger}
        return next((who for who, each in answers.items() if self.labels[_likeliest(each)] == pair.label), "")


def _apart(pair: Pair) -> float:
    return max(abs(one - other) for one, other in zip(pair.champion, pair.challenger, strict=True))


def _likeliest(output: tuple[float, ...]) -> int:
    return max(range(len(output)), key=output.__getitem__)
