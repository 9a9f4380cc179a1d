"""What a trial costs beside its fitting: an estimator that learns nothing, a thousand trials on one host.

Asked: a median of at most 10 ms a trial: from the first one asked for to the last one told, starts of processes, asking
the tuner and writing down included, divided by their number; the median over rounds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from rivals.build.folds import split
from rivals.build.pipeline import StepsJob, keep, share
from rivals.build.rows import prepare
from rivals.flows.trial import before
from rivals.flows.tune import Bench, searches, tune
from rivals.flows.workspace import open_workspace
from rivals.infra.backends.local import Local
from rivals.plugins import make
from rivals.protocols import Source

MODULE = """
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin


class Nothing(ClassifierMixin, BaseEstimator):
    def __init__(self, a=0.5, b=0.5, c=5):
        self.a, self.b, self.c = a, b, c

    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)

    def predict(self, X):
        return np.zeros(len(X), int)


def load(rows=300):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"a": rng.normal(size=rows), "b": rng.normal(size=rows)})
    return frame.assign(y=(rng.random(rows) < 0.5).astype(int))


def luck(truth, outputs):
    return float(np.random.default_rng().normal())
"""
PROJECT = """
project: nothing
data: {{source: {{use: function, with: {{function: "nothing_to_learn:load"}}}}, task: binary, target: y}}
metrics: ["nothing_to_learn:luck"]
features: {{all: [{{use: scale}}]}}
variants:
  - name: nothing
    features: all
    family: sklearn
    with: {{estimator: nothing_to_learn.Nothing}}
    tune: {{use: {tuner}, with: {{space: {{a: {{float: [0, 1]}}, b: {{float: [0.001, 1], log: true}}, c: {{int: [1, 30]}}}}}}}}
tuning: {{trials: {trials}, race: false}}
"""


def round_of(tuner: str, trials: int) -> float:
    """Milliseconds a trial."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "nothing_to_learn.py").write_text(MODULE)
        (folder / "rivals.yaml").write_text(PROJECT.format(tuner=tuner, trials=trials))
        workspace = open_workspace(folder)
        spec = workspace.spec
        rows = prepare(make(Source, spec.data.source).read(), spec.data)
        laid = keep(rows, split(len(rows), folds=3, test=0.2), folder / "rows")
        features = share(StepsJob("all", spec.features["all"], None, laid, folder / "features"))
        keys, backend = {"nothing": "nothing"}, Local()
        try:
            found = searches(spec, ["nothing"], keys, workspace.state / "tuning")
            bench = Bench(workspace.state / "tuning", {"nothing": laid}, {"nothing": features}, backend)
            started = time.perf_counter()
            tune(spec, found, keys, bench)
            wall = time.perf_counter() - started
        finally:
            backend.close()
            sys.path.remove(str(folder))
            sys.modules.pop("nothing_to_learn", None)
        done = before(workspace.state / "tuning" / "nothing")
        if len(done) != trials:
            raise SystemExit(f"{len(done)} trials where {trials} were asked for")
        return wall / len(done) * 1e3


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--trials", type=int, default=300)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    for tuner in ("random", "optuna", "hyperopt"):
        found = [round_of(tuner, chosen.trials) for _ in range(chosen.rounds)]
        print(f"{tuner:<9} {chosen.trials:,} trials: {statistics.median(found):6.2f} ms each", flush=True)


if __name__ == "__main__":
    main()
