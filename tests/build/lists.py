"""Lists to be ranked, and a task of the project's own: importable by name, as a project's module is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import QuantileRegressor

from rivals.build.rows import Rows, prepare
from rivals.spec.project import DataSpec


def load(rows: int = 1200, seed: int = 0) -> pd.DataFrame:
    """A query of about a dozen rows each, in no order; grades 0 to 4; half of the queries weigh nothing to speak of."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, rows))
    query = rng.integers(0, rows // 12, rows)
    frame = pd.DataFrame({"a": a, "b": b, "query": query, "w": np.where(query % 2, 1.0, 0.01)})
    frame["grade"] = np.clip(np.round(a - b + rng.normal(size=rows) / 2 + 1), 0, 4).astype(int)
    return frame.assign(demand=np.exp(frame["a"] + rng.normal(size=rows) / 2), row=np.arange(rows))


def lists(**keys: Any) -> Rows:
    keys = {"source": "function", "task": "ranking", "target": "grade", "group": "query", **keys}
    keys.setdefault("split", {"by": "group"})
    return prepare(load().drop(columns=["w", "demand", "row"]), DataSpec.model_validate(keys))


def stock(task: str, seed: int) -> Any:
    """A family of the project's own task: how much to keep in stock."""
    assert task == "custom"
    return QuantileRegressor(quantile=0.8, alpha=0.0)


def unsold(demand: Any, outputs: Any, weight: Any = None) -> float:
    """Its metric: what is missing costs four times what is left over."""
    short = np.asarray(demand) - outputs[:, 0]
    return float(np.average(np.maximum(4 * short, -short), weights=weight))


unsold.lower_is_better = True  # type: ignore[attr-defined]  # read by rivals


def best_first(grades: Any, outputs: Any) -> float:
    """A metric within lists: whether the first row is one of the best."""
    return float(np.asarray(grades)[outputs[:, 0].argmax()] == np.max(grades))


best_first.by_group = True  # type: ignore[attr-defined]  # read by rivals
