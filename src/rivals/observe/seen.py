"""What detectors have in common: which windows they look at, and how they count them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rivals.errors import SpecError
from rivals.protocols import Window
from rivals.statistics.cells import cells, usual, width
from rivals.statistics.losses import Floats
from rivals.usual import Sketch

LEAST = 30  # rows, of either side: fewer say nothing about a distribution
MEANS = frozenset({"error", "reward", "disagreement"})  # of which the mean is watched, not the distribution


def too_few(reference: Sketch, window: Window) -> bool:
    """Whether there is nothing to compare."""
    return min(len(window.values), reference.rows) < LEAST


def seen(reference: Sketch, window: Window) -> tuple[Floats, Floats]:
    """Counts of the reference and of the window, by cell; the last one has the gaps."""
    return usual(reference), counted(reference, window)


def codes(reference: Sketch, window: Window) -> NDArray[np.int64]:
    """The cell of each value."""
    return window.cells if window.cells is not None else cells(reference, window.values)


def counted(reference: Sketch, window: Window) -> Floats:
    """How many values fall into each cell."""
    return np.bincount(codes(reference, window), minlength=width(reference)).astype(np.float64)


def described(name: str, *thresholds: float) -> None:
    """Refuse options that are no numbers above 0. Raises ``SpecError``."""
    for one in thresholds:
        if not (isinstance(one, (int, float)) and 0 < one < math.inf):
            raise SpecError(f"detector {name}: its options are numbers above 0, not {one!r}.")
