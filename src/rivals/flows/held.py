"""How a variant is on rows it was not fitted on: what drift and quality are measured against, once it answers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from rivals.build import bank
from rivals.build.bank import HELD_OUT, Bank
from rivals.build.folds import Split
from rivals.build.reference import HeldOut, number, text
from rivals.build.rows import Rows
from rivals.build.train import Fitted
from rivals.observe.outcomes import LOSSES
from rivals.statistics.cells import cells
from rivals.statistics.losses import Floats
from rivals.statistics.performance import ANSWER, fit_tables, of_labels
from rivals.usual import Held, Sketch, Tables

ENOUGH = 1_000  # rows held out by the final model; with fewer, those out of fold are taken as well
CLIPPED = 0.99  # above this part of the held-out squared errors, they are clipped


def held_out(fitted: Fitted, rows: Rows, division: Split, taught: pd.DataFrame) -> HeldOut | None:
    """What the bank says of a variant that was fitted on the inputs ``taught``; None where no row was held out."""
    banked = bank.read(fitted.into)
    places = np.concatenate([*(valid for _, valid in division.folds), division.test])
    last = banked.fold == HELD_OUT
    kept = last if last.sum() >= ENOUGH else np.ones(len(banked), bool)
    kept = kept & np.isfinite(banked.outputs).all(axis=1)
    if not kept.any():
        return None
    some, inputs = banked.where(kept), rows.inputs.iloc[places[kept]]
    held = _classes(some) if some.labels else _values(some, inputs, taught)
    happened: NDArray[Any] = np.array(some.labels, object)[some.target] if some.labels else some.target
    return HeldOut(some.outputs, _label(happened, some.labels), held)


def _label(happened: NDArray[Any], labels: tuple[Any, ...]) -> Sketch:
    return text(pd.Series([str(one) for one in happened])) if labels else number(happened.astype(np.float64))


def _classes(some: Bank) -> Held:
    target = some.target.astype(np.float64)
    losses = {name: number(LOSSES[name](target, some.outputs, math.inf)) for name in ("brier", "log_loss")}
    return Held(len(some), losses, of_labels(some.outputs, some.target.astype(np.int64)))


def _values(some: Bank, inputs: pd.DataFrame, taught: pd.DataFrame) -> Held:
    target = some.target.astype(np.float64)
    whole = LOSSES["squared"](target, some.outputs, math.inf)
    bound = float(np.quantile(whole, CLIPPED)) or 1.0
    loss = np.minimum(whole, bound)
    return Held(len(some), {"squared": number(loss)}, (), _tables(some, inputs, taught, loss), bound)


def _tables(some: Bank, inputs: pd.DataFrame, taught: pd.DataFrame, loss: Floats) -> Tables:
    """The cells are those of the bundle's reference, which is a sketch of the rows it was fitted on."""
    codes = {}
    for name in taught.columns:
        numeric = is_numeric_dtype(taught[name])
        sketch: Sketch = number(taught[name].to_numpy()) if numeric else text(taught[name])
        values = inputs[name] if numeric else inputs[name].astype(object).where(inputs[name].notna(), None)
        codes[name] = cells(sketch, values.to_numpy())
    said = some.outputs[:, 0]
    return fit_tables({**codes, ANSWER: cells(number(said), said)}, loss)
