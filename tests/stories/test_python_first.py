"""Ten lines in a notebook: pipelines and a frame, compared, served behind a canary, exported, seen by MLflow."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import rivals
from rivals.errors import DataError, SpecError
from rivals.flows.compare import prediction_hashes
from rivals.testing import sample

README = Path(__file__).parents[2] / "README.md"


def variants() -> dict[str, Any]:
    encode = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["color"]), remainder="passthrough")
    return {
        "linear": make_pipeline(encode, LogisticRegression()),
        "boosted": make_pipeline(encode, HistGradientBoostingClassifier(max_iter=20, random_state=0)),
    }


def frame() -> pd.DataFrame:
    rows = sample(rows=300).drop(columns="words")
    return rows.assign(b=rows["b"].fillna(0.0), color=rows["color"].fillna("none"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [pl.from_pandas, pa.Table.from_pandas], ids=["polars", "pyarrow"])
def test_any_frame_gives_the_same_models(kind: Any, tmp_path: Path) -> None:
    one = rivals.compare({"linear": variants()["linear"]}, frame(), target="y", folder=tmp_path / "pandas")
    two = rivals.compare({"linear": variants()["linear"]}, kind(frame()), target="y", folder=tmp_path / "other")
    assert one.hashes == two.hashes


def test_what_cannot_be_compared_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column 'z'"):
        rivals.compare(variants(), frame(), target="z", folder=tmp_path)
    with pytest.raises(DataError, match="is no frame"):
        rivals.compare(variants(), [[1, 2]], target="y", folder=tmp_path)
    with pytest.raises(SpecError, match="one question"):
        rivals.compare({**variants(), "third": LinearRegression()}, frame(), target="y", folder=tmp_path)


@pytest.mark.slow
def test_pipelines_are_compared_served_behind_a_canary_exported_and_seen_by_mlflow(tmp_path: Path) -> None:
    rows = frame()
    found = rivals.compare(variants(), rows, target="y", folder=tmp_path / "here", split={"test": 0})
    assert {row.variant for row in found.leaderboard.rows} == {"linear", "boosted"}
    asked = rows.drop(columns="y").head(20)
    with found.serve() as endpoint:
        said = endpoint.predict({name: asked[name].tolist() for name in asked}, variant="linear")
        expected = variants()["linear"].fit(rows.drop(columns="y"), rows["y"]).predict_proba(asked)
        np.testing.assert_allclose(said, expected, atol=1e-5)
        status = endpoint.status()
        assert status["rollout"]["challenger"]["variant"] != status["champion"]
    file = found.export(tmp_path / "there")
    again = rivals.Project(file)
    again.train()
    assert prediction_hashes(again.workspace) == found.hashes
    runs = mlflow.MlflowClient(found.mlflow).search_runs(
        [one.experiment_id for one in mlflow.MlflowClient(found.mlflow).search_experiments()]
    )
    assert {run.data.tags.get("rivals.variant", run.info.run_name) for run in runs} >= {"linear", "boosted"}


@pytest.mark.slow
def test_the_ten_lines_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.search(r"```python\n(.*?rivals\.compare.*?)```", README.read_text(), re.DOTALL)
    assert code is not None
    lines = [line for line in code.group(1).splitlines() if line.strip()]
    assert len(lines) <= 10
    monkeypatch.chdir(tmp_path)
    exec(compile(code.group(1), "README.md", "exec"), {})
    assert (tmp_path / "cancer" / "rivals.yaml").exists()
