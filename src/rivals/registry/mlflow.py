"""Runs, versions and aliases in MLflow, where people and other tools look for them; nothing else imports MLflow.

Each build is a run; its bundle is the run's artifact ``model``, an ensemble's members in it, and a version of the one
registered model that has the project's name, tagged with its variant. So the alias ``champion`` belongs to one variant
at a time, and ``models:/flights@champion`` is what answers.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

# MLflow reads these while it is imported: no telemetry, no links on stdout, and minutes of retries become seconds.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param
from mlflow.exceptions import MlflowException

from rivals.bundles import read_manifest
from rivals.errors import RivalsError
from rivals.registry.lineage import Lineage
from rivals.values import Trained, Version

MODEL, MEMBERS = "model", "members"  # the run's artifact, and in it the bundles by digest that an ensemble asks
PARAM_CHARS, PARAMS_AT_ONCE = 6_000, 100  # MLflow's limits
DIGEST_CHARS = 36


@dataclass(frozen=True, slots=True)
class Data:
    """The rows a variant was trained on, for MLflow's list of datasets."""

    name: str
    digest: str
    rows: int
    source: str


class Tracker:
    """One project's runs and versions at a tracking URI: ``sqlite:///...``, a server, or whatever MLflow speaks to.

    ``artifacts`` is where files go unless a server says. Nothing is opened before it is needed: the first time costs
    seconds. Every method raises ``RivalsError`` where MLflow does not do its part.
    """

    def __init__(self, uri: str, project: str, artifacts: Path) -> None:
        self.uri, self.project, self.artifacts = uri, project, artifacts

    def open(self) -> None:
        """Open it now, for whoever has the time; what does not work is told by the verb that needs it."""
        with suppress(MlflowException, SQLAlchemyError, sqlite3.Error, OSError):
            _ = self._client

    def register(
        self,
        trained: Trained,
        folder: Path,
        *,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        lineage: Lineage,
        data: Data,
        tags: Mapping[str, str] | None = None,
    ) -> Version:
        """Record a build, with its bundle in ``folder``, and make it the next version of the project's model.

        ``metrics`` are kept besides the scores and costs in ``trained``. A run that could not be finished is marked
        as failed; the bundle itself is not touched.
        """
        with self._asking("cannot record " + trained.variant):
            client = self._client
            if (known := self._known(trained)) is not None:
                return known
            about = _tags(trained, lineage) | dict(tags or {})
            run = client.create_run(self._experiment, run_name=trained.variant, tags=about).info.run_id
            try:
                self._describe(run, trained, params, metrics, data)
                self._attach(run, folder, lineage)
                number = self._version(run, trained)
            except BaseException:
                with suppress(Exception):  # the first error is the one to tell
                    client.set_terminated(run, "FAILED")
                raise
            client.set_terminated(run, "FINISHED")
        return Version(trained.variant, trained.digest, run, number)

    def trials(self, version: Version, trials: Sequence[tuple[str, Mapping[str, Any], Mapping[str, float]]]) -> None:
        """Record trials (name, options, metrics) as child runs of a build's run, in two calls each."""
        with self._asking("cannot record trials of " + version.variant):
            client, now = self._client, int(time.time() * 1000)
            for name, params, metrics in trials:
                about = {"mlflow.parentRunId": version.run_id, "rivals.variant": version.variant}
                run = client.create_run(self._experiment, run_name=name, tags=about).info.run_id
                numbers = [Metric(key, float(value), now, 0) for key, value in metrics.items()]
                client.log_batch(run, metrics=numbers, params=[Param(key, _text(params[key])) for key in params])
                client.set_terminated(run, "FINISHED")

    def live(self, version: Version, points: Sequence[tuple[float, Mapping[str, float]]], window: float) -> None:
        """Add what a version's variant was like in windows that ended at those times to its run, a step each."""
        with self._asking("cannot record live windows of " + version.variant):
            for end, metrics in points:
                step, when = round(end / window), int(end * 1000)
                numbers = [Metric(key, float(value), when, step) for key, value in metrics.items()]
                self._client.log_batch(version.run_id, metrics=numbers)

    def alias(self, name: str, version: Version) -> None:
        """Point an alias of the project's model, as ``champion``, at a version; it leaves the one it pointed at."""
        with self._asking(f"cannot point {name!r} at {version.variant}"):
            self._client.set_registered_model_alias(self.project, name, str(version.number))

    def aliases(self) -> dict[str, int]:
        """The aliases of the project's model, and the number of the version each points at."""
        with self._asking("cannot list aliases"):
            return {name: int(at) for name, at in self._client.get_registered_model(self.project).aliases.items()}

    def download(self, uri: str, folder: Path) -> Path:
        """Copy a registered model, ``models:/name@alias`` or ``models:/name/3``, into ``folder``; returns where."""
        found = re.fullmatch(r"models:/([^@/]+)(?:@([^@/]+)|/(\d+))", uri)
        if found is None:
            raise RivalsError(f"{uri!r} is not a registered model; write models:/name@alias or models:/name/3.")
        name, alias, number = found.groups()
        with self._asking(f"cannot fetch {uri}"):
            client = self._client
            number = number or client.get_model_version_by_alias(name, alias).version
            source = client.get_model_version_download_uri(name, number)
            into = folder / f"{name}-{number}"  # of its own: artifacts of different models have the same name
            into.mkdir(parents=True, exist_ok=True)
            return Path(download_artifacts(artifact_uri=source, dst_path=str(into), tracking_uri=self.uri))

    # -- one run --------------------------------------------------------------------------------------------

    def _known(self, trained: Trained) -> Version | None:
        """The version of exactly this build, where whoever recorded it did not live to tell; its torn runs end."""
        where = f"name = '{self.project}' and tag.`rivals.wish` = '{trained.wish}'"
        for one in self._client.search_model_versions(where):
            if one.tags.get("rivals.digest") == trained.digest:
                return Version(trained.variant, trained.digest, one.run_id, int(one.version))
        torn = f"tags.`rivals.wish` = '{trained.wish}' and attributes.status = 'RUNNING'"
        for run in self._client.search_runs([self._experiment], torn):
            self._client.set_terminated(run.info.run_id, "FAILED")
        return None

    def _describe(
        self, run: str, trained: Trained, params: Mapping[str, Any], metrics: Mapping[str, float], data: Data
    ) -> None:
        now = int(time.time() * 1000)
        costs = {"fit_seconds": trained.fit_seconds, "predict_us": trained.predict_us, "bundle_bytes": trained.bytes}
        whole = {**trained.scores.metrics, **costs, "parity": trained.parity, **metrics}
        numbers = [Metric(name, float(value), now, 0) for name, value in whole.items()]
        for step, fold in enumerate(trained.scores.folds):
            numbers += [Metric(f"fold_{name}", float(value), now, step) for name, value in fold.items()]
        words = iter([Param(name, _text(value)) for name, value in params.items()])
        first = list(islice(words, PARAMS_AT_ONCE))
        self._client.log_batch(run, metrics=numbers, params=first)
        while more := list(islice(words, PARAMS_AT_ONCE)):
            self._client.log_batch(run, params=more)
        profile = json.dumps({"num_rows": data.rows, "digest": data.digest})
        source = json.dumps({"uri": data.source})
        dataset = Dataset(data.name, data.digest[:DIGEST_CHARS], "local", source, profile=profile)
        self._client.log_inputs(run, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])

    def _attach(self, run: str, folder: Path, lineage: Lineage) -> None:
        whole = asdict(lineage)
        if diff := whole.pop("diff"):
            self._client.log_text(run, diff, "dirty.diff")
        self._client.log_dict(run, whole, "lineage.json")
        self._client.log_artifacts(run, str(folder), MODEL)
        for member in _members(folder):  # whoever fetches an ensemble gets its members with it
            self._client.log_artifacts(run, str(member), f"{MODEL}/{MEMBERS}/{member.name}")

    def _version(self, run: str, trained: Trained) -> int:
        if not self._client.search_registered_models(f"name = '{self.project}'"):
            with suppress(MlflowException):  # somebody else made it meanwhile, or the next call says what is wrong
                self._client.create_registered_model(self.project)
        about = {"rivals.variant": trained.variant, "rivals.digest": trained.digest, "rivals.wish": trained.wish}
        made = self._client.create_model_version(
            self.project, f"runs:/{run}/{MODEL}", run, tags=about, description=trained.variant
        )
        return int(made.version)

    # -- the connection ---------------------------------------------------------------------------------------

    @cached_property
    def _client(self) -> MlflowClient:
        logging.getLogger("alembic").setLevel(logging.WARNING)  # a new database tells of every migration
        if self.uri.startswith("sqlite:") and (path := make_url(self.uri).database):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            if not Path(path).exists():
                _make(Path(path))
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")  # it is kept in the file: several may write at once
        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    @cached_property
    def _experiment(self) -> str:
        """The project's experiment; made where it is missing."""
        if found := self._client.get_experiment_by_name(self.project):
            return str(found.experiment_id)
        served = self.uri.startswith(("http:", "https:", "databricks"))
        place = None if served else (self.artifacts / self.project).resolve().as_uri()
        return str(self._client.create_experiment(self.project, artifact_location=place))

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        try:
            yield
        except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise RivalsError(
                f"MLflow {what}: {reason[:300].rstrip('.')}. What was built is kept; try again."
            ) from error


