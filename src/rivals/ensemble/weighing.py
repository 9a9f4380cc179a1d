"""What combiners share: weights by member, checked and applied, here and in a graph."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rivals.errors import SpecError
from rivals.protocols import Graph, Lesson

Answers = Mapping[str, NDArray[np.float64]]
DOUBLE = 11  # TensorProto.DOUBLE


def checked(weights: Mapping[str, float]) -> dict[str, float]:
    """Weights that add up to one. Raises ``SpecError`` where they cannot."""
    bad = [name for name, weight in weights.items() if not (_number(weight) and 0 <= weight < math.inf)]
    if bad or not sum(weights.values()):
        wrong = f"that of {bad[0]!r} is {weights[bad[0]]!r}" if bad else "they add up to 0"
        raise SpecError(f"Weights are numbers by member, from 0 up; {wrong}.")
    whole = sum(weights.values())
    return {name: weight / whole for name, weight in weights.items()}


def asked(members: Sequence[str], answers: Answers, weights: Mapping[str, float] | None) -> list[str]:
    """Whoever has a weight and has not answered yet."""
    if weights is None:
        return [name for name in members if name not in answers]
    return [name for name in members if weights.get(name) and name not in answers]


def weighted(answers: Answers, weights: Mapping[str, float] | None) -> NDArray[np.float64]:
    """The weighted mean, summed in the order of the names so that it is the same everywhere.

    Where somebody did not answer, the others' weights are raised, so that they add up to one again.
    """
    names = sorted(answers)
    if weights is None:
        return np.asarray(np.sum([answers[name] for name in names], axis=0) / len(names), np.float64)
    whole = np.asarray(np.sum([answers[name] * weights[name] for name in names], axis=0), np.float64)
    missing = any(weight and name not in answers for name, weight in weights.items())
    return whole / sum(weights[name] for name in names) if missing else whole


def emit_weighted(graph: Graph, answers: Mapping[str, str], weights: Mapping[str, float] | None, width: int) -> str:
    """The same in a graph: all answers side by side, times one matrix."""
    names = sorted(answers)
    each = [1 / len(names) if weights is None else weights[name] for name in names]
    return graph.node("MatMul", [side_by_side(graph, answers), graph.constant(np.kron(each, np.eye(width)).T.copy())])


def side_by_side(graph: Graph, answers: Mapping[str, str]) -> str:
    """All answers in one block (rows, members x k), by name, in float64."""
    names = sorted(answers)
    block = graph.node("Concat", [answers[name] for name in names], axis=1) if len(names) > 1 else answers[names[0]]
    return graph.node("Cast", [block], to=DOUBLE)


def leaves_out(what: str, order: Sequence[str], members: Sequence[str]) -> list[str]:
    """The order itself, if every member is in it. Raises ``SpecError``."""
    if missing := [name for name in members if name not in order]:
        raise SpecError(f"The order of the {what} leaves out its member {missing[0]!r}: {', '.join(order)}.")
    return list(order)


def learnable(lesson: Lesson, what: str) -> None:
    """Refuse tasks that no combiner can learn of. Raises ``SpecError``."""
    if lesson.task in {"ranking", "custom"}:
        raise SpecError(f"The combiner {what} learns from labels or values; in a {lesson.task} task, use mean.")


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
