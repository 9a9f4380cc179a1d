"""A linear model as one look-up or product per column: found by asking, proved by parity.

Steps that work column by column in front of a linear estimator make a score that adds up over the columns. So each
column's share is found by changing that column alone, and no step needs to be known from inside.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model._base import LinearClassifierMixin
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from rivals.build.convert import ENCODERS, UNSEEN, parts
from rivals.bundles import NULL, Native, is_gap
from rivals.values import Signature

COLUMNWISE = (
    ColumnTransformer, FeatureUnion, Pipeline, SimpleImputer, *ENCODERS,
    StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler,
)  # fmt: skip
MOST = 20_000  # values of text columns: beyond, a table is no shorter than the graph

Score = Callable[[pd.DataFrame], NDArray[np.float64]]


def to_native(pipeline: Any, signature: Signature, rows: pd.DataFrame) -> Native:
    """Find each column's share; ``rows`` are real ones, in the order the pipeline was fitted on.

    Raises ``TypeError`` where the pipeline is nothing that adds up.
    """
    steps = list(parts(pipeline))
    estimator = pipeline[-1] if isinstance(pipeline, Pipeline) else pipeline
    if not hasattr(estimator, "coef_") or not type(estimator).__module__.startswith("sklearn.linear_model."):
        msg = f"{type(estimator).__name__} is not a linear model"
        raise TypeError(msg)
    for step in steps:
        idle = isinstance(step, FunctionTransformer) and step.func is None  # "passthrough"
        if step is not estimator and not idle and not isinstance(step, COLUMNWISE):
            msg = f"{type(step).__name__} may do more than work column by column"
            raise TypeError(msg)
    score, link = _score(pipeline, estimator, signature)
    base, numbers, texts = _base(rows, signature, [p for p in steps if isinstance(p, ENCODERS)])
    zero = score(base)[0]
    slopes, nulls, bias = {}, {}, zero
    for name, (low, high) in numbers.items():
        first, last = score(_vary(base, name, [low, high]))
        slopes[name] = (last - first) / (float(high) - float(low)) if high > low else np.zeros_like(zero)
        bias = bias - slopes[name] * float(base[name].iloc[0])
        try:
            nulls[name] = (
                score(_vary(base, name, [np.float32("nan")]))[0] - zero + slopes[name] * float(base[name].iloc[0])
            )
        except ValueError:  # it takes no missing numbers: then neither do we
            continue
    tables = {}
    for name, values in texts.items():
        shares = score(_vary(base, name, values)) - zero
        tables[name] = {NULL if is_gap(v) else v: list(s) for v, s in zip(values, shares, strict=True)}
    return Native(
        link=link,
        bias=list(bias),
        slopes={name: list(slope) for name, slope in slopes.items()},
        nulls={name: list(share) for name, share in nulls.items()},
        tables={name: {k: v for k, v in table.items() if k != UNSEEN} for name, table in tables.items()},
        unseen={name: table[UNSEEN] for name, table in tables.items()},
    )


def _score(pipeline: Any, estimator: Any, signature: Signature) -> tuple[Score, Any]:
    """Choose what adds up, before the link; (rows, k) float64."""
    if signature.task == "regression":
        if type(estimator).predict.__module__ != "sklearn.linear_model._base":
            msg = f"{type(estimator).__name__} does more than add up"
            raise TypeError(msg)
        return partial(_ask, pipeline.predict), "identity"
    if not isinstance(estimator, LinearClassifierMixin):
        msg = f"{type(estimator).__name__} is no linear classifier"
        raise TypeError(msg)
    link = "softmax" if type(estimator).__name__.startswith("Logistic") else "ovr"
    return partial(_ask, pipeline.decision_function), "sigmoid" if signature.task == "binary" else link


def _ask(method: Score, rows: pd.DataFrame) -> NDArray[np.float64]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of unseen categories: they are asked about on purpose
        return np.asarray(method(rows), np.float64).reshape(len(rows), -1)


def _base(
    rows: pd.DataFrame, signature: Signature, encoders: Sequence[Any]
) -> tuple[pd.DataFrame, dict[str, tuple[Any, Any]], dict[str, list[Any]]]:
    """One real row without gaps, the range of each number, and every text that any encoder knows."""
    known = sorted({v for e in encoders for values in e.categories_ for v in values if isinstance(v, str)})
    texts: dict[str, list[Any]] = {c.name: [*known, UNSEEN] for c in signature.inputs if c.kind == "text"}
    if len(known) * len(texts) > MOST:
        msg = f"{len(known)} texts are too many for a table"
        raise TypeError(msg)
    base, numbers = rows.iloc[:1].copy(), {}
    for column in signature.inputs:
        seen = rows[column.name].dropna()
        if seen.empty:
            msg = f"column {column.name!r} is empty"
            raise TypeError(msg)
        base[column.name] = pd.Series([seen.iloc[0]], index=base.index, dtype=rows[column.name].dtype)
        if column.kind == "number":
            numbers[column.name] = (seen.min(), seen.max())
        else:
            gaps = rows[column.name][rows[column.name].isna()]
            texts[column.name].append(None if gaps.empty else gaps.iloc[0])
    return base, numbers, texts


def _vary(base: pd.DataFrame, name: str, values: Sequence[Any]) -> pd.DataFrame:
    rows = pd.concat([base] * len(values), ignore_index=True)
    rows[name] = pd.Series(values, dtype=base[name].dtype)
    return rows
