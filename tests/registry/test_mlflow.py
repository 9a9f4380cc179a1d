"""What is registered is where MLflow's own client and server look for it."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from rivals.build.bundle import write_ensemble
from rivals.bundles import columns_of
from rivals.errors import RivalsError
from rivals.registry.lineage import Lineage
from rivals.serve.runtimes import open_bundle, predictor
from rivals.serve.runtimes.opening import open_unnamed
from rivals.values import Scores, Trained, Use, Version
from tests.mixed import bundle, fitted, frame, signature

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow warns of its own type hints when it is imported
    import mlflow.pyfunc
    from mlflow import MlflowClient

    from rivals.registry.mlflow import Data, Tracker

LINEAGE = Lineage("c" * 40, "main", True, "--- a\n+++ b\n", "3.11.7", "Linux", {"numpy": "2.4.6"}, "p" * 64, "0.1.0", 7)
DATA = Data("flights", "d" * 64, 30_000, "flights:load")


@dataclass(frozen=True)
class Made:
    """A database with three registered variants: two and their ensemble."""

    folder: Path
    tracker: Tracker
    trained: dict[str, Trained]
    versions: dict[str, Version]

    @property
    def uri(self) -> str:
        return self.tracker.uri

    def answers(self, variant: str, rows: pd.DataFrame) -> NDArray[np.float64]:
        """What the endpoint would answer."""
        bundles = self.folder / "bundles"
        served = open_bundle(bundles / self.trained[variant].digest, bundles.joinpath)
        return served.predict(columns_of(rows, signature("binary")))


def as_trained(variant: str, digest: str) -> Trained:
    folds = ({"log_loss": 0.41}, {"log_loss": 0.43})
    return Trained(variant, digest, "w" * 64, Scores({"log_loss": 0.42}, folds), 1.5, 21.0, 12_345, "onnx", 2e-7)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("project")
    bundles = folder / "bundles"
    bundles.mkdir()
    one = bundle(bundles, fitted(LogisticRegression(max_iter=300), scale=True))
    two = bundle(bundles, fitted(LogisticRegression(max_iter=300, C=0.01), scale=True))
    members = {"one": one.digest, "two": two.digest}
    both = write_ensemble(bundles, members, Use("mean"), frame(), runtime=predictor, opener=bundles.joinpath)
    tracker = Tracker(f"sqlite:///{folder / 'mlflow.db'}", "flights", folder / "mlartifacts")
    trained = {name: as_trained(name, made.digest) for name, made in (("one", one), ("two", two), ("both", both))}
    versions = {name: register(tracker, value, bundles / value.digest) for name, value in trained.items()}
    tracker.alias("champion", versions["one"])
    tracker.alias("challenger", versions["both"])
    return Made(folder, tracker, trained, versions)


def register(tracker: Tracker, trained: Trained, folder: Path, **params: Any) -> Version:
    return tracker.register(
        trained,
        folder,
        params={"C": 0.5, "features": ["scaled"], "family": "sklearn", **params},
        metrics={"gate_p99_ms": 0.2},
        lineage=LINEAGE,
        data=DATA,
        tags={"rivals.backend": "local"},
    )


def test_a_build_is_a_run_with_its_parameters_metrics_and_tags(made: Made) -> None:
    run = MlflowClient(made.uri, made.uri).get_run(made.versions["one"].run_id)
    assert (run.info.run_name, run.info.status) == ("one", "FINISHED")
    assert run.data.params == {"C": "0.5", "features": '["scaled"]', "family": "sklearn"}
    assert run.data.metrics["log_loss"] == 0.42
    assert run.data.metrics["gate_p99_ms"] == 0.2
    assert run.data.metrics["fit_seconds"] == 1.5
    assert run.data.tags["mlflow.source.git.commit"] == "c" * 40
    assert run.data.tags["mlflow.source.git.dirty"] == "true"
    assert run.data.tags["rivals.digest"] == made.trained["one"].digest
    assert run.data.tags["rivals.backend"] == "local"


def test_folds_are_a_metrics_history(made: Made) -> None:
    history = MlflowClient(made.uri, made.uri).get_metric_history(made.versions["one"].run_id, "fold_log_loss")
    assert [(point.step, point.value) for point in history] == [(0, 0.41), (1, 0.43)]


def test_the_data_is_a_dataset_of_the_run(made: Made) -> None:
    (found,) = MlflowClient(made.uri, made.uri).get_run(made.versions["one"].run_id).inputs.dataset_inputs
    assert (found.dataset.name, found.dataset.digest) == ("flights", "d" * 36)
    assert json.loads(found.dataset.profile) == {"num_rows": 30_000, "digest": "d" * 64}
    assert [(tag.key, tag.value) for tag in found.tags] == [("mlflow.data.context", "training")]


def test_the_dirty_diff_and_the_packages_are_artifacts(made: Made) -> None:
    client, run = MlflowClient(made.uri, made.uri), made.versions["one"].run_id
    assert {file.path for file in client.list_artifacts(run)} == {"dirty.diff", "lineage.json", "model"}
    told = mlflow.artifacts.load_dict(f"{client.get_run(run).info.artifact_uri}/lineage.json")
    assert (told["packages"], told["seed"]) == ({"numpy": "2.4.6"}, 7)
    assert "diff" not in told


def test_every_build_is_a_version_of_one_model_and_an_alias_belongs_to_one(made: Made) -> None:
    assert [made.versions[name].number for name in ("one", "two", "both")] == [1, 2, 3]
    assert made.tracker.aliases() == {"champion": 1, "challenger": 3}
    version = MlflowClient(made.uri, made.uri).get_model_version("flights", "2")
    two = made.trained["two"]
    assert version.tags == {"rivals.variant": "two", "rivals.digest": two.digest, "rivals.wish": two.wish}
    assert version.run_id == made.versions["two"].run_id


def test_mlflow_loads_what_an_alias_names_and_it_answers_the_same(made: Made) -> None:
    rows = frame(50, seed=3)
    mlflow.set_tracking_uri(made.uri)
    try:
        got = mlflow.pyfunc.load_model("models:/flights@champion").predict(rows)
    finally:
        mlflow.set_tracking_uri(None)
    assert np.abs(got - made.answers("one", rows)).max() <= 1e-12


def test_an_ensemble_comes_down_with_its_members(made: Made, tmp_path: Path) -> None:
    rows = frame(50, seed=3)
    fetched = made.tracker.download("models:/flights@challenger", tmp_path / "down")
    opened = open_unnamed(fetched, (fetched / "members").joinpath)
    got = opened.predict(columns_of(rows, signature("binary")))
    assert np.abs(got - made.answers("both", rows)).max() <= 1e-12


@pytest.mark.parametrize("uri", ["models:/flights@champion", "models:/flights/1"])
def test_a_registered_model_comes_down_as_the_bundle_it_was(made: Made, tmp_path: Path, uri: str) -> None:
    fetched = made.tracker.download(uri, tmp_path / "down")
    made.tracker.download("models:/flights/2", tmp_path / "down")  # beside it, not into it
    original = made.folder / "bundles" / made.trained["one"].digest
    assert {p.name: p.read_bytes() for p in fetched.iterdir()} == {p.name: p.read_bytes() for p in original.iterdir()}


@pytest.mark.parametrize("uri", ["models:/flights", "models:/flights/latest", "runs:/x/model", "/some/where", ""])
def test_only_an_alias_or_a_number_names_a_registered_model(made: Made, tmp_path: Path, uri: str) -> None:
    with pytest.raises(RivalsError, match="models:/name@alias"):
        made.tracker.download(uri, tmp_path)


@pytest.mark.parametrize("uri", ["models:/flights@production", "models:/flights/99", "models:/nobody/1"])
def test_a_model_mlflow_does_not_have_is_a_sentence(made: Made, tmp_path: Path, uri: str) -> None:
    with pytest.raises(RivalsError, match=f"MLflow cannot fetch {uri}: .*not found"):
        made.tracker.download(uri, tmp_path)


def test_live_windows_are_steps_of_the_versions_run(made: Made, apart: Tracker) -> None:
    version = register(apart, made.trained["one"], made.folder / "bundles" / made.trained["one"].digest)
    apart.live(version, [(86_400.0, {"live_brier": 0.2}), (172_800.0, {"live_brier": 0.3})], 86_400.0)
    found = apart._client.get_metric_history(version.run_id, "live_brier")
    assert [(one.step, one.timestamp, one.value) for one in found] == [(1, 86_400_000, 0.2), (2, 172_800_000, 0.3)]


@pytest.fixture
def apart(made: Made, tmp_path: Path) -> Tracker:
    """A copy of the database, to write into; a new one costs seconds."""
    with (
        closing(sqlite3.connect(made.folder / "mlflow.db")) as of,
        closing(sqlite3.connect(tmp_path / "mlflow.db")) as to,
    ):
        of.backup(to)
    return Tracker(f"sqlite:///{tmp_path / 'mlflow.db'}", "other", tmp_path / "mlartifacts")


def test_more_parameters_than_mlflow_takes_at_once_and_longer_ones_are_kept(made: Made, apart: Tracker) -> None:
    many = {f"p{i}": "x" * (7_000 if i == 0 else 1) for i in range(250)}
    trained = made.trained["one"]
    version = register(apart, trained, made.folder / "bundles" / trained.digest, **many)
    kept = MlflowClient(apart.uri, apart.uri).get_run(version.run_id).data.params
    assert len(kept) == 253
    assert kept["p0"] == "x" * 5_997 + "..."
    assert version.number == 1


def test_a_run_that_could_not_be_finished_is_marked_as_failed(made: Made, apart: Tracker) -> None:
    trained = replace(made.trained["one"], scores=Scores({"not a #name": 1.0}))
    with pytest.raises(RivalsError, match="MLflow cannot record one: Invalid value"):
        register(apart, trained, made.folder / "bundles" / trained.digest)
    client = MlflowClient(apart.uri, apart.uri)
    (run,) = client.search_runs([client.get_experiment_by_name("other").experiment_id])
    assert run.info.status == "FAILED"


def test_a_server_that_is_away_is_a_sentence_within_seconds(made: Made, tmp_path: Path) -> None:
    trained, away = made.trained["one"], Tracker(f"http://127.0.0.1:{free_port()}", "flights", tmp_path)
    started = time.monotonic()
    with pytest.raises(RivalsError, match=r"MLflow cannot record one: .* What was built is kept; try again\."):
        register(away, trained, made.folder / "bundles" / trained.digest)
    with pytest.raises(RivalsError, match="cannot point 'champion' at one"):
        away.alias("champion", made.versions["one"])
    assert time.monotonic() - started < 45


def test_a_damaged_database_is_a_sentence(tmp_path: Path, made: Made) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"no database at all" * 100)
    broken = Tracker(f"sqlite:///{tmp_path / 'mlflow.db'}", "flights", tmp_path)
    with pytest.raises(RivalsError, match="file is not a database"):
        register(broken, made.trained["one"], made.folder)


@pytest.mark.slow  # a new process and a new database
def test_a_first_registration_says_nothing_on_stdout_or_stderr(made: Made, tmp_path: Path) -> None:
    code = f"""
