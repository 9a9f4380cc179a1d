"""A linear model as a product and a few look-ups, in float64."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rivals.bundles import NATIVE, NULL, Native, read
from rivals.errors import BundleError
from rivals.serve.runtimes.blocks import finite, numbers
from rivals.values import Columns, Signature

FEW = 8  # terms for which plain Python is quicker on one row


class NativePredictor:
    """Answers from ``native.json``. May be asked by several threads at once."""

    def __init__(self, folder: Path, signature: Signature) -> None:
        self.signature, self.digest = signature, folder.name
        native = read(folder / NATIVE, Native)
        width = len(native.bias)
        if width != {"sigmoid": 1, "identity": 1}.get(native.link, len(signature.labels)):
            msg = f"Bundle {folder.name[:12]}: {NATIVE} has {width} terms, which its labels do not fit. Build it again."
            raise BundleError(msg)
        self._width = len(signature.labels) or 1
        self._link = native.link
        self._bias = np.array(native.bias, np.float64)
        self._numbers = list(native.slopes)
        self._slopes = _table(native.slopes, self._numbers, width)
        self._nulls = _table(native.nulls, self._numbers, width)
        self._texts: list[tuple[str, dict[str | None, int], int]] = []
        rows: list[Sequence[float | None]] = []
        for name, table in native.tables.items():
            codes: dict[str | None, int] = {
                (None if value == NULL else value): len(rows) + i for i, value in enumerate(table)
            }
            self._texts.append((name, codes, len(rows) + len(table)))
            rows += [*table.values(), native.unseen[name]]
        self._rows = np.array(rows, np.float64).reshape(len(rows), width)  # null in the file: NaN, not answered
        # The same as plain lists, for one row.
        self._single = self._bias.tolist(), self._slopes.tolist(), self._nulls.tolist(), self._rows.tolist()

    def predict(self, columns: Columns) -> NDArray[np.float64]:
        """Probabilities (rows, labels) or values (rows, 1). Raises ``BundleError`` on an answer that is not finite."""
        quick = columns.rows == 1 and len(self._bias) <= FEW
        score = self._one(columns) if quick else self._many(columns)
        return finite(self._answer(score), columns.rows, self._width, self.digest)

    def _one(self, columns: Columns) -> NDArray[np.float64]:
        """One row, few terms: plain Python is done before numpy has begun."""
        bias, slopes, nulls, rows = self._single
        values, shares = columns.values, [bias]
        given = numbers(columns, self._numbers)[0].tolist()
        for number, slope, null in zip(given, slopes, nulls, strict=True):
            shares.append([term * number for term in slope] if number == number else null)  # noqa: PLR0124 -- NaN, quickly
        shares += [rows[codes.get(values[name][0], unseen)] for name, codes, unseen in self._texts]
        return np.array([[sum(terms) for terms in zip(*shares, strict=True)]])

    def _many(self, columns: Columns) -> NDArray[np.float64]:
        values, score = columns.values, self._bias
        if self._numbers:
            block = numbers(columns, self._numbers)
            score = block @ self._slopes + score
            if not math.isfinite(score.sum()):
                gaps = np.isnan(block)
                score = np.where(gaps, 0, block) @ self._slopes + gaps @ self._gap_shares(gaps) + self._bias
        if self._texts:
            codes = [[codes.get(value, unseen) for value in values[name]] for name, codes, unseen in self._texts]
            score = self._rows[codes].sum(axis=0) + score
        return score

    def _gap_shares(self, gaps: NDArray[np.bool_]) -> NDArray[np.float64]:
        """What gaps add. Columns without a gap in these rows add nothing, even where a gap there would not be taken."""
        return np.where(np.any(gaps, axis=0, keepdims=True).T, self._nulls, 0)

    def _answer(self, score: NDArray[np.float64]) -> NDArray[np.float64]:
        match self._link:
            case "identity":
                return score
            case "sigmoid":
                positive = _sigmoid(score)
                return np.concatenate([1 - positive, positive], axis=1)
            case "softmax":
                powers = np.exp(score - score.max(axis=1, keepdims=True))
                return np.asarray(powers / powers.sum(axis=1, keepdims=True))
            case _:
                each = _sigmoid(score)
                return np.asarray(each / each.sum(axis=1, keepdims=True))


def _sigmoid(score: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * score))  # no overflow at either end


def _table(shares: Mapping[str, Sequence[float]], names: Sequence[str], width: int) -> NDArray[np.float64]:
    rows = [shares.get(name, [math.nan] * width) for name in names]
    return np.array(rows, np.float64).reshape(len(names), width)
