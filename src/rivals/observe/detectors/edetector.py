"""E-detectors of a column: shares, ranks and means against limits, watched without end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from rivals.observe.seen import LEAST, MEANS, codes, described
from rivals.protocols import Window
from rivals.statistics import edetector
from rivals.statistics.cells import ranks, usual, width
from rivals.statistics.edetector import EDetector
from rivals.statistics.losses import Floats
from rivals.usual import NumberSketch, TextSketch
from rivals.values import Finding

BLOCK = 32  # rows of an input that are taken in together
RANK = 0.05  # a mean rank that is so much off is a shift: one is the larger of two with a chance of 0.55
SHARE = 0.1  # and so is a share of a level that has grown by so much
MEAN = 0.2  # and a mean error that has grown by this part of itself,
LEAST_MEAN = 0.01  # or by this
WATCHED = 20  # levels


@dataclass(frozen=True, slots=True)
class Edetector:
    """Bets on a rise above the limits, begun anew at every moment; an alarm at ``a`` comes once in ``a`` blocks.

    Numbers are watched by their rank in the reference, to both sides; texts by the shares of their levels; gaps of
    either, too; errors, rewards and disagreements by their mean. ``tolerance`` scales what counts as a shift, half of
    which is the limit: what is smaller is never bet on. Shin, Ramdas & Rinaldo, arXiv:2203.03532.
    ``Edetector(tolerance=1)``.
    """

    tolerance: float = 1.0

    def __post_init__(self) -> None:
        described("edetector", self.tolerance)

    def look(self, reference: NumberSketch | TextSketch, window: Window) -> Finding | None:
        """A window as if it were the first."""
        return self.follow(reference, window, None)[0]

    def follow(self, reference: NumberSketch | TextSketch, window: Window, memory: Any) -> tuple[Finding | None, Any]:
        """The next window; ``memory`` holds the bets."""
        if min(len(window.values), reference.rows) < LEAST:
            return None, memory
        state = msgspec.convert(memory, EDetector) if memory else EDetector()
        added, shift, step = self._bets(reference, window)
        ends = np.minimum(np.arange(1, len(added) + 1) * step, len(window.times)) - 1
        state, logs = edetector.advance(state, added, window.times[ends])
        peak = max(0.0, float(logs.max()) - math.log(len(logs)))  # of an alarm anywhere in a look
        finding = Finding(
            window.column, "edetector", shift, abs(shift) / self._shift(reference, window), peak, state.began,
            window.kind, window.variant, len(window.values), told=_told(reference, window, shift),
        )  # fmt: skip
        return finding, msgspec.to_builtins(state)

    def _shift(self, reference: NumberSketch | TextSketch, window: Window) -> float:
        if window.kind in MEANS and isinstance(reference, NumberSketch):
            return self.tolerance * max(LEAST_MEAN, MEAN * reference.mean)
        return self.tolerance * (RANK if isinstance(reference, NumberSketch) else SHARE)

    def _bets(self, reference: NumberSketch | TextSketch, window: Window) -> tuple[Floats, float, int]:
        """Gains by block, how far the column has shifted, and the rows of a block."""
        half = self._shift(reference, window) / 2
        if isinstance(reference, NumberSketch) and window.kind in MEANS:
            error = 2 * reference.std / math.sqrt(reference.rows)  # the reference is a sample, too
            limit = min(0.98, max(1e-4, reference.mean + max(half, error)))
            values = np.clip(np.nan_to_num(window.values.astype(np.float64), nan=reference.mean), 0, 1)
            return edetector.gains(values[:, None], np.array([limit])), float(values.mean()) - reference.mean, 1
        place, before = codes(reference, window), usual(reference)
        shares = before / before.sum()
        if isinstance(reference, NumberSketch):
            rank = np.append(ranks(reference), 0.5)[place]  # a gap is nowhere
            bets = np.column_stack([rank, 1 - rank])
            added = edetector.gains(bets, np.full(2, 0.5 + half), BLOCK)
            return added, float(rank.mean()) - 0.5, BLOCK
        kept = min(width(reference), WATCHED)
        watched = np.argsort(-shares, kind="stable")[:kept]
        places = np.full(len(shares), -1, np.int64)
        places[watched] = np.arange(kept)
        error = 2 * np.sqrt(shares[watched] / reference.rows)
        limits = np.minimum(0.99, shares[watched] + np.maximum(half, error))
        now = np.bincount(place, minlength=len(shares)) / len(place)
        return edetector.counted(places[place], limits, BLOCK), float((now - shares)[watched].max()), BLOCK


def _told(reference: NumberSketch | TextSketch, window: Window, shift: float) -> str:
    if window.kind in MEANS and isinstance(reference, NumberSketch):
        return f"mean {reference.mean:.3g} before, {reference.mean + shift:.3g} now"
    if isinstance(reference, NumberSketch):
        return f"{'higher' if shift > 0 else 'lower'} than before with a chance of {0.5 + abs(shift):.0%}"
    return f"a share has grown by {shift:.1%}"
