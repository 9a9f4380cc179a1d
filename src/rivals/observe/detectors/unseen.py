"""Values that cannot be right: missing, of another type, out of range, never seen, or all the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from rivals.observe.seen import MEANS, described, too_few
from rivals.protocols import Window
from rivals.statistics.distances import share_above
from rivals.usual import NumberSketch, TextSketch
from rivals.values import Finding

FLOOR = 0.01  # no fewer bad rows are called a shift
HALF = 0.5  # a season brings new extremes: out of range counts half
STUCK = 0.5  # of the rows have one value
WINDOWS = 3  # one after another, in which a stuck column has the same one


@dataclass(frozen=True, slots=True)
class Unseen:
    """The share of bad values against the reference's: ``times`` as many are a shift, and more than 1 in 100 rows.

    ``statistic`` is the share that is new; numbers out of the reference's range count half in it. Certainty is that of
    the count of bad values (Chernoff). A column is stuck that has hardly more than one value for three windows: a day
    may well have but one weekday. ``Unseen(times=2)``.
    """

    times: float = 2.0

    def __post_init__(self) -> None:
        described("unseen", self.times)

    def look(self, reference: NumberSketch | TextSketch, window: Window) -> Finding | None:
        """One window against the reference."""
        return self.follow(reference, window, None)[0]

    def follow(self, reference: NumberSketch | TextSketch, window: Window, memory: Any) -> tuple[Finding | None, Any]:
        """The next window; ``memory`` holds the value that nearly all rows had, and in how many windows."""
        if too_few(reference, window) or window.kind in MEANS:
            return None, memory
        rows = len(window.values) + window.wrong
        found = _numbers(reference, window) if isinstance(reference, NumberSketch) else _texts(reference, window)
        found["of another type"] = (window.wrong, 0.0)
        stuck, many, before = _one_value(reference, window)
        same = memory is not None and stuck is not None and memory[0] == stuck
        windows = 0 if stuck is None else memory[1] + 1 if same else 1
        if windows >= WINDOWS:
            found["all the same"] = (many, before)
        return self._finding(reference, window, rows, found), [stuck, windows]

    def _finding(
        self, reference: NumberSketch | TextSketch, window: Window, rows: int, found: dict[str, tuple[float, float]]
    ) -> Finding:
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
        outside = int(((known < reference.quantiles[0]) | (known > reference.quantiles[-1])).sum())
        found["out of range"] = (outside, 2 / (reference.rows - reference.nulls))
    return found


def _texts(reference: TextSketch, window: Window) -> dict[str, tuple[float, float]]:
    values, counts = window.values.tolist(), reference.counts
    missing = values.count(None)
    strange = sum(value not in counts for value in values) - missing
    return {
        "missing": (missing, reference.nulls / reference.rows),
        "never seen": (strange, reference.others / reference.rows),
    }


def _one_value(reference: NumberSketch | TextSketch, window: Window) -> tuple[Any, int, float]:
    """The value that most rows have, or nearly; how many rows; and its share in the reference, at most. None: none."""
    values = window.values.tolist()
    value, many = Counter(values).most_common(1)[0]
    if many < STUCK * len(values) or value is None or value != value:  # noqa: PLR0124 -- gaps are missing, not stuck
        return None, 0, 0.0
    if isinstance(reference, TextSketch):
        return value, many, reference.counts.get(value, 0) / reference.rows
    place = int(np.searchsorted(np.asarray(reference.edges, np.float64), value, "left"))
    return value, many, reference.counts[place] / max(1, reference.rows)
