"""The population stability index: how many bits the shares of a column's cells have moved, both ways."""

from __future__ import annotations

from dataclasses import dataclass

from rivals.observe.seen import MEANS, described, seen, too_few
from rivals.protocols import Window
from rivals.statistics import distances
from rivals.usual import NumberSketch, TextSketch
from rivals.values import Finding


@dataclass(frozen=True, slots=True)
class Psi:
    """Shares of twenty bins between the reference's quantiles, of levels, and of gaps; 0.2 is commonly called a shift.

    ``threshold`` is of the index, freed of what chance adds to it; certainty is that of a chi-square test.
    Siddiqi, Credit Risk Scorecards, 2006. ``Psi(threshold=0.2)``.
    """

    threshold: float = 0.2

    def __post_init__(self) -> None:
        described("psi", self.threshold)

    def look(self, reference: NumberSketch | TextSketch, window: Window) -> Finding | None:
        """One window against the reference."""
        if too_few(reference, window) or window.kind in MEANS:
            return None
        before, now = seen(reference, window)
        index, certain = distances.psi(before, now)
        return Finding(
            window.column, "psi", index, index / self.threshold, certain, window.start, window.kind, window.variant,
            len(window.values), told=f"index {index:.2f}",
        )  # fmt: skip
