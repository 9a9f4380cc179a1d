"""Fit a family that takes rows as they are: its steps are inside it and are fitted with it, fold by fold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from rivals.build.rows import Rows
from rivals.errors import BuildError
from rivals.plugins import factory
from rivals.protocols import Family


def is_whole(family: str) -> bool:
    """Whether that family brings its own steps."""
    return bool(getattr(factory(Family, family), "whole", False))


def fit_rows(unfitted: Any, inputs: pd.DataFrame, rows: Rows, which: NDArray[np.int64]) -> Any:
    """Fit on some of the rows, with their weights where they have some. Raises ``BuildError`` where none are taken."""
    model, labels = clone(unfitted), rows.labels[which]
    if rows.weight is None:
        return model.fit(inputs.iloc[which], labels)
    name, last = "sample_weight", model
    while isinstance(last, Pipeline):
        name, last = f"{last.steps[-1][0]}__{name}", last.steps[-1][1]
    if not has_fit_parameter(last, "sample_weight"):
        raise BuildError(f"{type(last).__name__} takes no weights; choose another estimator, or remove data.weight.")
    return model.fit(inputs.iloc[which], labels, **{name: rows.weight[which]})
