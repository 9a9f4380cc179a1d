"""Did the season change? Inputs of the last weeks against those that the models learned from. Pure.

A column has moved with the season where each of the last ``PARTS`` stretches of time lies away from what was learned,
so that one odd week is none: the effect is the smallest stability index of the stretches over 0.2 (Siddiqi, Credit
Risk Scorecards, 2006). The evidence is what the index is worth as a likelihood ratio, freed of what chance adds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rivals.values import Finding

PARTS = 2  # stretches that have to agree
BINS = 10  # of a number, by the quantiles of what was learned from
LEVELS = 30  # of a text; the others are one
SHIFT = 0.2
LEAST = 100  # rows, on either side


Table = Mapping[str, NDArray[Any]]  # by column, (rows,): numbers, or texts and gaps


def moved(learned: Table, stretches: Sequence[Table], since: float) -> list[Finding]:
    """A finding for each column that all have; ``drifted`` where every stretch lies away from what was learned."""
    if len(stretches) < PARTS or min(_rows(one) for one in (learned, *stretches)) < LEAST:
        return []
    found = []
    for name in learned:
        edges = _edges(learned[name])
        before = _counts(learned[name], edges)
        indexes = [psi(before, _counts(one[name], edges)) for one in stretches]
        rows = sum(map(_rows, stretches))
        least = min(indexes)
        found.append(
            Finding(
                str(name),
                "season",
                least,
                least / SHIFT,
                least * rows / 2,
                since,
                rows=rows,
                drifted=least >= SHIFT,
                told=f"stability index {', '.join(f'{one:.2f}' for one in indexes)}",
            )
        )
    return sorted(found, key=lambda one: -one.effect)


def psi(before: NDArray[np.float64], now: NDArray[np.float64]) -> float:
    """The stability index of two counts over the same cells, less what chance alone adds to it."""
    cells = (before + now) > 0
    p, q = (_shares(one[cells]) for one in (before, now))
    index = float(((p - q) * np.log(p / q)).sum())
    chance = (int(cells.sum()) - 1) * (1 / before.sum() + 1 / now.sum())
    return max(0.0, float(index - chance))


def _shares(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    kept = counts + 0.5
    shares: NDArray[np.float64] = kept / kept.sum()
    return shares


def _rows(table: Table) -> int:
    return min((len(values) for values in table.values()), default=0)


def _edges(values: NDArray[Any]) -> Any:
    """The cells of a column: inner quantiles of a number, the frequent values of a text."""
    if values.dtype.kind in "fiub":
        known = values[~_gaps(values)].astype(float)
        return np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1])) if len(known) else np.zeros(0)
    often = Counter(str(value) for value in values[~_gaps(values)].tolist()).most_common(LEVELS)
    return {name: place for place, (name, _) in enumerate(often)}


def _counts(values: NDArray[Any], edges: Any) -> NDArray[np.float64]:
    """Rows by cell; the last one has the gaps."""
    gaps = _gaps(values)
    if isinstance(edges, Mapping):
        places = np.array([edges.get(str(value), len(edges)) for value in values.tolist()], np.int64)
    else:
        places = np.searchsorted(edges, np.where(gaps, 0.0, values).astype(float), side="left")
    width = len(edges) + 2
    return np.bincount(np.where(gaps, width - 1, places), minlength=width).astype(float)


def _gaps(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Where there is no value: None or NaN."""
    return np.asarray([value is None or value != value for value in values.tolist()], bool)  # noqa: PLR0124 -- NaN
