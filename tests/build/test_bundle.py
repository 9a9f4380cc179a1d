import json
import stat
from functools import partial

import numpy as np
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, SGDClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, TargetEncoder
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeRegressor

from rivals.build.bundle import outputs, write, write_ensemble
from rivals.build.child import PipelinePredictor
from rivals.bundles import Measured, Probe, columns_of, folder_bytes, folder_digest, read, read_manifest
from rivals.errors import BuildError, BundleError
from rivals.serve.runtimes import open_bundle, predictor
from rivals.values import Column, Signature, Use
from tests.mixed import INPUTS, bundle, fitted, frame, signature, target

LGBM = {"n_estimators": 20, "verbose": -1, "n_jobs": 1}

FAMILIES = {
    "logistic": (LogisticRegression(max_iter=300), "binary", {"scale": True}, {"native", "onnx"}),
    "logistic of three": (LogisticRegression(max_iter=300), "multiclass", {"scale": True}, {"native", "onnx"}),
    "one against the rest": (SGDClassifier(loss="log_loss"), "multiclass", {"scale": True}, {"native", "onnx"}),
    "linear": (LinearRegression(), "regression", {"scale": True}, {"native", "onnx"}),
    "ridge, unscaled": (Ridge(), "regression", {}, {"native", "onnx"}),
    "boosted": (LGBMClassifier(**LGBM), "binary", {"impute": False}, {"onnx"}),
    "boosted of three": (LGBMClassifier(**LGBM), "multiclass", {"impute": False}, {"onnx"}),
    "boosted values": (LGBMRegressor(**LGBM), "regression", {"impute": False}, {"onnx"}),
    "histograms": (HistGradientBoostingClassifier(max_iter=20), "binary", {"impute": False}, {"onnx"}),
    "forest": (RandomForestClassifier(15, min_samples_leaf=5), "binary", {}, {"onnx"}),
    "forest of three": (RandomForestClassifier(15, min_samples_leaf=5), "multiclass", {}, {"onnx"}),
    "forest values": (RandomForestRegressor(15, min_samples_leaf=5), "regression", {}, {"onnx"}),
    "tree values": (DecisionTreeRegressor(min_samples_leaf=5), "regression", {}, {"onnx"}),
    "network": (MLPClassifier((8,), max_iter=400, tol=1e-2), "binary", {"scale": True}, {"onnx"}),
}

ENCODERS = {
    "rare ones dropped": OneHotEncoder(handle_unknown="ignore", min_frequency=0.05, sparse_output=False),
    "rare ones together": OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=0.05, sparse_output=False),
    "first dropped": OneHotEncoder(handle_unknown="ignore", drop="first", sparse_output=False),
    "sparse": OneHotEncoder(handle_unknown="ignore"),
    "ordinal": OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2),
    "target": TargetEncoder(random_state=0),
    "unseen refused": OneHotEncoder(sparse_output=False),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_served_in_process_as_the_pipeline_answers(tmp_path, name):
    estimator, task, steps, runtimes = FAMILIES[name]
    pipeline = fitted(estimator, task, **steps)
    made = bundle(tmp_path, pipeline, task)
    assert made.manifest.runtime in runtimes, made.manifest.reason
    assert made.predict_us > 0
    strangers = frame(400, seed=9)  # dests that training never met among them
    expected = outputs(pipeline, strangers, signature(task))
    got = open_bundle(made.folder, tmp_path.joinpath).predict(columns_of(strangers, signature(task)))
    assert got.dtype == np.float64
    size = np.abs(expected).mean() if task == "regression" else 1
    assert np.abs(got - expected).max() <= 1e-5 * size


