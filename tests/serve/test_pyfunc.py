import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from lightgbm import LGBMClassifier
from sklearn.linear_model import LogisticRegression

from rivals.build.bundle import write_ensemble
from rivals.bundles import columns_of, is_gap
from rivals.errors import BundleError, DataError
from rivals.serve.pyfunc import _load_pyfunc
from rivals.serve.runtimes import open_bundle, predictor
from rivals.values import Use
from tests.mixed import bundle, fitted, frame, signature

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow warns of its own type hints when it is imported
    import mlflow.pyfunc
    from mlflow.pyfunc.scoring_server import invocations


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    into = tmp_path_factory.mktemp("bundles")
    return bundle(into, fitted(LGBMClassifier(n_estimators=10, verbose=-1, n_jobs=1)))


def expected(made, rows):
    return open_bundle(made.folder, made.folder.parent.joinpath).predict(columns_of(rows, signature("binary")))


def test_mlflow_loads_a_bundle_and_gives_its_probabilities(made):
    rows = frame(200, seed=4)
    model = mlflow.pyfunc.load_model(str(made.folder))
    for asked in (rows, rows.astype({"hour": float, "distance": float}), rows[rows.columns[::-1]]):
        assert np.abs(model.predict(asked) - expected(made, rows)).max() <= 1e-12


def test_mlflow_knows_the_columns(made):
    model = mlflow.pyfunc.load_model(str(made.folder))
    assert model.metadata.get_input_schema().input_names() == ["hour", "carrier", "distance", "dest", "größe"]
    with pytest.raises(mlflow.MlflowException, match="distance"):
        model.predict(frame(5).drop(columns="distance"))


def test_mlflows_own_scoring_bodies_are_answered(made):
    rows = frame(6, seed=4)
    plain = [{k: None if is_gap(v) else v for k, v in row.items()} for row in rows.to_dict("records")]
    model = mlflow.pyfunc.load_model(str(made.folder))
    bodies = {
        "dataframe_records": plain,
        "dataframe_split": {"columns": list(rows.columns), "data": [list(row.values()) for row in plain]},
        "inputs": {name: [row[name] for row in plain] for name in rows.columns},
    }
    for key, body in bodies.items():
        answer = invocations(json.dumps({key: body}), "application/json", model, model.metadata.get_input_schema())
        assert answer.status == 200, (key, answer.response)
        assert np.abs(np.array(json.loads(answer.response)["predictions"]) - expected(made, rows)).max() <= 1e-5


def test_a_missing_column_is_a_sentence(made):
    with pytest.raises(DataError, match="no column 'distance'"):
        _load_pyfunc(str(made.folder)).predict(frame(5).drop(columns="distance"))


def test_an_ensemble_finds_its_members_beside_it_or_says_so(made, tmp_path):
    members = {
        "a": bundle(tmp_path, fitted(LogisticRegression(max_iter=300), scale=True)).digest,
        "b": bundle(tmp_path, fitted(LGBMClassifier(n_estimators=10, verbose=-1, n_jobs=1))).digest,
    }
    both = write_ensemble(tmp_path, members, Use("mean"), frame(), runtime=predictor, opener=tmp_path.joinpath)
    rows = frame(20, seed=2)
    got = mlflow.pyfunc.load_model(str(both.folder)).predict(rows)
    assert np.abs(got - expected(both, rows)).max() <= 1e-12
    hard = Use("vote", {"kind": "hard"})  # which no graph answers, so that its members are asked
    both = write_ensemble(tmp_path, members, hard, frame(), runtime=predictor, opener=tmp_path.joinpath)
    assert mlflow.pyfunc.load_model(str(both.folder)).predict(rows).shape == (20, 2)
    alone = both.folder.rename(tmp_path.parent / f"{tmp_path.name}-model")
    with pytest.raises(BundleError, match="is not beside it"):
        _load_pyfunc(str(alone))


def test_serving_needs_no_training_package():
    code = (
        "import sys, rivals.serve.pyfunc, rivals.serve.runtimes\n"
        "print([m for m in ('mlflow', 'pandas', 'sklearn', 'lightgbm', 'scipy', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
