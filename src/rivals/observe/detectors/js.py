"""The Jensen-Shannon distance between what a column is and what it was: from 0 to 1."""

from __future__ import annotations

from dataclasses import dataclass

from rivals.observe.seen import MEANS, described, seen, too_few
from rivals.protocols import Window
from rivals.statistics import distances
from rivals.usual import NumberSketch, TextSketch
from rivals.values import Finding


@dataclass(frozen=True, slots=True)
class Js:
    """The square root of the Jensen-Shannon divergence in bits, of bins, levels and gaps; 0.1 is called a shift.

    Unlike an index it is a distance, and knows a most. ``threshold`` is of it, freed of what chance adds; certainty is
    that of a chi-square test. Endres & Schindelin, IEEE Trans. Information Theory 2003. ``Js(threshold=0.1)``.
    """

    threshold: float = 0.1

    def __post_init__(self) -> None:
        described("js", self.threshold)

    def look(self, reference: NumberSketch | TextSketch, window: Window) -> Finding | None:
        """One window against the reference."""
        if too_few(reference, window) or window.kind in MEANS:
            return None
        before, now = seen(reference, window)
        distance, certain = distances.js(before, now)
        return Finding(
            window.column, "js", distance, distance / self.threshold, certain, window.start, window.kind,
            window.variant, len(window.values), told=f"distance {distance:.2f}",
        )  # fmt: skip
