"""Kolmogorov's and Smirnov's distance: the largest difference between two shares of numbers below a value."""

from __future__ import annotations

from dataclasses import dataclass

from rivals.observe.seen import MEANS, described, seen, too_few
from rivals.protocols import Window
from rivals.statistics import distances
from rivals.usual import NumberSketch, TextSketch
from rivals.values import Finding


@dataclass(frozen=True, slots=True)
class Ks:
    """The two-sample distance at the edges of the reference's bins; gaps are left out, and texts have none.

    ``threshold`` is of the distance, freed of what chance adds to it; certainty is that of Dvoretzky, Kiefer, Wolfowitz
    and Massart. ``Ks(threshold=0.1)``.
    """

    threshold: float = 0.1

    def __post_init__(self) -> None:
        described("ks", self.threshold)

    def look(self, reference: NumberSketch | TextSketch, window: Window) -> Finding | None:
        """One window against the reference."""
        if isinstance(reference, TextSketch) or too_few(reference, window) or window.kind in MEANS:
            return None
        before, now = (counts[:-1] for counts in seen(reference, window))
        if not (before.sum() and now.sum()):
            return None
        distance, certain = distances.ks(before, now)
        return Finding(
            window.column, "ks", distance, distance / self.threshold, certain, window.start, window.kind,
            window.variant, len(window.values), told=f"distance {distance:.2f}",
        )  # fmt: skip
