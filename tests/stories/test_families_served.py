"""Every installed family, on every task, is built as a project builds it and answers over HTTP as it does in process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import LinearRegression, LogisticRegression

from rivals import plugins
from rivals.build.bundle import outputs, write, write_ensemble
from rivals.build.folds import split
from rivals.build.pipeline import StepsJob, keep, share
from rivals.build.rows import Rows, prepare
from rivals.build.train import Job, pipeline, train
from rivals.build.whole import is_whole
from rivals.errors import MissingExtra
from rivals.protocols import Family
from rivals.serve.reconcile import publish_endpoint
from rivals.serve.runtimes import predictor
from rivals.spec.project import DataSpec
from rivals.testing import sample
from rivals.values import Use
from tests.serve.stage import Stage, infer, table

pytestmark = pytest.mark.slow

TASKS = ("binary", "multiclass", "regression", "ranking", "custom")
METRICS = {
    "binary": "average_precision", "multiclass": "log_loss", "regression": "mae", "ranking": "ndcg@5",
    "custom": "tests.build.lists:unsold",
}  # fmt: skip
PLAIN = (Use("impute", {"columns": "numeric"}), Use("encode", {"columns": ["color"]}))
SCALED = (PLAIN[0], Use("scale", {"columns": ["a", "b"]}), PLAIN[1])
TREES = ("lightgbm", "xgboost", "catboost")  # these want no scaler: a threshold is a number of float32
ASKED = 50
LABELLED = {True: LogisticRegression, False: LinearRegression}


def cases(task: str, folder: Path) -> dict[str, dict[str, Any]]:
    """Options of every family; a family of yours stands here with its own."""
    kind = LABELLED[task in {"binary", "multiclass"}].__name__
    return {
        "sklearn": {"estimator": kind},
        "lightgbm": {"n_estimators": 10},
        "xgboost": {"n_estimators": 10},
        "catboost": {"iterations": 10},
        "torch": {"hidden": [8], "epochs": 3, "lr": 0.01},
        "function": {"function": "tests.stories.test_families_served:own"},
        "pipeline": {"estimator": {"use": f"sklearn.linear_model:{kind}"}},
        "ready": {"path": str(folder / "ready.skops")},
    }


def own(task: str, seed: int) -> Any:
    return LABELLED[task in {"binary", "multiclass"}]()


@dataclass(frozen=True)
class Served:
    """An endpoint, what was asked of it, and what each family answers in process."""

    stage: Stage
    rows: Rows
    expected: Mapping[str, Any]
    missing: Mapping[str, str]


def rows_of(task: str) -> tuple[Rows, DataSpec]:
    learned = "regression" if task in {"ranking", "custom"} else task
    frame = sample(learned, rows=300).drop(columns="words")  # type: ignore[arg-type]  # one of the three
    frame = frame.assign(w=np.random.default_rng(1).uniform(0.5, 2, len(frame)), q=np.arange(len(frame)) // 6)
    if task == "ranking":
        frame["y"] = pd.qcut(frame["y"], 4, labels=False)
    keys = {"source": "function", "task": task, "target": "y", "weight": "w", "group": "q", "split": {"by": "group"}}
    data = DataSpec.model_validate(keys)
    return prepare(frame, data), data


@pytest.fixture(scope="module", params=TASKS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    task, folder = request.param, tmp_path_factory.mktemp(request.param)
    rows, _ = rows_of(task)
    numbers = rows.inputs[["a"]]
    skops.io.dump(LABELLED[bool(rows.signature.labels)]().fit(numbers, rows.labels), folder / "ready.skops")
    division = split(len(rows), by="group", folds=2, group=rows.group)
    laid = keep(rows, division, folder)
    trees = share(StepsJob("plain", PLAIN, None, laid, folder / "plain"))
    others = share(StepsJob("scaled", SCALED, None, laid, folder / "scaled"))
    stage = Stage(folder)
    expected, digests, missing = {}, dict[str, str](), {}
    for name, options in cases(task, folder).items():
        # A family that brings its own steps has none here: it is given what needs none.
        whole = name == "ready" or _whole(name, missing)
        job = Job(name, Use(name, options), laid, folder / "bank" / name, (METRICS[task],))
        if name in missing:
            continue
        made = train(
            replace(job, columns=("a",)) if whole else replace(job, features=trees if name in TREES else others)
        )
        fitted, signature = pipeline(made), made.signature
        inputs = rows.inputs[[column.name for column in signature.inputs]]
        bundle = write(stage.bundles, fitted, signature, inputs, runtime=predictor)
        assert bundle.manifest.runtime != "child", f"{name}: {bundle.manifest.reason}"
        digests[name], expected[name] = bundle.digest, outputs(fitted, inputs.iloc[:ASKED], signature)
    members = {name: digests[name] for name in ("sklearn", "lightgbm")}
    together = write_ensemble(
        stage.bundles,
        members,
        Use("mean"),
        rows.inputs,
        runtime=predictor,
        opener=lambda digest: stage.bundles / digest,
    )
    digests["ensemble"], expected["ensemble"] = together.digest, (expected["sklearn"] + expected["lightgbm"]) / 2
    config = replace(stage.config, task=rows.signature.task, columns=rows.signature.inputs)
    publish_endpoint(stage.run_dir, config)
    stage.publish(table({name: (digest, 1 / len(digests)) for name, digest in digests.items()}))
    try:
        stage.start()
        yield Served(stage, rows, expected, missing)
    finally:
        stage.stop()


def _whole(name: str, missing: dict[str, str]) -> bool:
    try:
        return is_whole(name)
    except MissingExtra as error:
        missing[name] = str(error)
        return False


@pytest.mark.parametrize("family", [*plugins.names(Family), "ensemble"])
def test_a_family_answers_over_http_as_in_process(served: Served, family: str) -> None:
    if family in served.missing:
        pytest.skip(f"MISSING PART: {served.missing[family]}")
    assert family in served.expected, f"{family} is installed: give it options in cases()"
    expected, stage = served.expected[family], served.stage
    inputs = served.rows.inputs.iloc[:ASKED]
    asked = [{name: None if pd.isna(one) else one for name, one in row.items()} for row in inputs.to_dict("records")]
    status, headers, said = stage.ask("POST", f"/v2/models/toy/versions/{family}/infer", infer(*asked))
    assert status == 200, said
    assert headers["x-rivals-variant"] == family
    answer = said["outputs"][0]
    got = np.array(answer["data"]).reshape(answer["shape"])
    size = np.maximum(1.0, np.abs(expected)) if not served.rows.signature.labels else 1.0
    np.testing.assert_array_less(np.abs(got - expected) / size, 1e-5)
