"""Rows of mixed kinds with gaps and letters beyond ASCII, pipelines over them, and their bundles."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from rivals.build.bundle import Bundle, write
from rivals.serve.runtimes import predictor
from rivals.values import Column, Signature, Task

NUMBERS = ["hour", "distance", "größe"]
TEXTS = ["carrier", "dest"]
INPUTS = (
    Column("hour", "number", nullable=True),
    Column("carrier", "text", nullable=True),
    Column("distance", "number"),
    Column("dest", "text"),
    Column("größe", "number", nullable=True),
)
LABELS = {"binary": (0, 1), "multiclass": ("früh", "late", "on time"), "regression": ()}


def frame(rows: int = 1_200, seed: int = 0, gap: float | None = None) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    data = {
        "hour": np.where(rng.random(rows) < 0.05, np.nan, rng.integers(0, 24, rows)).astype(np.float32),
        "carrier": pd.Series(rng.choice(["UA", "é", "漢", "", "None"], rows), dtype=object),
        "distance": rng.lognormal(6, 1, rows).astype(np.float32),
        "dest": pd.Series([f"D{i}" for i in rng.geometric(0.1, rows)], dtype=object),
        "größe": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(5, 2, rows)).astype(np.float32),
    }
    made = pd.DataFrame(data)
    missing = rng.random(rows) < 0.08
    made["carrier"] = pd.Series([gap if m else v for v, m in zip(made["carrier"], missing, strict=True)], dtype=object)
    return made


def target(rows: pd.DataFrame, task: Task, seed: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 1, len(rows))
    score = rows["hour"].fillna(12) / 12 + np.log(rows["distance"]) / 3 + (rows["carrier"] == "é") + noise
    if task == "regression":
        return (40 * score).to_numpy(np.float64)
    if task == "binary":
        return (score > score.median()).astype(int).to_numpy()
    return np.array(LABELS["multiclass"], dtype=object)[np.digitize(score, np.quantile(score, [0.3, 0.6]))]


def signature(task: Task) -> Signature:
    return Signature(INPUTS, task, LABELS[task])


def prepared(estimator, *, scale=False, impute=True, encoder=None):
    numeric = [SimpleImputer()] * impute + [StandardScaler()] * scale
    encoder = encoder or OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    steps = [("n", make_pipeline(*numeric) if numeric else "passthrough", NUMBERS), ("t", encoder, TEXTS)]
    return make_pipeline(ColumnTransformer(steps, sparse_threshold=0), estimator)


def fitted(estimator, task: Task = "binary", rows: pd.DataFrame | None = None, **steps):
    rows = frame() if rows is None else rows
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fits cut short: how good they are is not the question here
        return prepared(estimator, **steps).fit(rows, target(rows, task))


def bundle(into: Path, pipeline, task: Task = "binary", rows: pd.DataFrame | None = None, **more) -> Bundle:
    return write(into, pipeline, signature(task), frame() if rows is None else rows, runtime=predictor, **more)
