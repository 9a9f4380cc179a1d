"""An ensemble as one graph: what its members say one by one, computed once where they share it."""

import numpy as np
import onnx
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline

from rivals.build.bundle import write, write_ensemble
from rivals.build.graph import one_graph
from rivals.bundles import columns_of
from rivals.plugins import make
from rivals.protocols import Combiner, Lesson
from rivals.serve.runtimes import open_bundle, predictor
from rivals.serve.runtimes.onnx import OnnxPredictor
from rivals.serve.runtimes.together import TogetherPredictor
from rivals.statistics.losses import indexes
from rivals.values import Signature, Use
from tests.mixed import INPUTS, LABELS, bundle, fitted, frame, signature, target

LGBM = {"n_estimators": 20, "verbose": -1, "n_jobs": 1}
MEMBERS = {
    "binary": (
        LogisticRegression(max_iter=300),
        LGBMClassifier(**LGBM),
        RandomForestClassifier(15, min_samples_leaf=5, random_state=0),
    ),
    "multiclass": (LogisticRegression(max_iter=300), LGBMClassifier(**LGBM)),
    "regression": (LinearRegression(), LGBMRegressor(**LGBM)),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Members' bundles by task."""
    folder = tmp_path_factory.mktemp("bundles")
    return folder, {
        task: {f"m{place}": bundle(folder, fitted(one, task, scale=True), task) for place, one in enumerate(members)}
        for task, members in MEMBERS.items()
    }


def learned(use, members, task):
    rows = frame(400, seed=3)
    answers = {name: open_bundle(one.folder, one.folder.parent.joinpath).predict(columns_of(rows, signature(task)))
               for name, one in members.items()}  # fmt: skip
    combiner = make(Combiner, use)
    truth = target(rows, task)
    lesson = Lesson(answers, truth if task == "regression" else indexes(truth, LABELS[task]), task, "")
    return Use(use.name, {**use.options, **combiner.learn(lesson)}) if hasattr(combiner, "learn") else use


@pytest.mark.parametrize("task", MEMBERS)
@pytest.mark.parametrize(
    "use",
    [
        Use("mean"),
        Use("mean", {"weights": {"m0": 3, "m1": 1, "m2": 1}}),
        Use("vote"),
        Use("greedy"),
        Use("stack"),
        Use("stack", {"estimator": "sklearn.ensemble.GradientBoosting", "options": {"n_estimators": 5}}),
    ],
    ids=lambda use: f"{use.name}{len(use.options)}",
)
def test_one_graph_says_what_members_asked_one_by_one_say(made, tmp_path, task, use):
    members = made[1][task]
    if "weights" in use.options:
        use = Use(
            "mean", {"weights": {name: weight for name, weight in use.options["weights"].items() if name in members}}
        )
    if "estimator" in use.options:
        kind = "Regressor" if task == "regression" else "Classifier"
        use = Use("stack", {**use.options, "estimator": use.options["estimator"] + kind})
    use = learned(use, members, task)
    kept = {name: one for name, one in members.items() if use.options.get("weights", members).get(name)}
    graphs = {name: ((one.folder / "model.onnx").read_bytes(), one.manifest.signature) for name, one in kept.items()}
    (tmp_path / "model.onnx").write_bytes(one_graph(graphs, make(Combiner, use), signature(task)))
    rows = columns_of(frame(500, seed=5), signature(task))
    alone = {name: OnnxPredictor(one.folder, one.manifest.signature) for name, one in kept.items()}
    together = TogetherPredictor("d" * 64, signature(task), alone, make(Combiner, use)).predict(rows)
    whole = OnnxPredictor(tmp_path, signature(task)).predict(rows)
    size = np.abs(together).mean() if task == "regression" else 1
    assert np.abs(whole - together).max() <= 1e-6 * size


def test_steps_that_members_share_are_computed_once(made):
    members = made[1]["binary"]
    graphs = {name: ((one.folder / "model.onnx").read_bytes(), one.manifest.signature) for name, one in members.items()}
    alone = [len(onnx.load_from_string(raw).graph.node) for raw, _ in graphs.values()]
    whole = onnx.load_from_string(one_graph(graphs, make(Combiner, Use("mean")), signature("binary")))
    kinds = [node.op_type for node in whole.graph.node]
    assert len(kinds) < sum(alone) - 10
    assert kinds.count("Scaler") + kinds.count("Imputer") <= 2  # once each, not once a member
    twice = {name: next(iter(graphs.values())) for name in ("a", "b")}
    twins = onnx.load_from_string(one_graph(twice, make(Combiner, Use("mean")), signature("binary")))
    assert len(twins.graph.node) <= alone[0] + 5, "a member named twice is computed once"


def test_members_of_other_columns_find_theirs(made):
    folder, tasks = made
    rows = frame()
    narrow = make_pipeline(
        ColumnTransformer([("n", SimpleImputer(), ["größe", "hour"])]), LogisticRegression(max_iter=300)
    ).fit(rows[["größe", "hour"]], target(rows, "binary"))
    inputs = tuple(one for one in INPUTS if one.name in {"größe", "hour"})
    two = write(folder, narrow, Signature(inputs[::-1], "binary", (0, 1)), rows, runtime=predictor)
    digests = {"wide": tasks["binary"]["m1"].digest, "narrow": two.digest}
    one = write_ensemble(folder, digests, Use("mean"), rows, runtime=predictor, opener=folder.joinpath)
    assert {c.runtime for c in one.manifest.candidates if c.exact} == {"onnx", "together"}, one.manifest.candidates


def test_the_ensembles_bundle_serves_the_graph_where_it_is_faster(made, tmp_path):
    folder, tasks = made
    digests = {name: one.digest for name, one in tasks["binary"].items()}
    one = write_ensemble(folder, digests, Use("mean"), frame(), runtime=predictor, opener=folder.joinpath)
    found = {candidate.runtime: candidate for candidate in one.manifest.candidates}
    assert found["onnx"].exact, found["onnx"].reason
    assert found["onnx"].parity <= 1e-6
    assert one.manifest.runtime == "onnx"
    assert one.manifest.members == digests, "whom it is made of stays written down"
    alone = tmp_path / one.digest
    one.folder.rename(alone)
    rows = columns_of(frame(20, seed=8), signature("binary"))
    assert open_bundle(alone, tmp_path.joinpath).predict(rows).shape == (20, 2), "it needs no member beside it"


def test_what_cannot_be_joined_is_asked_one_by_one(made):
    folder, tasks = made
    digests = {name: one.digest for name, one in tasks["binary"].items()}
    one = write_ensemble(
        folder, digests, Use("vote", {"kind": "hard"}), frame(), runtime=predictor, opener=folder.joinpath
    )
    assert one.manifest.runtime == "together"
    assert "does not say how it answers as a graph" in {c.runtime: c.reason for c in one.manifest.candidates}["onnx"]
