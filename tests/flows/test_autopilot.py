"""A stream through the whole loop in virtual time. Each training costs seconds: the stories are marked slow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rivals.errors import DataError
from rivals.flows.autopilot import Flown, autopilot
from rivals.flows.autopilot_report import AUTOPILOT, html, markdown, report_of
from rivals.flows.train import train_project
from rivals.flows.verify import verify_ledger
from rivals.flows.virtual import stream_of
from rivals.flows.workspace import Workspace, open_workspace
from rivals.spec.load import parse

DAY = 86_400.0
PROJECT = """
project: toy
data: {source: {use: parquet, with: {path: learned.parquet}}, task: binary, target: y, time: t, label_delay: 1d, split: {test: 0%, folds: 2, by: time}}
variants:
  - {name: weak, family: sklearn, with: {estimator: LogisticRegression, C: 0.01}}
  - {name: strong, family: sklearn, with: {estimator: LogisticRegression}}
endpoint: {name: toy, champion: strong}
"""


def rows(first: int, days: int, seed: int, turned: float = np.inf) -> pd.DataFrame:
    """From day ``turned`` on, ``heat`` is higher and means the opposite."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.uniform(first, first + days, 120 * days)) * DAY
    late = t >= turned * DAY
    heat = rng.normal(np.where(late, 2.0, 0.0), 1)
    odds = np.where(late, 1.5 - heat, 1.5 * heat)
    return pd.DataFrame({"t": t, "heat": heat, "y": (rng.random(len(t)) < 1 / (1 + np.exp(-odds))).astype(int)})


def project(folder: Path) -> Workspace:
    rows(0, 60, 0).to_parquet(folder / "learned.parquet")
    (folder / "rivals.yaml").write_text(PROJECT)
    workspace = open_workspace(folder)
    train_project(workspace)
    return workspace


def loss(flown: Flown, outputs: np.ndarray) -> float:
    said = np.where(flown.stream.target == 1, outputs[:, 1], 1 - outputs[:, 1])
    return float(-np.log(np.clip(said, 1e-15, 1)).mean())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_world_that_turned_is_learned_anew_and_the_ledger_can_be_verified(tmp_path: Path) -> None:
    workspace = project(tmp_path)
    lines: list[str] = []
    flown = autopilot(workspace, rows(60, 80, 1, turned=70), say=lines.append)
    assert flown.trainings == 2
    assert loss(flown, flown.served) < loss(flown, flown.alone) - 0.05
    assert any("promoted" in line for line in lines)
    told = verify_ledger(flown.workspace)
    assert told["judged"] == told["derived"] > 0
    assert workspace.store.table("toy") is None  # nobody's endpoint was touched
    known = set(flown.by.tolist())
    assert known == {"strong", "retrained.2"}
    report = report_of(flown)
    assert report.mean(AUTOPILOT) < report.mean("first champion left alone")
    assert "retrained.2" in markdown(report)
    assert "<svg" in html(report)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_world_as_it_was_is_left_alone(tmp_path: Path) -> None:
    flown = autopilot(project(tmp_path), rows(60, 80, 1))
    assert flown.trainings == 1
    assert set(flown.by.tolist()) == {"strong"}
    assert loss(flown, flown.served) == pytest.approx(loss(flown, flown.alone))


def bare(folder: Path) -> Workspace:
    (folder / "rivals.yaml").write_text(PROJECT)
    return open_workspace(folder)


def test_rows_come_in_the_order_of_time_and_labels_when_they_are_due(tmp_path: Path) -> None:
    frame = pd.DataFrame({"t": [3.0, 1.0, 2.0], "y": [1.0, np.nan, 0.0], "known": [9.0, 9.0, np.nan]})
    by_delay = stream_of(bare(tmp_path), frame, (0, 1))
    assert by_delay.time.tolist() == [1.0, 2.0, 3.0]
    assert by_delay.due.tolist() == [np.inf, 2 + DAY, 3 + DAY]
    assert stream_of(bare(tmp_path), frame, (0, 1), "known").due.tolist() == [np.inf, np.inf, 9.0]


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column 'y'"):
        stream_of(bare(tmp_path), pd.DataFrame({"t": [1.0]}), (0, 1))
    with pytest.raises(DataError, match="no column 'knwon'"):
        stream_of(bare(tmp_path), pd.DataFrame({"t": [1.0], "y": [1], "known": [2.0]}), (0, 1), "knwon")


def test_a_list_of_triggers_is_a_whole_wish() -> None:
    spec = parse(PROJECT.replace("champion: strong", "retrain: [drift, quality]").encode())
    assert spec.endpoint is not None
    assert spec.endpoint.retrain is not None
    assert spec.endpoint.retrain.on == ("drift", "quality")
    assert spec.endpoint.retrain.window == (90 * DAY, "all")
