"""Null models: where nothing can be learned, whoever still predicts has seen the answer.

Four checks, each of an evaluation that goes from raw rows to answers on rows held out:
labels shuffled before anything is done (a preparation that looks at held-out labels still predicts them); inputs of
other rows in place of a row's own (what predicts then is the rows' order, or the label by another way); rows that
stand on both sides of a fold; one column that says nearly everything.
Kaufman, Rosset, Perlich, Leakage in data mining, KDD 2011; Ojala & Garriga, Permutation tests for studying classifier
performance, JMLR 11 (2010).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from rivals.build.folds import Indexes
from rivals.build.pipeline import transformer
from rivals.build.rows import Rows, narrowed
from rivals.build.train import answers
from rivals.build.unfitted import unfitted
from rivals.statistics.losses import Floats, log_loss, squared
from rivals.values import Use

Folds = Sequence[tuple[Indexes, Indexes]]
Evaluate = Callable[[Rows, Folds], Sequence[Floats]]  # the answers on the second half of every fold

REPEATS = 5  # of each null model
SURE = 4.0  # standard errors: one false alarm in 30,000 checks
ALIKE = 0.01  # share of held-out rows that also teach
TELLING = 0.9  # share of what there is to explain that one column may not explain alone
DEPTH = 4


@dataclass(frozen=True, slots=True)
class Leak:
    """What a null model found. ``size`` is in standard errors for the first two checks, else a share."""

    check: Literal["shuffled labels", "noise features", "same rows", "one column"]
    reason: str
    size: float


def watch(evaluate: Evaluate, rows: Rows, folds: Folds, *, seed: int = 0, repeats: int = REPEATS) -> tuple[Leak, ...]:
    """Every leak that null models find in an evaluation; nothing found is no proof that there is none.

    Costs twice ``repeats`` evaluations. Raises what the evaluation raises.
    """
    rng = np.random.default_rng(seed)
    found = [_same(rows, folds), *_telling(rows, folds)]
    shuffled = [replace(rows, target=rng.permutation(rows.target)) for _ in range(repeats)]
    if (size := _skill(evaluate, shuffled, folds)) > SURE:
        reason = "labels shuffled before anything else are still predicted: a step has seen the labels of held-out rows"
        found.append(Leak("shuffled labels", f"{reason} ({size:.1f} standard errors).", size))
    noisy = [
        replace(rows, inputs=rows.inputs.iloc[rng.permutation(len(rows))].reset_index(drop=True))
        for _ in range(repeats)
    ]
    if (size := _skill(evaluate, noisy, folds)) > SURE:
        reason = (
            "rows with the inputs of other rows are still predicted: their order or their label comes in by another way"
        )
        found.append(Leak("noise features", f"{reason} ({size:.1f} standard errors).", size))
    return tuple(one for one in found if one is not None)


def variant(steps: Sequence[Use], family: Use, columns: Sequence[str] | None = None, seed: int = 0) -> Evaluate:
    """The evaluation of a variant: its steps and its model, fitted on each fold."""

    def evaluate(rows: Rows, folds: Folds) -> list[Floats]:
        inputs = narrowed(rows.signature, columns).inputs
        names = [column.name for column in inputs]
        asked = unfitted(family, rows.task, seed)
        said = []
        for train, others in folds:
            prepared = transformer(steps, inputs)
            block = np.asarray(prepared.fit_transform(rows.inputs[names].iloc[train], rows.labels[train]), np.float32)
            model = asked.fit(block, rows, train)
            others_block = np.asarray(prepared.transform(rows.inputs[names].iloc[others]), np.float32)
            said.append(answers(model, others_block, rows.signature))
        return said

    return evaluate


def _skill(evaluate: Evaluate, nulls: Sequence[Rows], folds: Folds) -> float:
    """How far answers lean towards what happened, in standard errors; near N(0, 1) where nothing can be known."""
    leaning = spread = 0.0
    for rows in nulls:
        for (_, others), said in zip(folds, evaluate(rows, folds), strict=True):
            each = _leaning(rows.target[others], said, rows.signature.task == "regression")
            leaning += float(each.sum())
            spread += float(np.square(each).sum())
    return leaning / math.sqrt(spread) if spread else 0.0


def _leaning(target: NDArray[np.float64], said: Floats, values: bool) -> Floats:
    """Per row: what was given to the truth beyond what anybody's truth would have got; its mean is 0 by chance."""
    if values:
        product: Floats = (said[:, 0] - said[:, 0].mean()) * (target - target.mean())
        return product
    shares = np.bincount(target.astype(np.int64), minlength=said.shape[1]) / len(target)
    centred = said - said.mean(axis=0)
    lean: Floats = centred[np.arange(len(said)), target.astype(np.int64)] - centred @ shares
    return lean


def _same(rows: Rows, folds: Folds) -> Leak | None:
    """Rows that are equal to the last digit on both sides, where some column tells rows apart."""
    distinct = rows.inputs.drop_duplicates()
    if not any(distinct[name].nunique() > len(distinct) / 2 for name in distinct):
        return None  # few values: equal rows are to be expected
    names = pd.util.hash_pandas_object(rows.inputs, index=False).to_numpy()
    shared = [np.isin(names[others], names[train]) for train, others in folds]
    share = float(np.concatenate(shared).mean())
    if share < ALIKE:
        return None
    return Leak(
        "same rows", f"{share:.0%} of the held-out rows are also among those fitted on, equal in every input.", share
    )


def _telling(rows: Rows, folds: Folds) -> list[Leak]:
    """Columns that explain nearly all by themselves."""
    found = []
    for column in rows.signature.inputs:
        values = rows.inputs[column.name]
        coded = pd.factorize(values, sort=False)[0] if column.kind == "text" else values.fillna(values.min() - 1)
        share = _explained(np.asarray(coded, np.float64)[:, None], rows, folds)
        if share > TELLING:
            reason = f"{column.name} alone explains {share:.0%} of the target: is it known before the outcome is?"
            found.append(Leak("one column", reason, share))
    return found


def _explained(block: Floats, rows: Rows, folds: Folds) -> float:
    """The share of the held-out deviance that a small tree explains."""
    values = rows.signature.task == "regression"
    leaf = max(5, len(rows) // 100)
    tree = (DecisionTreeRegressor if values else DecisionTreeClassifier)(max_depth=DEPTH, min_samples_leaf=leaf)
    left = whole = 0.0
    for train, others in folds:
        target = rows.target[others]
        said = answers(tree.fit(block[train], rows.labels[train]), block[others], rows.signature)
        said = said if values else 0.999 * said + 0.001 / said.shape[1]  # a pure leaf is not that sure
        loss = squared if values else log_loss
        left += float(loss(target, said).sum())
        shares = (
            [rows.target[train].mean()]
            if values
            else np.bincount(rows.target[train], minlength=said.shape[1]) / len(train)
        )
        whole += float(loss(target, np.tile(np.asarray(shares, np.float64), (len(target), 1))).sum())
    return 1 - left / whole if whole else 0.0
