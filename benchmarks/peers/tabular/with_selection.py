"""AutoGluon's ensemble selection of the same members' predictions: weights. A child of `blends.py`."""

import json
import sys
from pathlib import Path

import numpy as np
from autogluon.core.metrics import get_metric
from autogluon.core.models.greedy_ensemble.ensemble_selection import EnsembleSelection

file, kind, metric, into = sys.argv[1:]
with np.load(file) as kept:
    said, target = list(kept["taught"]), kept["teach"]
chances = [one[:, 0] if kind == "regression" else one[:, 1] if kind == "binary" else one for one in said]
scorer = get_metric("root_mean_squared_error" if metric == "rmse" else metric, kind)
found = EnsembleSelection(
    ensemble_size=100, problem_type=kind, metric=scorer, tie_breaker="random", random_state=np.random.RandomState(0)
)
found.fit(chances, target)
Path(into).write_text(json.dumps([float(one) for one in found.weights_]))
