"""Where a variant is better or worse than another: its slices, with few false findings among them; and what to trade.

Every value of a column is a slice of the rows that all variants answered. Each gets the difference on its own rows with
a p-value from the blocks it lies in; of the slices called better or worse a share of ``rate`` is expected to be false
(Benjamini & Hochberg). A value that lies in fewer than ten blocks is listed and not judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rivals.decide.compare import Against, Entry, Row, Truth
from rivals.errors import DataError
from rivals.statistics.discoveries import adjusted
from rivals.statistics.losses import Floats, Metric
from rivals.statistics.offline import DAY, LEAST, blocks_of, influences
from rivals.statistics.paired import corrected_t

MOST = 100  # slices of a column
BANDS = 5  # into which a column of numbers is cut


@dataclass(frozen=True, slots=True)
class Slice:
    """A variant on some of the rows. ``difference`` is variant minus reference; ``q`` its false-discovery rate."""

    variant: str
    value: str
    rows: int
    score: float
    difference: float
    low: float
    high: float
    q: float  # NaN: not judged
    verdict: Against


def slices(
    entries: Sequence[Entry],
    truth: Truth,
    metric: Metric,
    values: NDArray[Any],
    *,
    reference: str,
    rate: float = 0.05,
    block: float = DAY,
) -> tuple[Slice, ...]:
    """Every variant on every value of a column, against ``reference``; the worst first. Raises ``DataError``."""
    names = banded(values)
    kinds = sorted(set(names.tolist()))
    if len(kinds) > MOST:
        raise DataError(f"The column has {len(kinds)} values; slices need {MOST} at most: group them in the source.")
    known = {entry.variant: entry for entry in entries}
    if reference not in known:
        raise DataError(f"{reference!r} was not compared; these were: {', '.join(known)}.")
    found = [
        _slice(known[reference], entry, truth, metric, names == kind, kind, block)
        for kind in kinds
        for entry in entries
    ]
    p = np.array([np.nan if one.variant == reference else one.q for one in found])
    sign = 1.0 if metric.lower_is_better else -1.0
    judged = [_judged(one, float(q), rate, sign, reference) for one, q in zip(found, adjusted(p), strict=True)]
    return tuple(sorted(judged, key=lambda one: (one.value, -sign * one.difference, one.variant)))


def banded(values: NDArray[Any]) -> NDArray[Any]:
    """Texts as they are; many different numbers in five bands of equally many rows; gaps are a value, "missing"."""
    if values.dtype.kind not in "fiu":
        return np.array(["missing" if one is None or one != one else str(one) for one in values.tolist()], object)  # noqa: PLR0124 -- NaN alone differs from itself
    numbers = values.astype(np.float64)
    gaps = np.isnan(numbers)
    different = np.unique(numbers[~gaps])
    if len(different) <= BANDS * 2:
        return np.array(["missing" if gap else f"{one:g}" for one, gap in zip(numbers, gaps, strict=True)], object)
    edges = np.unique(np.quantile(numbers[~gaps], np.linspace(0, 1, BANDS + 1)))
    place = np.clip(np.searchsorted(edges, numbers, "right") - 1, 0, len(edges) - 2)
    bands = [f"{low:g} to {high:g}" for low, high in pairwise(edges)]
    return np.array(["missing" if gap else bands[one] for one, gap in zip(place, gaps, strict=True)], object)


def front(rows: Sequence[Row], *, lower_is_better: bool) -> tuple[str, ...]:
    """Variants that no other one beats or equals in score, time to answer and size at once (the Pareto front)."""
    sign = 1.0 if lower_is_better else -1.0
    able = [row for row in rows if row.predict_us > 0] or list(rows)
    points = np.array([(sign * row.score, row.predict_us, row.bytes) for row in able])
    beaten = [bool(((points <= one).all(axis=1) & (points < one).any(axis=1)).any()) for one in points]
    return tuple(row.variant for row, lost in zip(able, beaten, strict=True) if not lost)


def _slice(
    reference: Entry, entry: Entry, truth: Truth, metric: Metric, kept: NDArray[np.bool_], value: str, block: float
) -> Slice:
    """``q`` holds the p-value still."""
    target, weight, group = truth.target[kept], _of(truth.weight, kept), _of(truth.group, kept)
    mine, theirs = entry.outputs[kept], reference.outputs[kept]
    rows, blank = int(kept.sum()), float("nan")
    blocks = blocks_of(rows, _of(truth.time, kept), group, length=block)
    if int(blocks.max()) + 1 < LEAST:
        score = metric.of(target, mine, weight, group)
        gap = score - metric.of(target, theirs, weight, group)
        return Slice(entry.variant, value, rows, score, gap, blank, blank, blank, "")
    score, influence = influences(metric, target, mine, weight, blocks, group)
    other, baseline = influences(metric, target, theirs, weight, blocks, group)
    gap = score - other
    if np.isnan(gap) or entry.variant == reference.variant:
        return Slice(entry.variant, value, rows, score, gap, gap, gap, blank, "")
    # Blocks share no rows that anything was fitted on here, so no correction: ratio 0.
    apart: Floats = influence - baseline
    tested = corrected_t(gap + apart - apart.mean(), 0.0)
    return Slice(entry.variant, value, rows, score, gap, tested.low, tested.high, tested.p, "")


def _judged(one: Slice, q: float, rate: float, sign: float, reference: str) -> Slice:
    verdict: Against = "tied"
    if one.variant == reference:
        verdict = "champion"
    elif np.isnan(q):
        verdict = ""
    elif q <= rate:
        verdict = "worse" if sign * one.difference > 0 else "better"
    return Slice(one.variant, one.value, one.rows, one.score, one.difference, one.low, one.high, q, verdict)


def _of(values: Any, kept: NDArray[np.bool_]) -> Any:
    return None if values is None else values[kept]
