"""A log of answers made elsewhere, cut so that only what was randomised is compared: by unit, by time, by share."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HOUR = 3_600.0
WIDTHS = (86_400.0, 21_600.0, HOUR, 600.0, 60.0, 10.0, 1.0)  # seconds of a block, for about twenty of them or more
BLOCKS = 20
REPEATED = 1.05  # requests per unit from which units are looked at


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """Answers in the order of time, one entry per row in every column; a column that was not logged is None.

    ``time`` in seconds; ``challenger`` whose answer it was; ``failed``; ``loss`` (lower is better, NaN unlabelled);
    ``arrived`` when the label came; ``unit`` and ``revision`` as codes; ``share`` the challenger's, of the pair.
    """

    time: Floats
    challenger: NDArray[np.bool_]
    failed: NDArray[np.bool_] | None = None
    loss: Floats | None = None
    arrived: Floats | None = None
    unit: Ints | None = None
    revision: Ints | None = None
    share: Floats | None = None

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: NDArray[Any]) -> Log:
        """The log of some rows only."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: column[rows] for name, column in columns.items() if column is not None})


def sticky(log: Log) -> bool:
    """Whether units come back, and to the same variant more often than chance would have it."""
    if log.unit is None or not len(log):
        return False
    _, code, sizes = np.unique(log.unit, return_inverse=True, return_counts=True)
    if len(log) / len(sizes) < REPEATED:
        return False
    hers = np.bincount(code, log.challenger)
    often = sizes > 1
    share = float(log.challenger.mean())
    alone = float(((hers == 0) | (hers == sizes))[often].mean())
    by_chance = float((share ** sizes[often] + (1 - share) ** sizes[often]).mean())
    return alone > (1 + by_chance) / 2


def by_unit(log: Log) -> Log:
    """One row per unit: its first assignment, whether anything failed, its mean loss."""
    assert log.unit is not None
    _, first, code = np.unique(log.unit, return_index=True, return_inverse=True)
    one = log.take(first)
    if log.failed is not None:
        one = replace(one, failed=np.bincount(code, log.failed) > 0)
    if log.loss is not None:
        known = np.isfinite(log.loss)
        counts = np.bincount(code, known)
        sums = np.bincount(code, np.where(known, log.loss, 0.0))
        one = replace(one, loss=np.where(counts > 0, sums / np.maximum(counts, 1), np.nan))
    if log.arrived is not None:
        late = np.full(len(first), -np.inf)
        np.maximum.at(late, code, np.where(np.isfinite(log.arrived), log.arrived, -np.inf))
        one = replace(one, arrived=np.where(np.isfinite(late), late, np.nan))
    return one.take(np.argsort(one.time, kind="stable"))


def width(log: Log) -> float:
    """Seconds of a block: the longest usual one that cuts the log into twenty or more."""
    span = float(log.time[-1] - log.time[0]) if len(log) else 0.0
    return next((one for one in WIDTHS if span / one >= BLOCKS), max(span / BLOCKS, 1e-9))


def cells(log: Log, seconds: float) -> Ints:
    """The stratum of each row: its block of time, revision and share. Numbered in the order of time."""
    block = np.floor((log.time - log.time[0]) / seconds)
    parts = [block]
    parts += [log.revision.astype(np.float64)] if log.revision is not None else []
    parts += [np.round(log.share, 6)] if log.share is not None else []
    _, code = np.unique(np.column_stack(parts), axis=0, return_inverse=True)
    return code.reshape(-1).astype(np.int64)


def concurrent(log: Log, seconds: float) -> float:
    """The part of the rows whose block of time has both variants."""
    block = np.floor((log.time - log.time[0]) / seconds).astype(np.int64)
    sizes, hers = np.bincount(block), np.bincount(block, log.challenger)
    return float(((hers > 0) & (hers < sizes))[block].mean())


