"""One search of ours on one task, by the clock of the processor: the market's, or every variant in turn.

A child of `market.py`. All clocks that budgets are read from are the processor's, so that a busy machine takes nothing
from a search. The best of all variants is fitted on all rows that teach, and answers those that judge.
"""

# ruff: noqa: E402 -- clocks are set before anybody takes one

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
time.perf_counter = time.monotonic = time.process_time  # before anybody takes a clock

import lightgbm  # noqa: F401 -- loaded before the clock runs, as those of the others are
import numpy as np
import pandas as pd
import xgboost  # noqa: F401
import yaml

from rivals.build.folds import Split, split
from rivals.build.pipeline import FINAL, StepsJob, arrays, keep, share
from rivals.build.rows import Rows, prepare
from rivals.build.train import answers
from rivals.build.unfitted import unfitted
from rivals.flows import tune
from rivals.flows.trial import before, options, plain
from rivals.spec.load import load
from rivals.spec.project import ProjectSpec
from rivals.tune.market import Market, Study
from rivals.tune.search import Tried, best_of

FOLDS, REFIT = 3, 0.08  # of the budget is kept for the last fit


def variants(kind: str) -> list[dict[str, Any]]:
    """What a careful person would try first, with the usual space of each."""
    regression = kind == "regression"
    suffix = "Regressor" if regression else "Classifier"
    found = [
        ("lightgbm", "plain", "lightgbm", {}),
        ("xgboost", "plain", "xgboost", {}),
        ("forest", "plain", "sklearn", {"estimator": f"RandomForest{suffix}"}),
        ("extra", "plain", "sklearn", {"estimator": f"ExtraTrees{suffix}"}),
        ("linear", "scaled", "sklearn", {"estimator": "Ridge" if regression else "LogisticRegression"}),
        ("network", "scaled", "sklearn", {"estimator": f"MLP{suffix}", "early_stopping": True}),
    ]
    return [
        {"name": name, "features": features, "family": family, "with": with_, "tune": {"use": "optuna"}}
        for name, features, family, with_ in found
    ]


def project(kind: str, metric: str, seconds: float, seed: int, text: bool) -> dict[str, Any]:
    """The project file."""
    usual = [{"use": "impute", "with": {"columns": "numeric"}}]
    encode = [{"use": "encode", "with": {"min_frequency": 5}}] if text else []
    return {
        "project": "task", "seed": seed,
        "data": {"source": {"use": "parquet", "with": {"path": "rows.parquet"}}, "task": kind, "target": "y"},
        "features": {
            "plain": usual + encode,
            "scaled": [*usual, {"use": "scale", "with": {"columns": "numeric"}}, *encode],
        },
        "metrics": [metric], "variants": variants(kind), "tuning": {"budget": f"{seconds}s"},
    }  # fmt: skip


class InTurn(Market):
    """Every variant in turn, until the budget is spent."""

    def choose(self, studies: Sequence[Study]) -> str | None:
        """Whoever has had the fewest trials."""
        open_ = [one for one in studies if not one.exhausted]
        if not open_ or (self._left(studies) <= 0 and all(one.trials for one in open_)):
            return None
        return min(open_, key=lambda one: len(one.trials) + one.running).name


class Here:
    """A backend without processes."""

    workers = 1

    def warm(self, *modules: str) -> None:
        """They are here."""

    def submit(self, task: Callable[[Any], Any], item: Any) -> Future[Any]:
        """Do it."""
        done: Future[Any] = Future()
        done.set_result(task(item))
        return done

    def close(self) -> None:
        """Nothing runs."""


def laid_down(teach: pd.DataFrame, judge: pd.DataFrame, spec: ProjectSpec, work: Path) -> tuple[Rows, Path]:
    """Folds among the rows that teach; those that judge are the test."""
    rows = prepare(pd.concat([teach, judge], ignore_index=True), spec.data)
    many = len(teach)
    inner = split(many, folds=FOLDS, test=0.0, seed=spec.seed)
    division = Split(inner.folds, inner.train, np.arange(many, len(rows)))
    return rows, keep(rows, division, work / "rows")


def fitted(spec: ProjectSpec, name: str, params: dict[str, Any], rows: Rows, laid: Path, features: Path, part: str) -> np.ndarray:  # fmt: skip
    """What the variant with these options answers the others of that part."""
    from rivals.build.pipeline import kept

    made = options(plain(spec, spec.variant(name)), params)
    division = kept(laid)[1]
    train = division.train if part == FINAL else division.folds[int(part)][0]
    block, others = arrays(features, part)
    model = unfitted(made.family, spec.data.task, spec.seed).fit(block, rows, train)
    return np.asarray(answers(model, others, rows.signature))


def _clock() -> float:
    """Seconds of a processor, those of the search included."""
    below = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + below.ru_utime + below.ru_stime


def _able(tried: Sequence[Tried], seconds: float) -> list[Tried]:
    """Those that can be fitted on all rows in what is kept for it, or little more; the first one always can."""
    return [one for one in tried if one.seconds / (FOLDS - 1) <= 2 * REFIT * seconds or not one.params]


def main() -> None:
    """how teach judge kind metric seconds seed into."""
    how, teach, judge, kind, metric, seconds, seed, into = sys.argv[1:]
    teaching, judging = pd.read_parquet(teach), pd.read_parquet(judge)
    text = any(not pd.api.types.is_numeric_dtype(one) for one in teaching.dtypes)
    if how == "in-turn":
        tune.Market = InTurn  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder:
        work, started = Path(folder), _clock()
        file = work / "rivals.yaml"
        file.write_text(yaml.safe_dump(project(kind, metric, float(seconds), int(seed), text)))
        spec = load(file)
        rows, laid = laid_down(teaching, judging, spec, work)
        names = [one.name for one in spec.variants]
        shared = {name: share(StepsJob(name, spec.features[name], None, laid, work / name)) for name in spec.features}
        features = {one.name: shared[str(one.features)] for one in spec.variants}
        left = float(seconds) * (1 - REFIT) - (_clock() - started)
        spec = spec.model_copy(update={"tuning": spec.tuning.model_copy(update={"budget": left})})
        found = tune.searches(spec, names, keys := {name: name for name in names}, work / "tuning")
        bench = tune.Bench(work / "tuning", dict.fromkeys(names, laid), features, Here())
        if (child := os.fork()) == 0:  # it ends with its seconds: what is under way is not finished, nor counted
            signal.setitimer(signal.ITIMER_PROF, left)
            tune.tune(spec, found, keys, bench)
            os._exit(0)
        os.waitpid(child, 0)
        known = {name: before(work / "tuning" / name) for name in names}
        best = {name: one for name in names if (one := best_of(_able(known[name], float(seconds))))}
        searched = _clock() - started
        winner = min(best, key=lambda name: best[name].loss)
        said = fitted(spec, winner, dict(best[winner].params), rows, laid, features[winner], FINAL)
        seconds_spent = _clock() - started
        np.save(f"{into}.npy", said)
        told = {
            "seconds": seconds_spent, "searched": searched, "winner": winner,
            "best": {name: {"params": dict(one.params), "loss": one.loss} for name, one in best.items()},
            "trials": {name: len(known[name]) for name in names},
            "stopped": {name: sum(one.stopped for one in known[name]) for name in names},
            "spent": {name: sum(one.seconds for one in known[name]) for name in names},
        }  # fmt: skip
        Path(f"{into}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
