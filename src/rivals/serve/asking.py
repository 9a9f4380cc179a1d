"""A variant asked once for several requests: what each of them gets, whatever the model does."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import msgspec
import numpy as np

from rivals.errors import BundleError
from rivals.protocols import Predictor
from rivals.remote import Unreachable
from rivals.values import Columns


class Told(msgspec.Struct, array_like=True):
    """What one request got: its rows' outputs, or the ``reason`` why there are none."""

    outputs: list[list[float]]
    latency_us: int
    reason: str = ""


def tell(predictor: Predictor, parts: Sequence[Columns]) -> list[Told]:
    """Ask once for all rows; where that fails, one by one, so that one bad row is one failure."""
    started = time.perf_counter()
    try:
        values = _answers(predictor, _together(parts, predictor))
    except Unreachable:
        raise
    except Exception as error:  # noqa: BLE001 -- whatever a model raises is its failure, not ours
        if len(parts) > 1:
            return [told for part in parts for told in tell(predictor, [part])]
        return [Told([], _microseconds(started), f"{type(error).__name__}: {error}")]
    latency, row = _microseconds(started), 0
    told = []
    for part in parts:
        told.append(Told(values[row : row + part.rows], latency))
        row += part.rows
    return told


def _together(parts: Sequence[Columns], predictor: Predictor) -> Columns:
    """All rows, in the columns that the variant takes."""
    if len(parts) == 1:
        return parts[0]
    names = [column.name for column in predictor.signature.inputs]
    values = {name: [value for part in parts for value in part.values[name]] for name in names}
    for name in getattr(predictor, "beside", ()):  # what came before a table that asks for it has none
        values[name] = [value for part in parts for value in part.values.get(name) or [None] * part.rows]
    return Columns(values, sum(part.rows for part in parts))


def _answers(predictor: Predictor, columns: Columns) -> list[list[float]]:
    output = predictor.predict(columns)
    wanted = (columns.rows, len(predictor.signature.labels) or 1)
    if output.shape != wanted or not math.isfinite(np.sum(output)):
        raise BundleError(f"The answer has shape {output.shape}, not {wanted}, or numbers that are not finite.")
    values: list[list[float]] = output.tolist()
    return values


def _microseconds(started: float) -> int:
    return round((time.perf_counter() - started) * 1e6)
