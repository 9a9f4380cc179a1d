"""Several data sets, scored on the same rows: a further set is divided as the main one is, row for row.

What the main source holds out, and what each of its folds judges, is found in the other set by its id; the rest
teaches, as far as it may: nothing later than what is judged (by time), no group that is judged (by group).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rivals.build.folds import By, Indexes, Split, split
from rivals.build.rows import Rows
from rivals.spec.project import ProjectSpec


def divide(rows: Rows, spec: ProjectSpec) -> Split:
    """Rows as the project divides them. Raises ``DataError`` where a part would be empty."""
    wanted = spec.data.split
    return split(
        len(rows), by=wanted.by, folds=wanted.folds, test=wanted.test, gap=wanted.gap, seed=spec.seed,
        time=rows.time, group=rows.group,
    )  # fmt: skip


def further(name: str, main: Rows, division: Split, rows: Rows, spec: ProjectSpec) -> tuple[Split, list[str]]:
    """How a further set is divided: as the main one if it can be, else by itself, with a sentence that says why."""
    wanted = spec.data.split
    alike = divided_alike(main, division, rows, wanted.by, wanted.gap) if spec.data.id else None
    if alike is not None:
        return alike, []
    why = "lacks rows that the main source judges on" if spec.data.id else "cannot be matched with it: name data.id"
    told = f"data set {name}: it {why}, so its variants are divided and compared by themselves"
    return divide(rows, spec), [told]


def divided_alike(main: Rows, split: Split, rows: Rows, by: By, gap: float = 0.0) -> Split | None:
    """The division of ``rows`` that judges exactly the rows that ``split`` judges of ``main``; None: it lacks some.

    Ids are unique on both sides, and targets and labels are equal where ids are; else there is none.
    """
    places = {one: index for index, one in enumerate(rows.ids.tolist())}
    judged = np.concatenate([*(valid for _, valid in split.folds), split.test])
    known = main.ids.tolist()
    if len(places) < len(rows) or len(set(known)) < len(known) or any(known[i] not in places for i in judged):
        return None
    there = {int(i): places[known[i]] for i in judged}
    same = all(main.target[i] == rows.target[j] for i, j in there.items())
    if not same or main.signature.labels != rows.signature.labels:
        return None

    def found(part: Indexes) -> Indexes:
        return np.array([there[int(i)] for i in part], np.int64)

    test = found(split.test)
    folds = []
    for _, valid in split.folds:
        mine = found(valid)
        folds.append((_teaching(rows, [mine, test], by, gap), mine))
    train = _teaching(rows, [test], by, gap) if len(test) else np.arange(len(rows))
    if not len(train) or any(not len(teaching) for teaching, _ in folds):
        return None
    return Split(tuple(folds), train, test)


def _teaching(rows: Rows, judged: list[Indexes], by: By, gap: float) -> Indexes:
    """Rows that may be learned from before these are judged."""
    free = np.ones(len(rows), bool)
    for part in judged:
        free[part] = False
    first = np.concatenate(judged)
    if by == "time" and rows.time is not None:
        free &= rows.time < rows.time[first].min() - gap
    if by == "group" and rows.group is not None:
        groups: NDArray[Any] = np.unique(rows.group[first])
        free &= ~np.isin(rows.group, groups)
    return np.flatnonzero(free)
