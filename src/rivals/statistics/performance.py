"""How good a model is before its labels come: what its calibrated answers say of themselves, or its inputs of its loss.

CBPE, for classifiers: calibrate the answers on held-out rows; then every answer is wrong with a known chance, and so
are metrics of many. It holds as long as labels mean what they meant (covariate shift), and says nothing of concept
shift: that is what the gap between it and the labels is for. Białek, Kuberski, Perrakis & Bifet, "Estimating model
performance under covariate shift without labels", arXiv:2401.08348.

DLE, for regressors: the loss itself is predicted from the inputs and the answer, by a sum of small tables that are
fitted on held-out rows by boosting. NannyML's "direct loss estimation" fits a forest in their place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rivals.errors import DataError
from rivals.statistics.losses import Floats
from rivals.usual import Calibration, Tables

KNOTS = 200  # of a calibration, at most
ROUNDS, RATE = 30, 0.2  # of boosting
SHRINK = 20.0  # rows of no effect, in every cell of a table
ANSWER = ""  # the name of the model's own answer among columns
CHANCE = 1e-6  # no calibrated answer is surer


def calibrate(said: Floats, happened: Floats) -> Calibration:
    """Isotonic regression of what happened, 0 or 1, on what was said (rows,): pool adjacent violators."""
    if not len(said):
        raise DataError("A calibration needs rows with a label; there are none.")
    order = np.argsort(said, kind="stable")
    values, first = np.unique(said[order], return_index=True)
    sums, counts = np.add.reduceat(happened[order].astype(np.float64), first), np.diff([*first, len(said)])
    blocks: list[tuple[float, float, int, int]] = []  # sum, rows, first and last value
    for index, (total, rows) in enumerate(zip(sums.tolist(), counts.tolist(), strict=True)):
        block = (total, float(rows), index, index)
        while blocks and blocks[-1][0] * block[1] >= block[0] * blocks[-1][1]:
            before = blocks.pop()
            block = (before[0] + block[0], before[1] + block[1], before[2], block[3])
        blocks.append(block)
    knots = [(float(values[at]), block[0] / block[1]) for block in blocks for at in sorted({block[2], block[3]})]
    kept = np.unique(np.linspace(0, len(knots) - 1, min(KNOTS, len(knots))).round().astype(int))
    return Calibration(tuple(knots[i][0] for i in kept), tuple(knots[i][1] for i in kept))


def calibrated(said: Floats, calibrations: Sequence[Calibration]) -> Floats:
    """Probabilities (rows, labels) as they happen: each label by its own line, then made to add up to 1."""
    columns = [np.interp(said[:, i], one.said, one.happened) for i, one in enumerate(calibrations)]
    whole = np.clip(np.column_stack(columns), CHANCE, 1.0)
    return np.asarray(whole / whole.sum(axis=1, keepdims=True))


def of_labels(said: Floats, target: NDArray[np.int64]) -> tuple[Calibration, ...]:
    """A calibration for each label, from held-out answers (rows, labels) and what happened, as indexes."""
    if said.shape[1] == 2:  # noqa: PLR2004 -- two labels: one line, and the same seen from the other end
        one = calibrate(said[:, 1], target == 1)
        other = Calibration(tuple(1 - x for x in one.said[::-1]), tuple(1 - y for y in one.happened[::-1]))
        return other, one
    return tuple(calibrate(said[:, k], target == k) for k in range(said.shape[1]))


def expected_accuracy(said: Floats, chances: Floats) -> float:
    """CBPE of the accuracy: ``said`` decides the label, ``chances`` how likely it is right; both (rows, labels)."""
    return float(chances[np.arange(len(said)), said.argmax(axis=1)].mean())


def expected_roc_auc(said: Floats, chance: Floats) -> float:
    """CBPE of the area under the ROC curve; both (rows,), of the second of two labels. NaN where one is impossible."""
    order = np.argsort(-said, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(said[order])), len(said) - 1)  # equal answers are one step
    found = np.concatenate([[0.0], np.cumsum(chance[order])[ends]])
    false = np.concatenate([[0.0], np.cumsum(1 - chance[order])[ends]])
    if not (found[-1] > 0 and false[-1] > 0):
        return float("nan")
    return float(((found[1:] + found[:-1]) / 2 * np.diff(false)).sum() / (found[-1] * false[-1]))


# -- regression ---------------------------------------------------------------------------------------


def fit_tables(codes: Mapping[str, NDArray[np.int64]], loss: Floats) -> Tables:
    """Boost tables, column after column: ``codes`` (rows,) number the cell that a row falls into."""
    base = float(loss.mean())
    rest = loss - base
    cells = {name: np.zeros(int(code.max(initial=0)) + 1) for name, code in codes.items()}
    counts = {name: np.bincount(code, minlength=len(cells[name])) for name, code in codes.items()}
    for _ in range(ROUNDS):
        for name, code in codes.items():
            step = RATE * np.bincount(code, rest, minlength=len(cells[name])) / (counts[name] + SHRINK)
            cells[name] += step
            rest = rest - step[code]
    return Tables(base, {name: tuple(table.tolist()) for name, table in cells.items()})


def expected_loss(tables: Tables, codes: Mapping[str, NDArray[np.int64]], rows: int) -> Floats:
    """DLE: the loss of each row (rows,), never below 0. A cell that no held-out row fell into adds nothing."""
    found = np.full(rows, tables.base)
    for name, table in tables.cells.items():
        if name in codes:
            padded, code = np.append(np.array(table), 0.0), codes[name]
            found += padded[np.where((code >= 0) & (code < len(table)), code, len(table))]
    return np.asarray(np.maximum(found, 0.0))