import warnings
from pathlib import Path
from rivals.registry.mlflow import Data, Tracker
from rivals.registry.lineage import Lineage
from rivals.values import Scores, Trained
trained = Trained("one", "0" * 64, "w", Scores({{"log_loss": 0.4}}), 1.0, 1.0, 1, "onnx", 0.0)
tracker = Tracker("sqlite:///{tmp_path}/new/mlflow.db", "flights", Path("{tmp_path}/art"))
lineage = Lineage("", "", True, "", "3.11", "Linux", {{}}, "p", "0.1.0")
folder, data = Path("{made.folder}/bundles/{made.trained["one"].digest}"), Data("d", "d", 1, "s")
version = tracker.register(trained, folder, params={{}}, metrics={{}}, lineage=lineage, data=data)
tracker.alias("champion", version)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert {path.name for path in tmp_path.iterdir()} == {"new", "art"}  # and leaves nothing where it was started


# -- the unmodified server ----------------------------------------------------------------------------------------


@pytest.fixture
def server(made: Made) -> Iterator[str]:
    """`mlflow server` over the same database: what people open."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", made.uri, "--workers", "1"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--default-artifact-root", str(made.folder / "served")]
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (made.folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=made.folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 90
        while not healthy(address):
            assert time.monotonic() < deadline, (made.folder / "server.log").read_text()[-2000:]
            assert process.poll() is None, (made.folder / "server.log").read_text()[-2000:]
            time.sleep(0.2)
        yield address
    finally:
        os.killpg(process.pid, 15)
        process.wait(timeout=30)


def healthy(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def ask(address: str, path: str, **query: str) -> Any:
    with urllib.request.urlopen(f"{address}/api/2.0/mlflow/{path}?{urlencode(query)}", timeout=20) as reply:
        return json.load(reply)


@pytest.mark.slow
def test_an_unmodified_mlflow_server_shows_run_data_version_and_alias(made: Made, server: str, tmp_path: Path) -> None:
    run = ask(server, "runs/get", run_id=made.versions["one"].run_id)["run"]
    assert {"key": "C", "value": "0.5"} in run["data"]["params"]
    assert {"log_loss": 0.42}.items() <= {one["key"]: one["value"] for one in run["data"]["metrics"]}.items()
    assert run["inputs"]["dataset_inputs"][0]["dataset"]["digest"] == "d" * 36
    tags = {one["key"]: one["value"] for one in run["data"]["tags"]}
    assert tags["mlflow.source.git.commit"] == "c" * 40
    files = {one["path"] for one in ask(server, "artifacts/list", run_id=made.versions["one"].run_id)["files"]}
    assert files == {"dirty.diff", "lineage.json", "model"}
    version = ask(server, "registered-models/alias", name="flights", alias="champion")["model_version"]
    assert (version["version"], version["run_id"], version["status"]) == ("1", made.versions["one"].run_id, "READY")
    assert ask(server, "registered-models/get", name="flights")["registered_model"]["aliases"] == [
        {"alias": "challenger", "version": "3"},
        {"alias": "champion", "version": "1"},
    ]
    through = Tracker(server, "flights", tmp_path)
    trained = made.trained["two"]
    known = register(through, trained, made.folder / "bundles" / trained.digest)
    assert known.number == 2  # it is on record already
    trained = replace(trained, wish="another")
    again = register(through, trained, made.folder / "bundles" / trained.digest)  # and it takes what we send it
    assert again.number == 4
    fetched = through.download("models:/flights/4", tmp_path / "down")
    assert (fetched / "rivals.json").read_bytes() == (
        made.folder / "bundles" / trained.digest / "rivals.json"
    ).read_bytes()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
