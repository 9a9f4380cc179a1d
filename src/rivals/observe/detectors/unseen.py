"""Values that cannot be right: missing, of another type, out of range, never seen, or all the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rivals.observe.seen import MEANS, described, too_few
from rivals.protocols import Window
from rivals.statistics.distances import share_above
from rivals.usual import NumberSketch, TextSketch
from rivals.values import Finding

FLOOR = 0.01  # no fewer bad rows are called a shift
HALF = 0.5  # a season brings new extremes: out of range counts half
TIGHT = 0.02  # of the reference's range of nine in ten: where so little is left, the column is stuck
OUTER = (1, 19)  # places of 5 and 95 % among the 21 quantiles


@dataclass(frozen=True, slots=True)
class Unseen:
    """The share of bad values against the reference's: ``times`` as many are a shift, and more than 1 in 100 rows.

    ``statistic`` is the share that is new; numbers out of the reference's range count half in it. Certainty is that of
    the count of bad values (Chernoff). ``Unseen(times=2)``.
    """

    times: float = 2.0

    def __post_init__(self) -> None:
        described("unseen", self.times)

    def look(self, reference: NumberSketch | TextSketch, window: Window) -> Finding | None:
        """One window against the reference."""
        if too_few(reference, window) or window.kind in MEANS:
            return None
        rows = len(window.values) + window.wrong
        found = _numbers(reference, window) if isinstance(reference, NumberSketch) else _texts(reference, window)
        found["of another type"] = (window.wrong, 0.0)
        worst, effect, certain = "", 0.0, 0.0
        for name, (bad, before) in found.items():
            spread = 3 * np.sqrt(before * (1 - before) / reference.rows)  # the reference is a sample, too
            limit = min(0.99, max(FLOOR, self.times * before, before + float(spread)))
            if bad / rows / limit > effect:
                worst, effect, certain = name, bad / rows / limit, share_above(round(bad), rows, limit)
        bad, before = found.get(worst, (0, 0.0))
        new = max(0.0, bad / rows - before) * (HALF if worst == "out of range" else 1.0)
        told = f"{worst}: {before:.1%} before, {bad / rows:.1%} now" if worst else "nothing new"
        return Finding(
            window.column, "unseen", new, effect, certain, window.start, window.kind, window.variant, rows, told=told
        )


def _numbers(reference: NumberSketch, window: Window) -> dict[str, tuple[float, float]]:
    """By what is wrong: how many values are so, and the share of them in the reference."""
    values = window.values
    known = values[~np.isnan(values)]
    found: dict[str, tuple[float, float]] = {"missing": (len(values) - len(known), reference.nulls / reference.rows)}
    if len(known) and reference.rows > reference.nulls:
        quantiles = reference.quantiles
        outside = int(((known < quantiles[0]) | (known > quantiles[-1])).sum())
        found["out of range"] = (outside, 2 / (reference.rows - reference.nulls))
        middle, reach = float(np.median(known)), TIGHT * (quantiles[OUTER[1]] - quantiles[OUTER[0]])
        if reach > 0:
            near = int((np.abs(known - middle) <= reach / 2).sum())
            found["all the same"] = (near, _mass(reference, middle))
    return found


def _mass(reference: NumberSketch, value: float) -> float:
    """The share of the reference in the bin of a value: as much of it, at most, is the same."""
    place = int(np.searchsorted(np.asarray(reference.edges, np.float64), value, "left"))
    return reference.counts[place] / max(1, sum(reference.counts)) if reference.counts else 0.0


def _texts(reference: TextSketch, window: Window) -> dict[str, tuple[float, float]]:
    values = window.values.tolist()
    missing = values.count(None)
    counts = reference.counts
    strange = sum(value not in counts for value in values) - missing
    found: dict[str, tuple[float, float]] = {
        "missing": (missing, reference.nulls / reference.rows),
        "never seen": (strange, reference.others / reference.rows),
    }
    if len(counts) > 1 and len(values) > missing:
        kept = [value for value in values if value is not None]
        common = max(set(kept), key=kept.count) if len(set(kept)) <= 2 else None  # noqa: PLR2004 -- stuck, or nearly
        if common is not None:
            found["all the same"] = (kept.count(common), counts.get(common, 0) / reference.rows)
    return found