def _make(path: Path) -> None:
    """Make MLflow's database elsewhere and give it its name when it is whole: its migrations cannot be continued."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".mlflow-") as folder:
        fresh = Path(folder) / path.name
        MlflowClient(tracking_uri=f"sqlite:///{fresh}").search_experiments(max_results=1)
        with closing(sqlite3.connect(fresh)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with suppress(FileExistsError):  # somebody else was quicker
            path.hardlink_to(fresh)


def _tags(trained: Trained, lineage: Lineage) -> dict[str, str]:
    """What a run is found by: MLflow's own names where it has one, ours otherwise."""
    tags = {
        "mlflow.source.name": "rivals train",
        "mlflow.source.type": "LOCAL",
        "rivals.variant": trained.variant,
        "rivals.digest": trained.digest,
        "rivals.wish": trained.wish,
        "rivals.runtime": trained.runtime,
        "rivals.version": lineage.rivals,
        "rivals.packages": lineage.packages_digest,
    }
    if lineage.commit:
        tags |= {"mlflow.source.git.commit": lineage.commit, "mlflow.source.git.branch": lineage.branch}
        tags["mlflow.source.git.dirty"] = str(lineage.dirty).lower()
    return tags


def _members(folder: Path) -> Iterator[Path]:
    """The bundles an ensemble needs, and those that they need."""
    for digest in read_manifest(folder).members.values():
        yield (member := folder.parent / digest)
        yield from _members(member)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= PARAM_CHARS else f"{text[: PARAM_CHARS - 3]}..."
