"""Feedback in files: every format says the same, and any size fits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rivals.errors import DataError
from rivals.flows import feedback
from rivals.flows.feedback import take_feedback
from rivals.flows.workspace import Workspace, open_workspace

PROJECT = """
project: toy
data: {source: {use: csv, with: {path: rows.csv}}, task: binary, target: y}
variants: [{name: a, model: "./a"}]
endpoint: {name: toy, feedback: {rating: [1, 5]}}
"""

ROWS: list[dict[str, Any]] = [
    {"id": "0012/0", "unit": None, "from": None, "to": None, "label": 1, "rating": None, "note": "x"},
    {"id": "b/0", "unit": None, "from": None, "to": None, "label": None, "rating": 2.0, "note": "y"},
    {"id": None, "unit": "007", "from": 1.0, "to": 2.5, "label": None, "rating": 5.0, "note": "z"},
    {"id": "later/0", "unit": None, "from": None, "to": None, "label": None, "rating": None, "note": ""},
]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "rivals.yaml").write_text(PROJECT)
    return open_workspace(tmp_path)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    names = list(rows[0])
    match path.suffix:
        case ".csv":
            lines = [",".join("" if row[name] is None else str(row[name]) for name in names) for row in rows]
            path.write_text("\n".join([",".join(names), *lines]))
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
        case _:
            path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.mark.parametrize("name", ["told.csv", "told.parquet", "told.jsonl"])
def test_every_format_says_the_same_and_saying_it_again_changes_nothing(workspace: Workspace, name: str) -> None:
    path = write(workspace.folder / name, ROWS)
    counts = {"kept": 2, "unknown": 2, "contradicting": 0, "windows": 1}
    assert take_feedback(workspace, path) == {"read": 4, "new": 3, **counts}
    assert take_feedback(workspace, path) == {"read": 4, "new": 0, **counts}
    assert workspace.store.label("0012/0") == 1  # an id is a text, whatever it looks like


def test_a_file_is_taken_in_parts_or_not_at_all(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback, "AT_ONCE", 3)
    good = [{"id": f"{number}/0", "label": number % 2} for number in range(10)]
    bad = write(workspace.folder / "bad.jsonl", [*good, {"id": "x/0", "label": [1]}])
    with pytest.raises(DataError, match=r"bad\.jsonl: row 11 .*a label is a text or a number"):
        take_feedback(workspace, bad)
    assert workspace.store.feedback_counts()["kept"] == 0
    assert take_feedback(workspace, write(workspace.folder / "good.parquet", good))["new"] == 10


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.csv", "id,labels\nx,1", "row 1 has neither label nor reward"),
        ("a.csv", "id,reward\nx,much", "row 1 .*a reward is a number"),
        ("a.csv", "id,rating\nx,9", "a rating is a number from 1 to 5"),
        ("a.csv", "label\n1", "row 1 has no id"),
        ("a.csv", "unit,from,to,reward\nu,2,1,1", "the earlier one first"),
        ("a.jsonl", "{", "cannot be read as .jsonl"),
        ("a.jsonl", "7", "row 1 has neither"),
        ("a.parquet", "no", "cannot be read as .parquet"),
    ],
)
def test_what_cannot_be_read_is_named(workspace: Workspace, name: str, text: str, sentence: str) -> None:
    path = workspace.folder / name
    path.write_text(text)
    with pytest.raises(DataError, match=sentence):
        take_feedback(workspace, path)


def test_a_file_that_is_not_there_is_a_sentence(workspace: Workspace) -> None:
    with pytest.raises(DataError, match="no such file"):
        take_feedback(workspace, workspace.folder / "none.csv")


MILLION = """
import resource, sys, time
from pathlib import Path
from rivals.flows.feedback import take_feedback
from rivals.flows.workspace import open_workspace
workspace = open_workspace(Path(sys.argv[1]))
take_feedback(workspace, Path(sys.argv[2]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
started = time.monotonic()
print(take_feedback(workspace, Path(sys.argv[3])))
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
print(f"{time.monotonic() - started:.0f} s, {grown:.0f} MB more", file=sys.stderr)
assert grown < 150, grown
"""


@pytest.mark.slow
def test_a_million_rows_need_no_more_memory_than_some_ten_thousand(workspace: Workspace) -> None:
    files = []
    for many in (20_000, 1_000_000):
        path = workspace.folder / f"{many}.csv"
        with path.open("w") as stream:
            stream.write("id,label,reward\n")
            stream.writelines(
                f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}/0,{number % 2},0.5\n" for number in range(many)
            )
        files.append(str(path))
    done = subprocess.run(
        [sys.executable, "-c", MILLION, str(workspace.folder), *files], capture_output=True, text=True, check=False
    )
    print(done.stderr)
    assert done.returncode == 0, done.stderr
    assert "'read': 1000000, 'new': 980000, 'kept': 1000000" in done.stdout