def drawn_shares(log: Log, seconds: float) -> Floats:
    """For each failure in the order of time, the challenger's share: as logged, else as it was within the stratum.

    Where the split stood still within a stratum and both variants fail alike, its failures are drawn from its rows
    without replacement: so the share is that of the rows which have not failed yet (Fisher's exact test, step by step).
    """
    assert log.failed is not None
    if log.share is not None:
        return log.share[log.failed]
    code = cells(log, seconds)
    left, hers = np.bincount(code).astype(np.float64), np.bincount(code, log.challenger)
    found = np.empty(int(log.failed.sum()))
    for at, row in enumerate(np.flatnonzero(log.failed)):
        cell = code[row]
        found[at] = hers[cell] / left[cell]
        left[cell] -= 1
        hers[cell] -= log.challenger[row]
    return found


@dataclass(frozen=True, slots=True)
class Gap:
    """A difference, challenger minus champion, and how many standard errors it is from zero."""

    value: float
    z: float


def pooled(challenger: NDArray[np.bool_], failed: NDArray[np.bool_]) -> Gap:
    """The difference of two failure rates over all rows, with the usual z: what a dashboard shows."""
    n1, n0 = int(challenger.sum()), int((~challenger).sum())
    if not n1 or not n0:
        return Gap(math.nan, math.nan)
    value = float(failed[challenger].mean() - failed[~challenger].mean())
    rate = float(failed.mean())
    error = math.sqrt(rate * (1 - rate) * (1 / n1 + 1 / n0))
    return Gap(value, value / error if error else 0.0)


def stratified(challenger: NDArray[np.bool_], failed: NDArray[np.bool_], code: Ints) -> Gap:
    """The difference within strata, weighted by their size (Mantel & Haenszel 1959; variance of Cochran 1954)."""
    n = np.bincount(code).astype(np.float64)
    n1 = np.bincount(code, challenger)
    x, x1 = np.bincount(code, failed), np.bincount(code, failed & challenger)
    both = (n1 > 0) & (n1 < n)
    n, n1, x, x1 = n[both], n1[both], x[both], x1[both]
    n0 = n - n1
    weight = n1 * n0 / n
    if not weight.sum():
        return Gap(math.nan, math.nan)
    value = float((weight * (x1 / n1 - (x - x1) / n0)).sum() / weight.sum())
    variance = float((n1 * n0 * x * (n - x) / (n * n * np.maximum(n - 1, 1))).sum())
    excess = float((x1 - x * n1 / n).sum())
    return Gap(value, excess / math.sqrt(variance) if variance else 0.0)


def block_gaps(log: Log, seconds: float, least: int) -> list[float]:
    """Mean loss difference of each block of time that has ``least`` labelled rows per variant, oldest first.

    Rows of a block are compared within their revision and share, so a ramp inside a block is no difference.
    """
    assert log.loss is not None
    log = log.take(np.isfinite(log.loss))
    if not len(log) or log.loss is None:
        return []
    code = cells(log, min(seconds, HOUR))
    block = np.floor((log.time - log.time[0]) / seconds).astype(np.int64)
    n1, n0 = np.bincount(code, log.challenger), np.bincount(code, ~log.challenger)
    s1 = np.bincount(code, np.where(log.challenger, log.loss, 0.0))
    s0 = np.bincount(code, np.where(log.challenger, 0.0, log.loss))
    both = (n1 > 0) & (n0 > 0)
    weight = np.where(both, n1 * n0 / np.maximum(n1 + n0, 1), 0.0)
    gap = np.where(both, s1 / np.maximum(n1, 1) - s0 / np.maximum(n0, 1), 0.0)
    owner = np.zeros(len(n1), np.int64)
    owner[code] = block
    found = []
    for one in np.unique(block):
        mine = (owner == one) & both
        if n1[mine].sum() >= least and n0[mine].sum() >= least:
            found.append(float((weight * gap)[mine].sum() / weight[mine].sum()))
    return found