@pytest.mark.parametrize("gap", [None, float("nan")], ids=["None", "NaN"])
@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize(
    "estimator", [LogisticRegression(max_iter=300), LGBMClassifier(**LGBM)], ids=["linear", "trees"]
)
def test_encoders_meet_gaps_and_rare_values_as_scikit_learn_does(tmp_path, name, gap, estimator):
    rows = frame(gap=gap)
    pipeline = fitted(estimator, rows=rows, scale=isinstance(estimator, LogisticRegression), encoder=ENCODERS[name])
    made = bundle(tmp_path, pipeline, rows=rows)
    assert [c.runtime for c in made.manifest.candidates if c.exact and c.runtime == "onnx"], made.manifest.candidates


def test_a_function_of_the_users_is_not_guessed_at(tmp_path):
    pipeline = fitted(LogisticRegression(max_iter=300), scale=True)
    pipeline.steps.insert(1, ("odd", FunctionTransformer(np.cbrt)))
    made = bundle(tmp_path, pipeline)
    assert made.manifest.runtime == "child"
    assert (made.folder / "model.skops").exists()
    assert not (made.folder / "model.onnx").exists()
    assert made.predict_us == 0


def test_a_scaler_in_front_of_trees_that_costs_exactness_is_not_served_in_process(tmp_path):
    pipeline = fitted(RandomForestClassifier(30, random_state=0), scale=True)
    made = bundle(tmp_path, pipeline)
    assert made.manifest.runtime == "child"
    assert "rows differ from the pipeline" in made.manifest.reason


@pytest.mark.parametrize(
    "estimator", [LogisticRegression(max_iter=300), LGBMClassifier(**LGBM)], ids=["linear", "trees"]
)
def test_the_same_inputs_make_the_same_digest(tmp_path, estimator):
    pipeline = fitted(estimator, scale=True)
    one = bundle(tmp_path / "a", pipeline, metrics={"log_loss": np.float64(0.5)}, lineage={"commit": "abc"})
    two = bundle(tmp_path / "b", pipeline, metrics={"log_loss": 0.5}, lineage={"commit": "abc"})
    assert one.digest == two.digest == one.folder.name == folder_digest(two.folder)
    other = bundle(tmp_path / "a", pipeline, metrics={"log_loss": 0.6}, lineage={"commit": "abc"})
    assert other.digest != one.digest


def test_a_bundle_is_private_and_nothing_else_is_left(tmp_path):
    made = bundle(tmp_path, fitted(LogisticRegression(max_iter=300)))
    assert [path.name for path in tmp_path.iterdir()] == [made.digest]
    assert stat.S_IMODE(made.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in made.folder.iterdir()} == {0o600}
    assert made.bytes == folder_bytes(made.folder)


def test_writing_again_heals_a_damaged_bundle(tmp_path):
    pipeline = fitted(LogisticRegression(max_iter=300))
    made = bundle(tmp_path, pipeline)
    (made.folder / "probe.json").write_bytes(b"{}")
    assert bundle(tmp_path, pipeline).digest == made.digest
    assert folder_digest(made.folder) == made.digest


def test_the_manifest_says_what_the_bundle_is(tmp_path):
    made = bundle(tmp_path, fitted(LogisticRegression(max_iter=300)), metrics={"auc": 0.7}, lineage={"seed": 1})
    manifest = read_manifest(made.folder)
    assert manifest.signature == signature("binary")
    assert manifest.dtypes["carrier"] == "str"
    assert manifest.categories["carrier"] == ["", "None", "UA", "é", "漢"]
    assert manifest.metrics == {"auc": 0.7}
    assert manifest.parity_rows > 1_200  # gaps and unseen texts besides
    assert {c.runtime for c in manifest.candidates} == {"onnx", "native"}
    assert set(read(made.folder / "measured.json", Measured).median_us) == {"onnx", "native"}
    assert len(read(made.folder / "probe.json", Probe).outputs) >= 20
    reference = json.loads((made.folder / "reference.json").read_text())
    assert len(reference["numbers"]["hour"]["quantiles"]) == 21
    assert reference["texts"]["carrier"]["nulls"] > 0
    assert set(reference["scores"]) == {"0", "1"}


