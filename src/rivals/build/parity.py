"""Does a runtime answer as the pipeline does, and how fast? Pure, but for the clock."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rivals.bundles import TOLERANCE, allowed
from rivals.protocols import Predictor
from rivals.values import Columns, Signature

ROUNDS = 500


def compare(signature: Signature, expected: NDArray[np.float64], got: NDArray[np.float64]) -> tuple[float, str]:
    """Measure the worst difference over rows, and say why it is too much; nothing where the two are as good as equal.

    Classifiers: 1e-5 in every probability, and the same label wherever its lead is more than that. Regressors: 1e-5 of
    the value (of the mean size of values, where one is smaller).
    """
    if got.shape != expected.shape:
        return float("inf"), f"it answers {got.shape} where the pipeline answers {expected.shape}"
    off = np.abs(got - expected)
    worst = float(off.max()) if off.size else 0.0
    beyond = int((~(off <= allowed(signature, expected))).any(axis=1).sum())
    flips = 0
    if signature.task != "regression":
        leading = np.sort(expected, axis=1)
        # In two classes the lead is twice the distance from 0.5.
        sure = leading[:, -1] - leading[:, -2] > TOLERANCE * (2 if expected.shape[1] == 2 else 1)  # noqa: PLR2004 -- classes
        flips = int((sure & (got.argmax(axis=1) != expected.argmax(axis=1))).sum())
    if not beyond and not flips:
        return worst, ""
    return worst, f"{beyond} of {len(off)} rows differ from the pipeline, by up to {worst:.2g}; {flips} labels flip"


def latency(predictors: Mapping[str, Predictor], columns: Columns) -> dict[str, tuple[float, float]]:
    """Time single rows by predictor, in microseconds: median and 99th percentile.

    Each row is another one: over and over the same would flatter trees three times, whose branches a processor learns.
    The predictors take turns, so that what else the machine does meets all of them.
    """
    rows = range(min(columns.rows, ROUNDS))
    single = [Columns({name: [values[i]] for name, values in columns.values.items()}, 1) for i in rows]
    times: dict[str, list[int]] = {name: [] for name in predictors}
    for warm in (True, False):
        for row in single:
            for name, predictor in predictors.items():
                start = time.perf_counter_ns()
                predictor.predict(row)
                if not warm:
                    times[name].append(time.perf_counter_ns() - start)
    return {name: _microseconds(spent) for name, spent in times.items()}


def _microseconds(spent: list[int]) -> tuple[float, float]:
    median, p99 = np.percentile(spent, [50, 99]) / 1000
    return round(float(median), 2), round(float(p99), 2)
