"""The gate: what is planted is named, and a clean variant passes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest

from rivals.app import gate_report
from rivals.build.schema import breaks, infer, script
from rivals.errors import RolloutError
from rivals.flows.begin import start_rollout
from rivals.flows.gate import gate_project
from rivals.flows.schema import schema_script
from rivals.flows.serve import first_table
from rivals.flows.train import train_project
from rivals.flows.workspace import Workspace, open_workspace
from rivals.values import Status

PROJECT = """
project: gated
data: {source: {use: csv, with: {path: rows.csv}}, task: binary, target: y, time: t}
features: {plain: [{use: impute}, {use: encode}]}
variants:
  - {name: old, features: plain, family: sklearn, with: {estimator: LogisticRegression}}
  - {name: new, features: plain, family: sklearn, with: {estimator: LogisticRegression, C: 0.5}}
  - {name: blind, features: plain, family: sklearn, with: {estimator: LogisticRegression}, columns: [a, b, junk]}
gate:
  - {use: slices, with: {columns: [color], margin: 0.02}}
  - {use: behaviour, with: {invariance: [junk], direction: {a: up}, robustness: 0.6}}
  - {use: size, with: {max_kb: 500}}
  - {use: parity}
  - {use: schema}
endpoint: {name: gated, champion: old}
"""


def rows(seed: int = 0, many: int = 3_000) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    a, b, junk = rng.normal(size=(3, many))
    color = rng.choice(["red", "green"], many, p=[0.7, 0.3])
    chance = 1 / (1 + np.exp(-(a + b / 2 - 3 * (color == "green"))))
    frame = pd.DataFrame({"a": a, "b": b, "junk": junk, "color": color, "y": (rng.random(many) < chance).astype(int)})
    return frame.assign(t=np.arange(many) * 86_400.0 / 60)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("gated")
    (folder / "rivals.yaml").write_text(PROJECT)
    rows().to_csv(folder / "rows.csv", index=False)
    workspace = open_workspace(folder / "rivals.yaml")
    report = train_project(workspace)
    assert not report.failed
    return workspace


def said(workspace: Workspace, variant: str) -> dict[str, tuple[Status, str]]:
    return {one.judge: (one.status, one.reason) for one in gate_project(workspace, variant).verdicts}


def test_a_clean_variant_passes_every_judge(built: Workspace) -> None:
    found = gate_project(built, "new")
    assert {one.judge: one.status for one in found.verdicts} == dict.fromkeys(
        ("slices", "behaviour", "size", "parity", "schema"), Status.PASS
    ), [one.reason for one in found.verdicts]


def test_a_planted_slice_regression_fails_with_its_name_and_keeps_the_variant_from_going_live(built: Workspace) -> None:
    status, reason = said(built, "blind")["slices"]
    assert status is Status.FAIL
    assert re.search(r"worse where color=green by 0\.\d+", reason)
    first_table(built)
    with pytest.raises(RolloutError, match=r"The gate keeps 'blind' from going live: slices: it is worse where color="):
        start_rollout(built, "blind")


def changed(built: Workspace, **options: Any) -> Workspace:
    """The same project with another option of the judge of behaviour."""
    lines = built.file.read_text().replace(
        "invariance: [junk], direction: {a: up}, robustness: 0.6", options["behaviour"]
    )
    file = built.file.with_name("changed.yaml")
    file.write_text(lines)
    return open_workspace(file)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("direction: {a: down}", r"raising 'a' moves \d+% of the answers against 'down'"),
        ("invariance: [a]", r"answers move by 0\.\d+ when 'a' is dealt out anew"),
        ("robustness: 0.01", r"answers move by 0\.\d+ when 'color' is changed \(unseen\)"),
    ],
)
def test_a_planted_violation_of_behaviour_fails_with_a_sentence(built: Workspace, behaviour: str, reason: str) -> None:
    status, told = said(changed(built, behaviour=behaviour), "old")["behaviour"]
    assert status is Status.FAIL
    assert re.search(reason, told)


@pytest.mark.slow
def test_a_planted_schema_break_fails_and_is_told_at_the_next_build(built: Workspace, tmp_path: Path) -> None:
    file = built.folder / "rows.csv"
    before = file.read_text()
    try:
        rows(seed=1).assign(a=rows()["a"] * 100).replace({"color": {"green": "blue"}}).to_csv(file, index=False)
        report = train_project(built)
        assert any("column 'color' has texts it did not have: 'blue'" in note for note in report.notes)
        status, reason = said(built, "old")["schema"]
        assert status is Status.FAIL
        assert "column 'a' runs from" in reason
    finally:
        file.write_text(before)
        train_project(built)
    assert said(built, "old")["schema"][0] is Status.PASS


def test_reports_are_read_by_people_and_by_ci(built: Workspace) -> None:
    found = gate_project(built, "blind")
    page = gate_report.markdown(found)
    assert page.startswith("# Gate: blind against old: fail")
    assert "| slices | fail | it is worse where color=green" in page
    suite = ET.fromstring(gate_report.junit(found))
    assert (suite.get("tests"), suite.get("failures")) == ("5", "1")
    assert [case.get("name") for case in suite if case.find("failure") is not None] == ["slices"]


# -- schemas -----------------------------------------------------------------------------------------------


def test_what_is_as_it_was_breaks_nothing_and_every_break_is_named() -> None:
    kept = infer(rows())
    assert breaks(kept, rows(seed=7)) == []
    one = rows(seed=2)
    found = breaks(kept, one.drop(columns="b").assign(a=one["a"].astype(str), junk=one["junk"].where(one["junk"] > 0)))
    assert found == [
        "column 'a' holds texts, it held numbers",
        "column 'b' is gone",
        "column 'junk' is missing in 48% of the rows, it was in 0%",
    ]


def test_the_schema_is_given_to_the_user_as_pandera(built: Workspace) -> None:
    pandera = pytest.importorskip("pandera.pandas")
    names: dict[str, Any] = {}
    exec(compile(schema_script(built), "schema.py", "exec"), names)
    columns = [*names["schema"].columns]
    names["schema"].validate(rows(seed=3)[columns])
    with pytest.raises(pandera.errors.SchemaError):
        names["schema"].validate(rows(seed=3)[columns].assign(color="blue"))
    assert "pa.DataFrameSchema" in script({"schema": infer(rows())})
