"""Rows to try a plug-in on, and what several claims need."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline

from rivals.build.bundle import Bundle, outputs, write
from rivals.build.rows import Rows, prepare
from rivals.bundles import TOLERANCE, columns_of
from rivals.protocols import Step
from rivals.serve.runtimes import open_bundle, predictor
from rivals.spec.project import DataSpec
from rivals.values import Task


def sample(task: Task = "binary", rows: int = 400, seed: int = 0) -> pd.DataFrame:
    """Rows as they come: numbers ``a`` and ``b`` with gaps, texts ``color`` with gaps, ``words``, and target ``y``."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, rows))
    color = rng.choice(np.array(["red", "green", "blue", None], dtype=object), rows, p=[0.4, 0.3, 0.2, 0.1])
    words = [" ".join(rng.choice(["late", "early", "rain", "snow", "sun"], 3)) for _ in range(rows)]
    signal = 1.5 * a - b + (color == "red")
    frame = pd.DataFrame({"a": a, "b": b, "color": color, "words": words})
    frame.loc[rng.random(rows) < 0.1, "b"] = np.nan
    match task:
        case "binary":
            target: NDArray[Any] = (rng.random(rows) < 1 / (1 + np.exp(-signal))).astype(int)
        case "multiclass":
            target = np.array(["low", "mid", "top"])[np.digitize(signal + rng.normal(size=rows), [-1, 1])]
        case _:
            target = 50 + 10 * signal + rng.normal(size=rows)
    return frame.assign(y=target)


def prepared(columns: Sequence[str], task: Task = "binary", seed: int = 0) -> Rows:
    """Those columns of ``sample`` as a family and a step get them."""
    frame = sample(task, seed=seed)
    return prepare(frame[[*columns, "y"]], DataSpec.model_validate({"source": "function", "task": task, "target": "y"}))


def table_of(block: Any) -> NDArray[np.float32]:
    """Whatever a transformer gave, dense."""
    plain = block.toarray() if hasattr(block, "toarray") else block
    return np.asarray(plain, np.float32)


def stepped(step: Step, rows: Rows) -> Any:
    """The step alone between raw rows and a model, as a project with this one step has it; gaps are filled after it."""
    from sklearn.impute import SimpleImputer  # noqa: PLC0415 -- here alone

    inputs = rows.signature.inputs
    numeric = [column.name for column in inputs if column.kind == "number"]
    made = step.transformer(numeric, [column.name for column in inputs if column.kind == "text"])
    return Pipeline([("step", made), ("filled", SimpleImputer(keep_empty_features=True))])


def check_bundle(pipeline: Any, rows: Rows, served: bool) -> None:
    """Fit, bundle, open, ask: the answers are the pipeline's own, on rows it has not met."""
    signature = rows.signature
    if signature.task == "regression" and isinstance(pipeline.steps[-1][1], LogisticRegression):
        pipeline.steps[-1] = ("model", LinearRegression())
    pipeline.fit(rows.inputs, rows.labels)
    with tempfile.TemporaryDirectory() as name:
        made: Bundle = write(Path(name), pipeline, signature, rows.inputs, runtime=predictor)
        if not served:
            assert made.manifest.runtime != "child" or made.manifest.reason, "it says why it is not served in process"
            return
        assert made.manifest.runtime != "child", made.manifest.reason
        said = open_bundle(made.folder, lambda digest: Path(name, digest)).predict(columns_of(rows.inputs, signature))
    expected = outputs(pipeline, rows.inputs, signature)
    size = max(1.0, float(np.abs(expected).mean())) if signature.task == "regression" else 1.0
    worst = float(np.abs(said - expected).max())
    assert worst <= TOLERANCE * size, f"the bundle is {worst:g} away from the pipeline"
