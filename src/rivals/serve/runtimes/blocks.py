"""Rows as the blocks a model takes, and a model's answer as what may leave: the little that runs for every row."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rivals.errors import BundleError
from rivals.values import Columns


def numbers(columns: Columns, names: Sequence[str]) -> NDArray[np.float32]:
    """Float32 (rows, names), C order; None is NaN."""
    values = columns.values
    if columns.rows == 1:
        return np.array([[values[name][0] for name in names]], np.float32)
    block = np.empty((columns.rows, len(names)), np.float32)
    for index, name in enumerate(names):
        block[:, index] = np.array(values[name], np.float32)
    return block


def finite(output: NDArray[np.float64], rows: int, width: int, digest: str) -> NDArray[np.float64]:
    """Pass an answer of shape (rows, width) on. Raises ``BundleError`` if it is another shape or not finite."""
    if output.shape != (rows, width):
        msg = f"Bundle {digest[:12]} answered {output.shape} where ({rows}, {width}) was asked for."
        raise BundleError(msg)
    if not math.isfinite(output.sum()):  # one sum is cheaper than a mask, and NaN or infinity goes through it
        msg = f"Bundle {digest[:12]} gave an answer that is not a finite number."
        raise BundleError(msg)
    return output
