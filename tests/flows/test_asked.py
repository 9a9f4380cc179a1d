from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from rivals.app.cli import app
from rivals.build import bank
from rivals.build.bank import Bank
from rivals.errors import DataError, RivalsError, SpecError
from rivals.flows.asked import Asked, ask
from rivals.flows.report import render, write_report
from rivals.flows.workspace import Workspace, open_workspace
from rivals.statistics.losses import metric
from rivals.values import Scores, Trained, Version

DAYS, EACH = 40, 50
ROWS = DAYS * EACH
PROJECT = """
project: toy
data: {{source: {{use: csv, with: {{path: rows.csv}}}}, task: {task}, target: y, id: id, time: t, ignore: [where], split: {{by: time}}}}
metrics: [{metric}]
variants:
{variants}
endpoint: {{name: toy, champion: plain}}
"""
Make = Callable[..., Workspace]


@pytest.fixture
def banked(tmp_path: Path) -> Make:
    """A project whose variants have answered already: nothing is trained."""

    def make(task: str = "binary", **said: np.ndarray) -> Workspace:
        rng = np.random.default_rng(0)
        chance = rng.uniform(0.05, 0.95, ROWS)
        where = np.where(np.arange(ROWS) % 5 == 0, "far", "near")
        target = (rng.random(ROWS) < chance).astype(int) if task == "binary" else 10 * chance + rng.normal(0, 1, ROWS)
        blurred = np.clip(0.8 * chance + 0.1 + rng.normal(0, 0.03, ROWS), 0.01, 0.99)
        said = said or {
            "plain": blurred,
            "sharp": chance,
            "patchy": np.where(where == "far", 1 - chance, chance),
        }
        frame = pd.DataFrame({"id": np.arange(ROWS) + 1000, "t": 86_400.0 * (np.arange(ROWS) // EACH), "x": chance, "where": where, "y": target})  # fmt: skip
        frame.to_csv(tmp_path / "rows.csv", index=False)
        lines = "\n".join(f"  - {{name: {name}, family: sklearn}}" for name in said)
        measured = "log_loss" if task == "binary" else "rmse"
        (tmp_path / "rivals.yaml").write_text(PROJECT.format(task=task, metric=measured, variants=lines))
        workspace = open_workspace(tmp_path)
        fold = np.arange(ROWS) * 4 // ROWS
        for i, (name, one) in enumerate(said.items()):
            outputs = np.column_stack([1 - one, one]) if task == "binary" else 10 * one[:, None]
            kept = Bank(
                frame["id"].astype(str).to_numpy(object), np.where(fold == 3, -1, fold), target, outputs, task,
                (0, 1) if task == "binary" else (), time=frame["t"].to_numpy(),
            )  # fmt: skip
            bank.write(workspace.state / "bank" / f"wish-{name}", kept)
            built = Trained(name, "d", f"wish-{name}", Scores({}), 1.0, 10.0 * (i + 1), 1000 - 100 * i, "native", 0.0)
            with workspace.store.transaction() as tx:
                tx.put_trained(built, Version(name, "d"))
        return workspace

    return make


@pytest.fixture
def asked(banked: Make) -> Asked:
    return ask(banked())


@pytest.mark.parametrize("name", ["log_loss", "roc_auc", "neg_brier_score", "balanced_accuracy"])
def test_any_metric_is_asked_afterwards(asked: Asked, name: str) -> None:
    found = asked.board(name).board
    assert found.rows[0].variant == "sharp"
    assert found.honest is not None
    assert found.honest.low < found.honest.estimate < found.honest.high


def test_a_threshold_changes_decisions_and_the_best_one_is_not_worse(asked: Asked) -> None:
    strict = asked.board("f1", 0.9).board
    tuned = asked.board("f1", "best")
    assert tuned.board.row("sharp").score > strict.row("sharp").score
    assert tuned.thresholds is not None
    assert 0.2 < tuned.thresholds["sharp"] < 0.6


@pytest.mark.parametrize(
    ("name", "threshold", "told"),
    [("log_loss", 0.5, "looks at probabilities"), ("f1", 1.5, "between 0 and 1"), ("f1", "bset", "between 0 and 1")],
)
def test_a_threshold_that_makes_no_sense_is_said_so(asked: Asked, name: str, threshold: float, told: str) -> None:
    with pytest.raises(SpecError, match=told):
        asked.board(name, threshold)


def test_a_planted_regression_is_found_in_its_slice_alone(asked: Asked) -> None:
    found = {(one.variant, one.value): one for one in asked.sliced("where")}
    assert found["patchy", "far"].verdict == "worse"
    assert found["patchy", "near"].verdict == "better"
    assert found["plain", "far"].verdict == "champion"
    assert found["patchy", "far"].rows + found["patchy", "near"].rows == ROWS


def test_numbers_are_cut_into_bands(asked: Asked) -> None:
    assert len({one.value for one in asked.sliced("x")}) == 5


def test_a_column_that_is_not_there_and_a_source_that_changed_are_said_so(banked: Make, tmp_path: Path) -> None:
    asked = ask(banked())
    with pytest.raises(DataError, match="no column 'whre'"):
        asked.sliced("whre")
    frame = pd.read_csv(tmp_path / "rows.csv")
    frame.assign(y=1 - frame["y"]).to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(DataError, match="no longer gives the rows"):
        asked.sliced("where")


def test_an_ensemble_is_compared_without_being_built(asked: Asked) -> None:
    found = asked.ensemble("both", ["plain", "sharp"]).board()
    both = (asked.outputs("plain") + asked.outputs("sharp")) / 2
    assert found.board.row("both").score == pytest.approx(metric("log_loss").compute(asked.first.target, both, None))
    assert found.board.row("both").predict_us == 30.0


def test_tests_and_posterior_agree_who_is_better(asked: Asked) -> None:
    assert asked.test("sharp", "patchy", "mcnemar").low > 0
    assert asked.test("sharp", "patchy", "delong").low > 0
    assert asked.test("sharp", "patchy", "corrected_t", "log_loss").difference < 0
    assert asked.practically("sharp", "patchy", 0.01).below > 0.9
    with pytest.raises(SpecError, match="corrected_t, mcnemar"):
        asked.test("sharp", "patchy", "welch")


def test_true_chances_are_calibrated_and_inverted_ones_are_not(asked: Asked) -> None:
    assert asked.calibration("sharp").error < 0.04
    assert asked.calibration("patchy").error > 0.06


def test_the_front_holds_whom_nobody_beats_in_everything(asked: Asked) -> None:
    assert set(asked.board().front) == {"plain", "sharp", "patchy"}  # fast, good, small
    one = asked.entries[2]
    worse = replace(asked, entries=(*asked.entries, replace(one, variant="fat", bytes=9999, predict_us=99.0)))
    assert "fat" not in worse.board().front


def test_a_regression_is_asked_the_same_way(banked: Make) -> None:
    workspace = banked("regression")
    assert ask(workspace).answer("mae", "where").board.rows[0].variant == "sharp"
    with pytest.raises(SpecError, match="binary"):
        ask(workspace).calibration("sharp")
    with pytest.raises(SpecError, match="binary"):
        ask(workspace).answer("r2", threshold="best")


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_the_report_is_one_file_that_asks_for_nothing_else(banked: Make, tmp_path: Path, task: str) -> None:
    asked = ask(banked(task))
    file = write_report(asked, asked.answer(column="where"), tmp_path / "new" / "report.html", "where")
    whole = file.read_text()
    ET.fromstring(whole.split("</head>")[1].replace("</html>", "").replace(" class=take", ""))
    shown = ["Leaderboard", "Slices by where", "Disagreement", "differ most", "Take "]
    shown += ["Calibration", "ROC", "Precision and recall", "DeLong"] if task == "binary" else ["Residuals"]
    assert [one for one in shown if one not in whole] == []
    assert [one for one in ("<script", "http:", "https:", "url(", "src=", "<link") if one in whole] == []
    assert "nan" not in whole


def test_names_from_outside_cannot_write_html(asked: Asked) -> None:
    hostile = replace(asked, entries=(replace(asked.entries[0], variant="<b>&"), *asked.entries[1:]))
    whole = render(hostile, hostile.answer())
    assert "<b>" not in whole
    assert "&lt;b&gt;&amp;" in whole


def test_a_report_that_cannot_be_written_is_said_so(asked: Asked, tmp_path: Path) -> None:
    with pytest.raises(RivalsError, match="cannot be written"):
        write_report(asked, asked.answer(), tmp_path)


def test_the_command_line_answers_with_everything(banked: Make, tmp_path: Path) -> None:
    banked()
    file = tmp_path / "report.html"
    words = ["compare", "-f", str(tmp_path), "--metric", "f1", "--slice", "where", "--threshold", "best", "--html"]
    told = CliRunner().invoke(app, [*words, str(file)]).stdout
    assert [
        one for one in ("Take ", "Expect f1", "score, time and size", "Best threshold", "far") if one not in told
    ] == []
    found = json.loads(CliRunner().invoke(app, [*words, str(file), "--json", "-q"]).stdout)
    assert {"rows", "recommended", "reason", "honest", "slices", "front", "thresholds"} <= found.keys()
    assert file.read_text().startswith("<!doctype html>")
