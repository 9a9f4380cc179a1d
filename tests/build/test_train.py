from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from rivals.build import bank
from rivals.build.folds import split
from rivals.build.pipeline import StepsJob, keep, kept, share
from rivals.build.rows import Rows
from rivals.build.train import Fitted, Job, pipeline, train
from rivals.errors import BuildError, DataError
from rivals.values import Use

from .toy import ENCODE, HERE, IMPUTE, SCALE, prepared

STEPS = (IMPUTE, SCALE, ENCODE)
METRICS = {"binary": ("log_loss", "roc_auc"), "multiclass": ("log_loss",), "regression": ("rmse",)}


def laid(
    tmp_path: Path, rows: Rows, *, steps: tuple[Use, ...] = STEPS, columns: tuple[str, ...] | None = None
) -> dict[str, Any]:
    """What a job needs of rows: their folder and shared features."""
    division = split(len(rows), by="time", folds=3, test=0.2, gap=3600.0, time=rows.time)
    folder = keep(rows, division, tmp_path / "rows")
    features = share(StepsJob("all", steps, columns, folder, tmp_path / "features"))
    return {"rows": folder, "features": features, "into": tmp_path / "out", "metrics": METRICS[rows.signature.task]}


@pytest.mark.parametrize(
    ("task", "family"),
    [
        ("binary", Use("sklearn", {"estimator": "LogisticRegression"})),
        ("binary", Use("lightgbm", {"n_estimators": 10})),
        ("binary", Use("sklearn", {"estimator": "MLPClassifier", "max_iter": 5})),
        ("binary", Use("sklearn", {"estimator": "RandomForestClassifier", "n_estimators": 5})),
        ("multiclass", Use("sklearn", {"estimator": "HistGradientBoostingClassifier", "max_iter": 5})),
        ("regression", Use("sklearn", {"estimator": "Ridge"})),
        ("regression", Use("lightgbm", {"n_estimators": 10})),
    ],
)
def test_every_row_is_answered_by_a_model_that_did_not_see_it(task: str, family: Use, tmp_path: Path) -> None:
    rows = prepared(task)
    done = train(Job("v", family, **laid(tmp_path, rows)))
    said = bank.read(done.into)
    _, division = kept(tmp_path / "rows")
    held = [*np.concatenate([valid for _, valid in division.folds]), *division.test]
    assert said.ids.tolist() == rows.ids[held].tolist()
    assert (said.target == rows.target[held]).all()
    assert said.outputs.shape == (len(held), len(rows.signature.labels) or 1)
    final = pipeline(done)
    asked = rows.inputs.iloc[division.test]
    ask = final.predict if task == "regression" else final.predict_proba
    answered = np.asarray(ask(asked), float).reshape(len(asked), -1)
    assert np.allclose(said.outputs[said.fold == -1], answered, atol=1e-12)
    assert len(done.scores.folds) == 4
    assert done.fit_seconds > 0


def test_folds_are_honest_down_to_their_steps(tmp_path: Path) -> None:
    rows = prepared()
    done = train(Job("v", Use("sklearn", {"estimator": "LogisticRegression"}), seed=3, **laid(tmp_path, rows)))
    said = bank.read(done.into)
    rows_again, division = kept(tmp_path / "rows")
    fitted_final = pipeline(done)
    for k, (fit, valid) in enumerate(division.folds):
        alone = clone(fitted_final).set_params(model=LogisticRegression(random_state=3))
        alone.fit(rows_again.inputs.iloc[fit], rows_again.labels[fit])
        expected = alone.predict_proba(rows_again.inputs.iloc[valid])
        assert np.allclose(said.outputs[said.fold == k], expected, atol=1e-12)
    assert done.scores.metrics["log_loss"] == pytest.approx(log_loss(said.target, said.outputs[:, 1]), abs=1e-12)


def test_the_same_job_gives_the_same_bank(tmp_path: Path) -> None:
    shared = laid(tmp_path, prepared())
    job = {"variant": "v", "family": Use("sklearn", {"estimator": "MLPClassifier", "max_iter": 5}), "seed": 1}
    once = train(Job(**{**shared, **job, "into": tmp_path / "a"}))
    twice = train(Job(**{**shared, **job, "into": tmp_path / "b"}))
    assert (once.into / bank.FILE).read_bytes() == (twice.into / bank.FILE).read_bytes()
    assert once.scores == twice.scores


