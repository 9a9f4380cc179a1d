"""Mixed toy rows, and the user's own code of these tests: importable by name, as a project's module is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from rivals.build.rows import Rows, prepare
from rivals.spec.project import DataSpec
from rivals.values import Use

HERE = __name__

IMPUTE = Use("impute", {"columns": "numeric"})
SCALE = Use("scale", {"columns": "numeric"})
ENCODE = Use("encode", {"columns": ["color"]})


def load(rows: int = 600, seed: int = 0, task: str = "binary") -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, rows))
    color = rng.choice(np.array(["red", "grün", "blue", None], dtype=object), rows, p=[0.4, 0.3, 0.25, 0.05])
    signal = 1.5 * a - b + 1.0 * (color == "red")
    frame = pd.DataFrame({"a": a, "b": b, "color": color})
    frame.loc[rng.random(rows) < 0.1, "b"] = np.nan
    if task == "binary":
        frame["y"] = (rng.random(rows) < 1 / (1 + np.exp(-signal))).astype(int)
    elif task == "multiclass":
        frame["y"] = np.array(["low", "mid", "top"])[np.digitize(signal + rng.normal(size=rows), [-1, 1])]
    else:
        frame["y"] = 50 + 10 * signal + rng.normal(size=rows)
    return frame.assign(t=1.4e9 + np.arange(rows) * 3600.0, id=np.arange(rows), w=rng.uniform(0.5, 2, rows))


def prepared(task: str = "binary", rows: int = 600, **keys: Any) -> Rows:
    frame = load(rows, task=task)
    if "weight" not in keys:
        frame = frame.drop(columns="w")
    keys = {"source": "function", "task": task, "target": "y", "id": "id", "time": "t", **keys}
    return prepare(frame, DataSpec.model_validate(keys))


def no_frame() -> list[int]:
    return [1]


def product(frame: pd.DataFrame, scale: float = 1.0) -> pd.DataFrame:
    return pd.DataFrame({"product": frame["a"] * frame["b"] * scale})


def words(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.astype(str) + "!"


def pipeline() -> Pipeline:
    """Fitted outside, on its own rows and only some of the columns."""
    frame = load(300, seed=9)
    steps = ColumnTransformer(
        [("numbers", "passthrough", ["a"]), ("color", OneHotEncoder(handle_unknown="ignore"), ["color"])]
    )
    inputs = frame[["a", "color"]].astype({"a": "float32", "color": object})
    return Pipeline([("features", steps), ("model", LogisticRegression())]).fit(inputs, frame["y"])


def unfitted() -> LogisticRegression:
    return LogisticRegression()


def above(labels: Any, outputs: Any) -> float:
    """A metric: the mean probability given to what happened."""
    return float(outputs[np.arange(len(outputs)), np.asarray(labels)].mean())


def cost(labels: Any, outputs: Any, weight: Any = None) -> float:
    return float(np.average(5.0 * (outputs.argmax(axis=1) != np.asarray(labels)), weights=weight))


cost.lower_is_better = True  # type: ignore[attr-defined]  # read by rivals
NOT_CALLABLE = 3


def model(task: str, seed: int, depth: int = 3) -> Any:
    """A project's own model."""
    kind = DecisionTreeRegressor if task == "regression" else DecisionTreeClassifier
    return kind(max_depth=depth, random_state=seed)
