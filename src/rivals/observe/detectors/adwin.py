"""ADWIN of a column: its recent past against the past before, with no reference but itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from rivals.observe.seen import LEAST, MEANS, codes, described
from rivals.protocols import Window
from rivals.statistics import adwin
from rivals.statistics.cells import ranks, usual
from rivals.statistics.losses import Floats
from rivals.usual import NumberSketch, TextSketch
from rivals.values import Finding

RANK, MEAN, LEAST_MEAN = 0.05, 0.2, 0.02  # shifts: of a mean rank, of a mean error by a part of it, or by so much


@dataclass(frozen=True, slots=True)
class Adwin:
    """A window that grows until its newer part differs from its older one, by more than chance at ``delta``.

    It needs no reference to be right: what is usual is what was lately. Values are taken by their rank in the
    reference, texts by how frequent they were there; errors, rewards and disagreements as they are.
    The past is let go at ``delta``: a small one, so that evidence may grow until a budget over many columns is content.
    Bifet & Gavaldà, SDM 2007. ``Adwin(delta=1e-9)``.
    """

    delta: float = 1e-9

    def __post_init__(self) -> None:
        described("adwin", self.delta)

    def look(self, reference: NumberSketch | TextSketch, window: Window) -> Finding | None:
        """A window by itself."""
        return self.follow(reference, window, None)[0]

    def follow(self, reference: NumberSketch | TextSketch, window: Window, memory: Any) -> tuple[Finding | None, Any]:
        """The next window; ``memory`` holds the buckets."""
        if min(len(window.values), reference.rows) < LEAST:
            return None, memory
        state = msgspec.convert(memory, adwin.Adwin) if memory else adwin.Adwin()
        values = _unit(reference, window)
        state, seen = adwin.advance(state, values, self.delta)
        looks = max(1, len(values) // adwin.CLOCK)
        mean = reference.mean if window.kind in MEANS and isinstance(reference, NumberSketch) else 0.0
        large = max(LEAST_MEAN, MEAN * mean) if window.kind in MEANS else RANK
        first = seen.at - seen.age + 1  # of the newer part; before this window where it is negative
        since = float(window.times[max(first, 0)])
        finding = Finding(
            window.column, "adwin", seen.shift, abs(seen.shift) / large, max(0.0, seen.log - math.log(looks)), since,
            window.kind, window.variant, len(values), told=f"its mean moved by {seen.shift:+.2f}",
        )  # fmt: skip
        return finding, msgspec.to_builtins(state)


def _unit(reference: NumberSketch | TextSketch, window: Window) -> Floats:
    """Values within [0, 1]."""
    if window.kind in MEANS and isinstance(reference, NumberSketch):
        return np.clip(np.nan_to_num(window.values.astype(np.float64), nan=reference.mean), 0, 1)
    place = codes(reference, window)
    if isinstance(reference, NumberSketch):
        return np.append(ranks(reference), 0.5)[place]
    counts = usual(reference)
    ends = np.cumsum(counts)
    return np.asarray(((ends - counts / 2) / max(ends[-1], 1.0))[place])
