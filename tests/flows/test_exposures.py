"""The endpoint's own rows as a source: what was asked and what became of it, from the store and the archive alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rivals.build.rows import prepare
from rivals.errors import DataError
from rivals.flows.archive import archive_of
from rivals.flows.exposures import Exposures
from rivals.flows.workspace import Workspace, open_workspace
from rivals.values import Feedback
from tests.registry.conftest import a_close, an_exposure

DAY = 86_400.0
PROJECT = """
project: toy
data: {{source: {{use: csv, with: {{path: rows.csv}}}}, task: binary, target: y, time: t, label_delay: 2d}}
variants: [{{name: a, model: "./a"}}]
endpoint: {{name: e, rollout: {{block: 1d}}{capture}}}
"""


def asked(folder: Path, capture: str = ", capture: {features: all}") -> Workspace:
    (folder / "rivals.yaml").write_text(PROJECT.format(capture=capture))
    workspace = open_workspace(folder)
    days = [0.0, 1.0, 6.0, 40.0]
    opens = [an_exposure(f"r{i}/0", time=day * DAY, unit=f"u{i}") for i, day in enumerate(days)]
    opens.append(an_exposure("r0/0", variant="new", shadow=True, time=0.0, unit="u0"))
    closes = [a_close(one.id, one.variant) for one in opens]
    labels = [Feedback(f"r{i}/0", i % 2, time=50 * DAY) for i in range(3)]
    inputs = [(f"r{i}/0", json.dumps({"x": float(i)}).encode()) for i in range(4)]
    workspace.store.ship("journal", 1, opens, closes, labels, inputs)
    return workspace


def source(folder: Path, **options: float) -> Exposures:
    return Exposures(str(folder / "rivals.yaml"), **options)


def test_what_was_asked_and_has_a_label_is_a_row_once_and_in_order(tmp_path: Path) -> None:
    workspace = asked(tmp_path)
    before = source(tmp_path)
    rows = before.read()
    assert rows.to_dict("list") == {"x": [0.0, 1.0, 2.0], "y": [0, 1, 0], "t": [0.0, DAY, 6 * DAY]}
    archive = archive_of(workspace)
    while archive.move(5 * DAY):
        pass
    assert archive.days()
    assert source(tmp_path).digest() == before.digest()  # wherever they are kept
    assert source(tmp_path, since=DAY).read()["x"].tolist() == [1.0, 2.0]


def test_a_row_whose_project_names_an_id_has_that_of_its_exposure(tmp_path: Path) -> None:
    asked(tmp_path)
    file = tmp_path / "rivals.yaml"
    file.write_text(file.read_text().replace("target: y,", "target: y, id: number,"))
    rows = source(tmp_path).read()
    assert rows["number"].tolist() == ["r0/0", "r1/0", "r2/0"]
    assert prepare(rows, open_workspace(tmp_path).spec.data).ids.tolist() == rows["number"].tolist()


def test_a_label_that_comes_later_makes_other_rows(tmp_path: Path) -> None:
    workspace = asked(tmp_path)
    before = source(tmp_path).digest()
    workspace.store.ship("journal", 2, [], [], [Feedback("r3/0", 1, time=51 * DAY)])
    assert source(tmp_path).digest() != before


def test_where_nothing_was_captured_a_sentence_says_what_to_set(tmp_path: Path) -> None:
    asked(tmp_path, capture="")
    with pytest.raises(DataError, match=r"endpoint\.capture\.features: all"):
        source(tmp_path).read()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "rivals.yaml").write_text(PROJECT.format(capture=", capture: {features: all}"))
    with pytest.raises(DataError, match="has a label yet"):
        source(tmp_path / "other").read()