def test_what_comes_back_is_small_and_travels(tmp_path: Path) -> None:
    done = train(Job("v", Use("sklearn", {"estimator": "LogisticRegression"}), **laid(tmp_path, prepared())))
    assert len(pickle.dumps(done)) < 4000
    assert isinstance(pickle.loads(pickle.dumps(done)), Fitted)


def test_weights_are_used_and_who_takes_none_says_so(tmp_path: Path) -> None:
    rows = prepared(weight="w")
    shared = laid(tmp_path, rows)
    done = train(Job("v", Use("sklearn", {"estimator": "LogisticRegression"}), **shared))
    said = bank.read(done.into)
    assert said.weight is not None
    expected = log_loss(said.target, said.outputs[:, 1], sample_weight=said.weight)
    assert done.scores.metrics["log_loss"] == pytest.approx(expected)
    with pytest.raises(BuildError, match="KNeighborsClassifier takes no weights"):
        train(Job("k", Use("sklearn", {"estimator": "KNeighborsClassifier"}), **shared))


def test_the_signature_has_the_columns_the_variant_asks_for(tmp_path: Path) -> None:
    shared = laid(tmp_path, prepared(), steps=(IMPUTE,), columns=("a", "b"))
    done = train(Job("v", Use("sklearn", {"estimator": "LogisticRegression"}), columns=("a", "b"), **shared))
    assert [column.name for column in done.signature.inputs] == ["a", "b"]


def test_a_label_that_a_fold_never_met_has_probability_zero(tmp_path: Path) -> None:
    rows = prepared("multiclass")
    rows.target[:] = np.where(np.arange(len(rows)) < 300, rows.target % 2, rows.target)  # the third one comes late
    done = train(Job("v", Use("sklearn", {"estimator": "LogisticRegression"}), **laid(tmp_path, rows)))
    said = bank.read(done.into)
    assert (said.outputs[said.fold == 0][:, 2] == 0).all()
    assert (said.outputs[said.fold == -1][:, 2] > 0).any()


def test_a_ready_model_is_scored_on_the_same_rows_and_never_fitted(tmp_path: Path) -> None:
    rows = prepared()
    shared = {**laid(tmp_path, rows), "features": None}
    done = train(Job("legacy", Use("ready", {"path": f"{HERE}:pipeline"}), **shared))
    fitted = train(Job("v", Use("sklearn", {"estimator": "LogisticRegression"}), **laid(tmp_path / "other", rows)))
    said = bank.read(done.into)
    assert said.ids.tolist() == bank.read(fitted.into).ids.tolist()
    assert [column.name for column in done.signature.inputs] == ["a", "color"]
    assert done.fit_seconds == 0
    places = [int(row) for row in said.ids]
    assert np.allclose(said.outputs, pipeline(done).predict_proba(rows.inputs.iloc[places][["a", "color"]]))


def test_a_ready_model_that_asks_for_what_is_not_there_is_refused(tmp_path: Path) -> None:
    rows = prepared(ignore=["color"])
    shared = {**laid(tmp_path, rows, steps=(IMPUTE,)), "features": None}
    with pytest.raises(DataError, match="asks for the column 'color'"):
        train(Job("legacy", Use("ready", {"path": f"{HERE}:pipeline"}), **shared))


def test_warnings_become_notes_unless_they_were_asked_for(tmp_path: Path) -> None:
    shared = laid(tmp_path, prepared())
    quiet = Use("sklearn", {"estimator": "MLPClassifier", "max_iter": 2})
    loud = Use("sklearn", {"estimator": "sklearn.neural_network.MLPClassifier", "tol": 0, "n_iter_no_change": 1000})
    assert train(Job("quiet", quiet, **shared)).notes == ()
    (note,) = train(Job("loud", loud, **shared)).notes
    assert note.startswith("ConvergenceWarning: ")
