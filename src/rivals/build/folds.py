"""Which rows teach and which ones judge: folds with a gap, and a held-out test at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rivals.errors import DataError

Indexes = NDArray[np.int64]
By = Literal["time", "random", "group"]


@dataclass(frozen=True, slots=True)
class Split:
    """Row numbers. ``folds`` are (train, valid) pairs inside ``train``; the final model is fitted on ``train``.

    ``test`` is held out of everything; it may be empty.
    """

    folds: tuple[tuple[Indexes, Indexes], ...]
    train: Indexes
    test: Indexes


def split(
    rows: int,
    *,
    by: By = "random",
    folds: int = 3,
    test: float = 0.2,
    gap: float = 0.0,
    seed: int = 0,
    time: NDArray[np.float64] | None = None,
    group: NDArray[Any] | None = None,
) -> Split:
    """Divide ``rows``; ``test`` is a share, ``gap`` in seconds.

    By time: the test block is last, folds expand forward, and every row that is scored comes later than all rows it was
    fitted on plus the gap. By group: a group is never on both sides. Raises ``DataError`` where a part would be empty.
    """
    if by == "time":
        if time is None:
            raise DataError("A split by time needs a time for every row: name the column under data.time.")
        found = _by_time(time, folds, test, gap)
    elif by == "group":
        if group is None:
            raise DataError("A split by group needs a group for every row: name the column under data.group.")
        found = _by_unit(np.unique(group, return_inverse=True)[1], folds, test, seed)
    else:
        found = _by_unit(np.arange(rows), folds, test, seed)
    parts = [found.train, *(part for fold in found.folds for part in fold)]
    if any(not len(part) for part in parts) or (test > 0 and not len(found.test)):
        raise DataError(
            f"{rows} rows are too few for {folds} folds by {by} with {test:.0%} held out and a gap of {gap:g} seconds; "
            "ask for fewer folds or a smaller gap."
        )
    return found


def _by_time(time: NDArray[np.float64], folds: int, test: float, gap: float) -> Split:
    ordered = np.sort(time)

    def at(share: float) -> float:
        """The moment at which that share of the rows is past."""
        place = round(share * len(ordered))
        return float(ordered[place]) if place < len(ordered) else float("inf")

    # Equal times stay together: whatever begins at an edge belongs to the later part.
    end = at(1 - test) if test > 0 else float("inf")
    within = (1 - test) / (folds + 1)
    edges = [at(within * (k + 1)) for k in range(folds)] + [end]
    pairs = []
    for k in range(folds):
        valid = (time >= edges[k]) & (time < min(edges[k + 1], end - gap))
        pairs.append((np.flatnonzero(time < edges[k] - gap), np.flatnonzero(valid)))
    return Split(tuple(pairs), np.flatnonzero(time < end - gap), np.flatnonzero(time >= end))


def _by_unit(unit: NDArray[np.int64], folds: int, test: float, seed: int) -> Split:
    """Units (rows or groups) in random order: the last ones are the test, the others take turns."""
    rng = np.random.default_rng(seed)
    sizes = np.bincount(unit)
    order = rng.permutation(len(sizes))
    past = np.cumsum(sizes[order]) / len(unit)
    held = order[past > 1 - test + 1e-12] if test > 0 else order[:0]
    kept = order[: len(order) - len(held)]
    parts = max(folds, 2)  # one fold is half of the rows judging the other half
    turn = np.full(len(sizes), -1)
    turn[kept] = np.arange(len(kept)) % parts
    mine = turn[unit]
    pairs = [(np.flatnonzero((mine >= 0) & (mine != k)), np.flatnonzero(mine == k)) for k in range(folds)]
    return Split(tuple(pairs), np.flatnonzero(mine >= 0), np.flatnonzero(mine < 0))
