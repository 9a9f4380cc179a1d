"""An ensemble as a variant: it has members instead of a model, and learns from the bank without a refit.

Every answer it is judged by is honest: what a combiner learned is asked of rows that it did not learn from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from rivals.ensemble.together import together
from rivals.errors import DataError, SpecError
from rivals.plugins import make, nearest
from rivals.protocols import Combiner, Learner, Lesson
from rivals.values import Use


@dataclass(frozen=True, slots=True)
class Blend:
    """An ensemble from the bank: its answers by row, the combiner as it will serve, and the members it asks."""

    outputs: NDArray[np.float64]
    combiner: Use
    members: tuple[str, ...]


def blend(use: Use, lesson: Lesson, fold: NDArray[np.int64], *, ordered: bool = False) -> Blend:
    """Combine banked answers (rows, k); ``fold`` is each row's, -1 where it is held out of everything.

    A combiner that learns answers each fold as it learns from the others, from the earlier ones only where folds are
    ``ordered`` in time (the first one as if it had not learned), and the rows held out as it learns from all folds.
    Raises ``DataError`` where members answered other rows, and what the combiner raises.
    """
    _alike(lesson)
    combiner = make(Combiner, use)
    known(combiner, list(lesson.answers))
    if not isinstance(combiner, Learner):
        return Blend(_answered(use, lesson), use, tuple(lesson.answers))
    taught = _taught(use, lesson.where(fold >= 0))
    outputs = np.empty_like(next(iter(lesson.answers.values())))
    for part in np.unique(fold):
        mine = fold == part
        others = fold >= 0 if part < 0 else (fold >= 0) & ((fold < part) if ordered else ~mine)
        learned = taught if part < 0 else _taught(use, lesson.where(others)) if others.any() else use
        outputs[mine] = _answered(learned, lesson.where(mine))
    weights = taught.options.get("weights")
    if not isinstance(weights, Mapping):
        return Blend(outputs, taught, tuple(lesson.answers))
    weights = {name: weight for name, weight in weights.items() if weight}
    return Blend(outputs, Use(use.name, {**taught.options, "weights": weights}), tuple(weights))


def known(combiner: Combiner, members: Sequence[str]) -> None:
    """Refuse a combiner whose options name somebody else. Raises ``SpecError`` with the nearest name."""
    for name in sorted(getattr(combiner, "named", ())):
        if name not in members:
            what = type(combiner).__name__.lower()
            raise SpecError(f"The combiner {what} names {name!r}, which is no member.{nearest(name, list(members))}")


def _taught(use: Use, lesson: Lesson) -> Use:
    combiner = make(Combiner, use)
    assert isinstance(combiner, Learner)
    return Use(use.name, {**use.options, **combiner.learn(lesson)})


def _answered(use: Use, lesson: Lesson) -> NDArray[np.float64]:
    answers = lesson.answers
    members = {name: partial(answers.__getitem__, name) for name in answers}
    return together(make(Combiner, use), members, lesson.rows)


def _alike(lesson: Lesson) -> None:
    if len({said.shape for said in lesson.answers.values()}) > 1:
        names = ", ".join(lesson.answers)
        raise DataError(f"The members {names} answered different rows; build them on the same data.")
