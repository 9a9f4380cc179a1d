"""Columns as cells of their reference: bins of numbers between its quantiles, texts by level, and one cell for gaps.

What is compared are counts of cells, which add up over windows and replicas.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rivals.statistics.losses import Floats
from rivals.usual import NumberSketch, Sketch

LEVELS = 50  # texts with a cell of their own, and at least
RARE = 0.002  # so large a share of the reference; the others share one
BINS = 20


def levels(sketch: Sketch) -> list[str]:
    """The texts that have a cell of their own, in its order; none of a column of numbers."""
    if isinstance(sketch, NumberSketch):
        return []
    least = RARE * max(1, sketch.rows - sketch.nulls)
    return [text for text, many in sketch.counts.items() if many >= least][:LEVELS]


def width(sketch: Sketch) -> int:
    """How many cells there are, the last one for gaps."""
    return len(sketch.edges) + 2 if isinstance(sketch, NumberSketch) else len(levels(sketch)) + 2


def cells(sketch: Sketch, values: NDArray[Any]) -> NDArray[np.int64]:
    """The cell of each value (rows,)."""
    if isinstance(sketch, NumberSketch):
        found = np.searchsorted(np.asarray(sketch.edges, np.float64), values, "left").astype(np.int64)
        found[np.isnan(values)] = len(sketch.edges) + 1
        return found
    names = levels(sketch)
    places: dict[Any, int] = {text: index for index, text in enumerate(names)}
    places[None] = len(names) + 1
    known, other = places.get, len(names)
    return np.fromiter((known(value, other) for value in values.tolist()), np.int64, len(values))


def usual(sketch: Sketch) -> Floats:
    """How many rows of the reference fell into each cell."""
    if isinstance(sketch, NumberSketch):
        return np.array([*sketch.counts, sketch.nulls], np.float64)
    kept = [sketch.counts[text] for text in levels(sketch)]
    return np.array([*kept, sketch.rows - sketch.nulls - sum(kept), sketch.nulls], np.float64)


def ranks(sketch: NumberSketch) -> Floats:
    """The middle rank of each bin in the reference, within [0, 1]; their mean over the reference is 1/2 exactly."""
    counts = np.asarray(sketch.counts, np.float64)
    ends = np.cumsum(counts)
    return np.asarray((ends - counts / 2) / max(ends[-1], 1.0))


def edges_of(values: Floats) -> tuple[Sequence[float], Sequence[int]]:
    """Inner edges of bins that hold about as many of these values each, and how many there are; values have no gaps."""
    if not len(values):
        return [], [0]
    inner = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1], method="inverted_cdf"))
    inner = inner[inner < values.max()]
    counts = np.bincount(np.searchsorted(inner, values, "left"), minlength=len(inner) + 1)
    return [float(one) for one in inner], [int(one) for one in counts]
