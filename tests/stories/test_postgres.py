"""The store, MLflow and Optuna in one PostgreSQL, each in a schema of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.test_tune import project
from tests.postgres import Postgres

PLACES = """
store: {env: RIVALS_STORE_URL}
tracking: {env: RIVALS_TRACKING_URI}
"""


@pytest.mark.slow
def test_a_project_is_built_with_all_it_remembers_in_postgresql(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.database()
    name = url.partition("@/")[2].partition("?")[0]
    for schema in ("rivals", "mlflow", "optuna"):
        postgres.sql(f"create schema {schema}", name)
    names = {"RIVALS_STORE_URL": "rivals", "RIVALS_TRACKING_URI": "mlflow", "OPTUNA_URL": "optuna"}
    places = {variable: f"{url}&options=-csearch_path%3D{schema}" for variable, schema in names.items()}
    folder = project(tmp_path / "p", "optuna", "{trials: 8}")
    file = folder / "rivals.yaml"
    file.write_text(file.read_text().replace("with: {space", "with: {storage: {env: OPTUNA_URL}, space") + PLACES)

    def rivals(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **places}
        command = [sys.executable, "-m", "rivals", *words]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)

    done = rivals("train", "--json")
    assert done.returncode == 0, done.stderr
    assert {row[0] for row in postgres.sql("select variant from rivals.trained", name)} == {"plain", "logistic", "tree"}
    versions = postgres.sql("select version from mlflow.model_versions where name = 'toy'", name)
    assert len(versions) == 3
    studies = sorted(str(row[0]) for row in postgres.sql("select study_name from optuna.studies", name))
    assert [one.rpartition("/")[0] for one in studies] == ["toy/logistic", "toy/tree"]
    assert len(postgres.sql("select 1 from optuna.trials where state = 'COMPLETE'", name)) >= 4
    board = json.loads(rivals("compare", "--json").stdout)
    assert {row["variant"] for row in board["rows"]} == {"plain", "logistic", "tree"}
    assert not list((folder / ".rivals").glob("*.db"))
