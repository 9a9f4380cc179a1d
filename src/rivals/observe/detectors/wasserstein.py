"""How far a column's numbers have to be carried to be as they were, in its interquartile ranges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rivals.observe.seen import MEANS, described, seen, too_few
from rivals.protocols import Window
from rivals.statistics import distances
from rivals.usual import NumberSketch, TextSketch
from rivals.values import Finding

QUARTERS = (5, 15)  # places of the quartiles among the 21 quantiles


@dataclass(frozen=True, slots=True)
class Wasserstein:
    """The earth mover's distance over the reference's interquartile range; certainty is Kolmogorov's and Smirnov's.

    ``threshold`` is of that ratio. Numbers beyond the reference's range count as at the farther end of the window's.
    ``Wasserstein(threshold=0.1)``.
    """

    threshold: float = 0.1

    def __post_init__(self) -> None:
        described("wasserstein", self.threshold)

    def look(self, reference: NumberSketch | TextSketch, window: Window) -> Finding | None:
        """One window against the reference."""
        if isinstance(reference, TextSketch) or too_few(reference, window) or window.kind in MEANS:
            return None
        before, now = (counts[:-1] for counts in seen(reference, window))
        quantiles = np.asarray(reference.quantiles, np.float64)
        spread = quantiles[QUARTERS[1]] - quantiles[QUARTERS[0]] or quantiles[-1] - quantiles[0]
        if not (before.sum() and now.sum() and spread > 0):
            return None
        low, high = np.nanmin(window.values), np.nanmax(window.values)
        ends = min(low, quantiles[0]), max(high, quantiles[-1])
        distance, certain = distances.ks(before, now)
        far = distances.wasserstein(before, now, np.array([ends[0], *reference.edges, ends[1]])) / spread
        if not distance:  # nothing but chance
            far = 0.0
        return Finding(
            window.column, "wasserstein", far, far / self.threshold, certain, window.start, window.kind,
            window.variant, len(window.values), told=f"moved by {far:.2f} of its interquartile range",
        )  # fmt: skip
