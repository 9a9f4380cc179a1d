"""FLAML on one task, by the clock of the processor. A child of `market.py`."""

# ruff: noqa: E402 -- clocks are set before anybody takes one

import json
import os
import sys
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
BEGAN, CLOCK = time.time(), time.process_time
time.time = lambda: BEGAN + CLOCK()

import numpy as np
import pandas as pd
from flaml import AutoML

teach, judge, kind, metric, seconds, seed, into = sys.argv[1:]
teaching, judging = pd.read_parquet(teach), pd.read_parquet(judge)
inputs = [name for name in teaching if name != "y"]
for name in inputs:
    if not pd.api.types.is_numeric_dtype(teaching[name]):
        both = pd.CategoricalDtype(sorted({*teaching[name].dropna(), *judging[name].dropna()}))
        teaching[name], judging[name] = teaching[name].astype(both), judging[name].astype(both)
started, model = CLOCK(), AutoML()
model.fit(
    teaching[inputs], teaching["y"], task="regression" if kind == "regression" else "classification", metric=metric,
    time_budget=float(seconds), n_jobs=1, seed=int(seed), verbose=0,
)  # fmt: skip
said = model.predict(judging[inputs]) if kind == "regression" else model.predict_proba(judging[inputs])
spent = CLOCK() - started
np.save(f"{into}.npy", np.asarray(said, np.float64))
Path(f"{into}.json").write_text(json.dumps({"seconds": spent, "winner": model.best_estimator}))
