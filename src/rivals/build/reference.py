"""What training data looked like, in a few numbers a column; and rows from its edges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rivals.build.convert import UNSEEN
from rivals.statistics.cells import edges_of
from rivals.usual import Held, NumberSketch, Reference, Sketch, TextSketch
from rivals.values import Signature

TOP = 1_000  # values of a text column that are counted one by one
QUANTILES = np.linspace(0, 1, 21)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What is known of a variant on rows it was not fitted on: answers (rows, k), what happened, how good it was."""

    scores: NDArray[np.float64]
    label: Sketch
    held: Held


def sketch(
    rows: pd.DataFrame, scores: NDArray[np.float64], signature: Signature, known: HeldOut | None = None
) -> Reference:
    """Sketch every input, and the scores (rows, k): those on held-out rows where they are known."""
    scores = known.scores if known else scores
    names = [str(label) for label in signature.labels] or ["value"]
    return Reference(
        numbers={c.name: number(rows[c.name].to_numpy()) for c in signature.inputs if c.kind == "number"},
        texts={c.name: text(rows[c.name]) for c in signature.inputs if c.kind == "text"},
        scores={name: number(scores[:, i]) for i, name in enumerate(names)},
        labels=known.label if known and isinstance(known.label, TextSketch) else None,
        targets=known.label if known and isinstance(known.label, NumberSketch) else None,
        held=known.held if known else None,
    )


def edges(
    rows: pd.DataFrame, signature: Signature, answer: Callable[[pd.DataFrame], NDArray[np.float64]]
) -> pd.DataFrame:
    """Real rows with one gap or one unseen text each; only those the pipeline has an ``answer`` to."""
    made = []
    for index, column in enumerate(signature.inputs):
        values: list[Any] = [UNSEEN] if column.kind == "text" else []
        if column.nullable:
            gaps = rows[column.name][rows[column.name].isna()]
            values.append(gaps.iloc[0] if len(gaps) else None if column.kind == "text" else np.nan)
        for value in values:
            row = rows.iloc[[index % len(rows)]].copy()
            row[column.name] = pd.Series([value], index=row.index, dtype=rows[column.name].dtype)
            try:
                answer(row)
            except ValueError:  # the pipeline refuses such rows, and so need not be imitated
                continue
            made.append(row)
    return pd.concat(made) if made else rows.iloc[:0]


def number(values: NDArray[Any]) -> NumberSketch:
    """Sketch numbers (rows,); NaN is a gap."""
    known = values[~np.isnan(values)].astype(np.float64)
    if not known.size:
        return NumberSketch(len(values), len(values), 0.0, 0.0, [])
    quantiles = [float(q) for q in np.quantile(known, QUANTILES)]
    mean, std, edges = float(known.mean()), float(known.std()), edges_of(known)
    return NumberSketch(len(values), len(values) - len(known), mean, std, quantiles, *edges)


def text(values: pd.Series[Any]) -> TextSketch:
    """Sketch texts, or whatever a label is; None is a gap."""
    counted = values.dropna().value_counts()
    # The most frequent first, and among equals by name: the same rows give the same file.
    ordered = sorted(counted.items(), key=lambda pair: (-pair[1], str(pair[0])))
    kept = {str(value): int(count) for value, count in ordered[:TOP]}
    others = int(counted.sum()) - sum(kept.values())
    return TextSketch(len(values), int(values.isna().sum()), kept, others)
