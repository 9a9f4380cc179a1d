"""The cheap member first; the dear ones where it is unsure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rivals.ensemble.weighing import Answers, learnable, leaves_out
from rivals.errors import SpecError
from rivals.protocols import Lesson


class Cascade:
    """Ask members in ``order`` (by cost where nothing is said) until one is sure; row by row.

    A member is sure where its likeliest label has at least its threshold. Thresholds are learned from the bank: in the
    long run at most ``alpha`` of all rows get another label than the last member gives them, shared equally among the
    members before it (conformal risk control, Angelopoulos et al., ICLR 2024). That holds of rows as those of the bank;
    where they drift, or folds follow one another in time, it is no more than a good guess.
    """

    def __init__(
        self, alpha: float = 0.05, order: Sequence[str] | None = None, thresholds: Sequence[float] | None = None
    ) -> None:
        if not 0 < alpha < 1:
            raise SpecError(f"Cascade takes an alpha between 0 and 1, not {alpha!r}.")
        self.alpha, self.order = alpha, None if order is None else list(order)
        self.thresholds = None if thresholds is None else list(thresholds)
        self.named = frozenset(self.order or ())

    def learn(self, lesson: Lesson) -> Mapping[str, Any]:
        """The order, and a threshold for each member but the last. Raises ``SpecError`` where there are no labels."""
        learnable(lesson, "cascade")
        names = list(lesson.answers) if self.order is None else self._ordered(list(lesson.answers))
        if self.order is None:
            names.sort(
                key=lambda name: lesson.cost.get(name, (0.0, 0.0))
            )  # stable: as they stand, where nothing is known
        if next(iter(lesson.answers.values())).shape[1] == 1:
            raise SpecError(
                "A cascade asks how sure a member is of a label; values have none: use mean, greedy or stack."
            )
        weight = np.ones(len(lesson.target)) if lesson.weight is None else lesson.weight
        final = lesson.answers[names[-1]].argmax(axis=1)
        thresholds = []
        for name in names[:-1]:
            # Of all rows, not of those that come so far: then no threshold hangs on another one, and each bound holds.
            wrong = lesson.answers[name].argmax(axis=1) != final
            thresholds.append(
                _threshold(lesson.answers[name].max(axis=1), wrong, weight, self.alpha / (len(names) - 1))
            )
        return {"order": names, "thresholds": thresholds}

    def ask(self, members: Sequence[str], answers: Answers) -> Mapping[str, NDArray[np.bool_]] | Sequence[str]:
        """The next member, of the rows that nobody is sure of."""
        order = self._ordered(members)
        step = len(answers)
        if step == 0:
            return order[:1]
        if step == len(order):
            return []
        unsure = self._unsure(answers, order[step - 1])
        return {order[step]: unsure} if unsure.any() else []

    def combine(self, answers: Answers) -> NDArray[np.float64]:
        """For each row what the last one asked says."""
        order = self._ordered(list(answers))
        said = answers[order[0]].copy()
        for name in order[1:]:
            later = answers[name]
            said = np.where(np.isnan(later), said, later)
        return said

    def _unsure(self, answers: Answers, last: str) -> NDArray[np.bool_]:
        place = self.order.index(last) if self.order and self.thresholds else -1
        at = self.thresholds[place] if self.thresholds and 0 <= place < len(self.thresholds) else np.inf
        # What was not asked is NaN, and is not below any threshold: who was sure before stays so.
        unsure: NDArray[np.bool_] = answers[last].max(axis=1) < at
        return unsure

    def _ordered(self, members: Sequence[str]) -> list[str]:
        if self.order is None:
            return sorted(members)
        return [name for name in leaves_out("cascade", self.order, members) if name in members]


def _threshold(sure: NDArray[np.float64], wrong: NDArray[np.bool_], weight: NDArray[np.float64], alpha: float) -> float:
    """The lowest threshold where those who pass it and differ are at most ``alpha`` of all; above 1: nobody passes."""
    order, next_one = np.argsort(-sure, kind="stable"), weight.max(initial=0.0)
    risk = (np.cumsum((weight * wrong)[order]) + next_one) / (weight.sum() + next_one)
    ends = np.append(sure[order][1:] != sure[order][:-1], True)  # equal ones pass together
    passing = np.flatnonzero(ends & (risk <= alpha))
    broken = np.flatnonzero(ends & (risk > alpha))
    first = broken[0] if len(broken) else len(sure)  # the risk rises with every row that passes
    passing = passing[passing < first]
    return float(sure[order][passing[-1]]) if len(passing) else 2.0
