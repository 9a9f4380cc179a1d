"""AutoGluon on one task, by the clock of the processor. A child of `market.py`."""

# ruff: noqa: E402 -- clocks are set before anybody takes one

import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
BEGAN, CLOCK = time.time(), time.process_time
time.time = lambda: BEGAN + CLOCK()

import lightgbm  # noqa: F401 -- loaded before the clock runs, as those of the others are
import numpy as np
import pandas as pd
import xgboost  # noqa: F401
from autogluon.tabular import TabularPredictor

preset, teach, judge, kind, metric, seconds, seed, into = sys.argv[1:]
teaching, judging = pd.read_parquet(teach), pd.read_parquet(judge)
started = CLOCK()
with tempfile.TemporaryDirectory() as folder:
    model = TabularPredictor(
        label="y", problem_type=kind, eval_metric="root_mean_squared_error" if metric == "rmse" else metric,
        path=folder, verbosity=0,
    )  # fmt: skip
    model.fit(teaching, presets=preset, time_limit=float(seconds), num_cpus=1)
    asked = judging.drop(columns="y")
    said = model.predict(asked) if kind == "regression" else model.predict_proba(asked)
    spent = CLOCK() - started
    if kind != "regression":
        said = said[sorted(said.columns)]
    np.save(f"{into}.npy", np.asarray(said, np.float64))
    Path(f"{into}.json").write_text(json.dumps({"seconds": spent, "winner": model.model_best}))
