"""Of a block and a variant: how its chances came true, and its loss by declared slice. Sums add up over blocks. Pure.

The rows of one block are a cohort: asked in the same stretch of time, and followed until their labels came. Over the
latest blocks together it is a rolling figure.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from rivals.statistics.losses import Floats
from rivals.values import SliceLoss

BINS = 10  # of the chance that was said, equally wide
VALUES = 32  # slices of a block, the most frequent ones: a column with many values names few
Bins = tuple[tuple[int, float, float], ...]  # rows, summed chances, summed outcomes
Sums = Mapping[str, tuple[int, float]]  # rows and summed loss, by slice


def reliability(said: Floats, happened: Floats) -> Bins:
    """The sums of each bin: chances said (n,) and outcomes 0 or 1 (n,)."""
    places = np.minimum((said * BINS).astype(np.int64), BINS - 1)
    rows, chances, outcomes = (np.bincount(places, weights, BINS) for weights in (None, said, happened))
    return tuple(zip(rows.astype(int).tolist(), chances.tolist(), outcomes.tolist(), strict=True))


def calibration_error(blocks: Sequence[Bins]) -> float:
    """The expected calibration error over blocks (Naeini, Cooper & Hauskrecht, AAAI 2015); NaN where there is none."""
    known = [one for one in blocks if one]
    if not known:
        return math.nan
    sums = np.sum(np.array(known, np.float64), axis=0)
    return float(np.abs(sums[:, 1] - sums[:, 2]).sum() / max(1.0, sums[:, 0].sum()))


def by_slice(losses: Floats, slices: Sequence[Sequence[str]]) -> dict[str, tuple[int, float]]:
    """Rows and summed loss of each slice; ``slices`` (n,): those that each row falls into."""
    rows, sums = Counter[str](), Counter[str]()
    for loss, names in zip(losses.tolist(), slices, strict=True):
        for name in names:
            rows[name] += 1
            sums[name] += loss
    return {name: (many, float(sums[name])) for name, many in sorted(rows.most_common(VALUES))}


def slice_losses(blocks: Sequence[Sums]) -> dict[str, SliceLoss]:
    """Of every slice of these blocks its mean loss over all of them and in the last one."""
    found = {}
    for name in sorted({name for one in blocks for name in one}):
        parts = [one[name] for one in blocks if name in one]
        rows = sum(many for many, _ in parts)
        newest = blocks[-1].get(name)
        found[name] = SliceLoss(
            rows, math.fsum(total for _, total in parts) / rows, newest[1] / newest[0] if newest else None
        )
    return found