def test_an_ensemble_is_the_mean_of_its_members(tmp_path):
    members = {
        "logistic": bundle(tmp_path, fitted(LogisticRegression(max_iter=300), scale=True)).digest,
        "boosted": bundle(tmp_path, fitted(LGBMClassifier(**LGBM))).digest,
    }
    made = write_ensemble(
        tmp_path, members, Use("mean"), frame(), runtime=predictor, opener=tmp_path.joinpath, metrics={}, lineage={}
    )
    rows = columns_of(frame(300, seed=5), signature("binary"))
    opened = open_bundle(made.folder, tmp_path.joinpath)
    alone = [open_bundle(tmp_path / digest, tmp_path.joinpath).predict(rows) for digest in members.values()]
    assert np.abs(opened.predict(rows) - (alone[0] + alone[1]) / 2).max() <= 1e-6
    assert made.manifest.members == members
    assert opened.signature == signature("binary")
    assert made.predict_us > 0


def test_an_ensemble_with_a_member_in_a_process_of_its_own_asks_all_at_once(tmp_path):
    odd, usual = (fitted(LogisticRegression(max_iter=300)) for _ in range(2))
    odd.steps.insert(1, ("odd", FunctionTransformer(np.cbrt)))
    members = {"odd": bundle(tmp_path, odd).digest, "usual": bundle(tmp_path, usual).digest}
    made = write_ensemble(
        tmp_path, members, Use("mean"), frame(), runtime=partial(predictor, alone=PipelinePredictor),
        opener=tmp_path.joinpath, deadline_ms=50, quorum=1,
    )  # fmt: skip
    assert made.manifest.runtime == "fanout"
    assert (made.manifest.deadline_ms, made.manifest.quorum) == (50, 1)
    assert made.manifest.reason == "its member odd answers from another process"
    assert made.predict_us > 0
    opened = open_bundle(made.folder, tmp_path.joinpath, alone=PipelinePredictor)  # as its shadow's process does
    assert opened.predict(columns_of(frame(5), signature("binary"))).shape == (5, 2)
    with pytest.raises(BundleError, match="is not served in process: No runtime answers as the pipeline does"):
        open_bundle(made.folder, tmp_path.joinpath)


def test_members_of_different_questions_are_refused(tmp_path):
    members = {
        "a": bundle(tmp_path, fitted(LogisticRegression(max_iter=300))).digest,
        "b": bundle(tmp_path, fitted(LinearRegression(), "regression"), "regression").digest,
    }
    with pytest.raises(BuildError, match="Member b answers another question than a"):
        write_ensemble(tmp_path, members, Use("mean"), frame(), runtime=predictor, opener=tmp_path.joinpath)


def test_mistakes_are_sentences(tmp_path):
    rows = frame()
    with pytest.raises(BuildError, match="LinearSVC gives no probabilities"):
        bundle(tmp_path, fitted(LinearSVC(), scale=True))
    pipeline = fitted(LogisticRegression(max_iter=300))
    with pytest.raises(BuildError, match=r"fitted on the labels \[.*\], not"):
        write(tmp_path, pipeline, Signature(INPUTS, "binary", (1, 0)), rows, runtime=predictor)
    with pytest.raises(BuildError, match="needs the column 'distance'"):
        write(tmp_path, pipeline, Signature(INPUTS[:2], "binary", (0, 1)), rows, runtime=predictor)
    more = (*INPUTS, Column("late", "number"))
    with pytest.raises(BuildError, match="needs the column 'late'"):
        write(tmp_path, pipeline, Signature(more, "binary", (0, 1)), rows, runtime=predictor)


def test_a_pipeline_of_fewer_columns_than_the_signature_converts(tmp_path):
    rows = frame()
    pipeline = LogisticRegression(max_iter=300).fit(rows[["distance"]], target(rows, "binary"))
    made = bundle(tmp_path, pipeline)
    assert made.manifest.runtime in {"native", "onnx"}, made.manifest.reason
