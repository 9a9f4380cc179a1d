"""What searches have found is told: in the report, in MLflow, and to optuna-dashboard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rivals.flows.asked import ask
from rivals.flows.report import write_report
from rivals.flows.searched import importance, searched
from rivals.flows.train import train_project
from rivals.flows.workspace import open_workspace
from rivals.tune.search import Tried

from .test_tune import project, trials


def test_the_option_that_explains_the_loss_is_told_from_one_that_does_not() -> None:
    rng = np.random.default_rng(0)
    tried = [
        Tried(
            {"C": float(c), "kind": str(kind), "idle": float(idle)},
            abs(c - 0.3) + (0.5 if kind == "b" else 0.0),
            1.0,
            3,
        )
        for c, idle, kind in zip(rng.random(60), rng.random(60), rng.choice(["a", "b"], 60), strict=True)
    ]
    found = importance(tried)
    assert sum(found.values()) == pytest.approx(1.0)
    assert found["idle"] < 0.2 < min(found["C"], found["kind"])
    assert importance(tried[:8]) == {}


@pytest.mark.slow
def test_searches_stand_in_the_report_and_their_trials_in_mlflow(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    folder = project(tmp_path / "p", "optuna", "{trials: 30}")
    workspace = open_workspace(folder)
    assert not train_project(workspace).failed
    found = {one.variant: one for one in searched(workspace)}
    assert set(found) == {"logistic", "tree"}
    assert sum(one.trials for one in found.values()) == 30
    assert sum(one.share for one in found.values()) == pytest.approx(1.0)
    for one in found.values():
        losses = [loss for _, loss in one.history]
        assert losses == sorted(losses, reverse=True)
    file = write_report(ask(workspace), ask(workspace).answer(), tmp_path / "report.html")
    told = file.read_text()
    assert "Searches" in told
    assert "Best loss so far" in told
    client = MlflowClient(tracking_uri=f"sqlite:///{workspace.state / 'mlflow.db'}")
    (experiment,) = [one.experiment_id for one in client.search_experiments() if one.name == "toy"]
    for name in found:
        version = workspace.store.version(name)
        assert version
        children = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{version.run_id}'")
        whole = [t for one in trials(folder).values() for t in one if not t["stopped"] and t["loss"] is not None]
        assert children
        assert {run.data.metrics["loss"] for run in children} <= {t["loss"] for t in whole}
        assert min(run.data.metrics["loss"] for run in children) == pytest.approx(found[name].history[-1][1])


@pytest.mark.slow
def test_optuna_dashboard_opens_what_a_search_leaves(tmp_path: Path) -> None:
    dashboard = pytest.importorskip("optuna_dashboard", reason="MISSING PART: optuna-dashboard")
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    from .test_tune import search

    folder = project(tmp_path / "p", "optuna", "{trials: 12}")
    search(folder)
    journal = JournalStorage(JournalFileBackend(str(folder / ".rivals" / "tuning" / "logistic" / "optuna.journal")))
    app = dashboard.wsgi(journal)
    answer: list[str] = []
    environment = {
        "REQUEST_METHOD": "GET", "PATH_INFO": "/api/studies", "SERVER_NAME": "a", "SERVER_PORT": "80",
        "wsgi.url_scheme": "http", "QUERY_STRING": "",
    }  # fmt: skip
    body = b"".join(app(environment, lambda status, _headers, *_: answer.append(status)))
    assert answer[0].startswith("200")
    assert b'"study_name": "study"' in body or b'"study_name":"study"' in body
