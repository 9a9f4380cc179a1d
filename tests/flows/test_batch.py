"""Files through variants: the same numbers as served, in the order of the rows, whatever happens on the way."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from rivals.bundles import columns_of
from rivals.errors import DataError, Refused, RivalsError
from rivals.flows import batch
from rivals.flows.batch import batch_project
from rivals.flows.train import train_project
from rivals.flows.workspace import Workspace, open_workspace
from rivals.serve.runtimes import open_bundle
from rivals.testing import sample

PROJECT = """
project: toy
data: {source: {use: function, with: {function: "rivals.testing:sample"}}, task: binary, target: y}
features: {plain: [{use: impute, with: {columns: numeric}}, {use: encode, with: {columns: text}}]}
variants:
  - {name: linear, features: plain, family: sklearn, with: {estimator: LogisticRegression}}
  - {name: boosted, features: plain, family: lightgbm, with: {n_estimators: 10, min_child_samples: 5}}
  - {name: both, family: ensemble, members: [linear, boosted]}
endpoint: {name: toys, champion: linear}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("batch")
    (folder / "rivals.yaml").write_text(PROJECT)
    workspace = open_workspace(folder)
    assert not train_project(workspace).failed
    return workspace


def rows(many: int, seed: int = 1) -> pd.DataFrame:
    frame = pd.concat([sample(seed=seed + place) for place in range(many // len(sample()) + 1)], ignore_index=True)
    return frame.head(many).drop(columns="y")


def served(workspace: Workspace, name: str, frame: pd.DataFrame) -> np.ndarray:
    opened = open_bundle(workspace.blobs.path(workspace.trained(name).digest), workspace.blobs.path)
    return opened.predict(columns_of(frame, opened.signature))[:, 1]


def content(folder: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.name != ".lock"}


def test_every_variant_says_what_it_says_when_served(built: Workspace, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(batch, "ROWS", 1_000)
    frame = rows(3_500)
    frame["key"] = [f"k{place}" for place in range(len(frame))]
    (tmp_path / "in").mkdir()
    frame.iloc[:3_000].to_parquet(tmp_path / "in" / "a.parquet", row_group_size=400)
    frame.iloc[3_000:].to_csv(tmp_path / "in" / "b.csv", index=False)
    made = batch_project(built, tmp_path / "in", tmp_path / "out", "all", keep=["key"])
    assert made.rows == 3_500
    assert made.parts == 5, "parts of at most 1,000 rows, and the CSV file"
    found = pd.concat([pq.read_table(tmp_path / "out" / name).to_pandas() for name in made.files], ignore_index=True)
    assert found.columns.tolist() == ["key", "row", "linear", "boosted", "both"]
    assert (found["key"] == frame["key"]).all(), "rows stay in order"
    assert found["row"].tolist() == [*range(3_000), *range(500)]
    for name in ("linear", "boosted", "both"):
        np.testing.assert_allclose(found[name], served(built, name, frame), atol=1e-6)


def test_the_champion_answers_where_nobody_is_named(built: Workspace, tmp_path: Path) -> None:
    rows(10).to_csv(tmp_path / "in.csv", index=False)
    made = batch_project(built, tmp_path / "in.csv", tmp_path / "out")
    assert made.variants == ("linear",)
    assert (tmp_path / "out" / "_SUCCESS").exists()


def test_what_is_there_is_not_scored_again_and_other_scores_are_not_mixed_in(built: Workspace, tmp_path: Path) -> None:
    rows(50).to_parquet(tmp_path / "in.parquet")
    first = batch_project(built, tmp_path / "in.parquet", tmp_path / "out")
    again = batch_project(built, tmp_path / "in.parquet", tmp_path / "out")
    assert (first.kept, again.kept) == (0, 1)
    with pytest.raises(Refused, match="holds scores of other variants"):
        batch_project(built, tmp_path / "in.parquet", tmp_path / "out", "boosted")
    rows(50, seed=9).to_parquet(tmp_path / "in.parquet")
    with pytest.raises(Refused, match="holds scores of other rows"):
        batch_project(built, tmp_path / "in.parquet", tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(Refused, match=r"is not empty \(thesis.txt\)"):
        batch_project(built, tmp_path / "in.parquet", tmp_path / "mine")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda frame: frame.drop(columns="a"), "in.parquet has no column 'a', which the variants need"),
        (lambda frame: frame.assign(a="x"), "in.parquet, rows 0 to 49: 'a' is of type .*string; the variants take a number"),
        (lambda frame: frame.assign(color=3), "'color' is of type int64; the variants take a text"),
    ],
)  # fmt: skip
def test_rows_that_do_not_fit_are_told_with_file_row_and_column(
    built: Workspace, tmp_path: Path, change, sentence: str
) -> None:
    change(rows(50)).to_parquet(tmp_path / "in.parquet")
    with pytest.raises(RivalsError, match=sentence):
        batch_project(built, tmp_path / "in.parquet", tmp_path / "out")
    assert not list((tmp_path / "out").glob("part-*")), "nothing half written"


def test_files_that_are_none_are_refused(built: Workspace, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There are no .parquet or .csv files at"):
        batch_project(built, tmp_path / "nothing", tmp_path / "out")
    (tmp_path / "in.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(DataError, match=r"in.parquet cannot be read"):
        batch_project(built, tmp_path / "in.parquet", tmp_path / "out")
    (tmp_path / "in.json").write_text("{}")
    with pytest.raises(DataError, match=r"in.json is neither .parquet nor .csv"):
        batch_project(built, tmp_path / "in.json", tmp_path / "out")


def test_a_file_without_rows_has_scores_without_rows(built: Workspace, tmp_path: Path) -> None:
    rows(0).astype({"a": float}).to_parquet(tmp_path / "in.parquet")
    assert batch_project(built, tmp_path / "in.parquet", tmp_path / "out").rows == 0


@pytest.mark.slow
def test_twenty_kills_leave_the_output_of_an_undisturbed_run(built: Workspace, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for place in range(24):
        rows(20_000, seed=place).to_parquet(source / f"{place:02}.parquet", row_group_size=5_000)
    words = [sys.executable, "-m", "rivals", "batch", str(source), "--variant", "all", "-q", "-f", str(built.file)]
    undisturbed = tmp_path / "once"
    started = time.monotonic()
    subprocess.run([*words[:5], str(undisturbed), *words[5:]], check=True, cwd=built.folder)
    whole = time.monotonic() - started
    chance, killed = random.Random(3), 0
    out = tmp_path / "killed"
    while killed < 20:
        process = subprocess.Popen([*words[:5], str(out), *words[5:]], cwd=built.folder, stderr=subprocess.DEVNULL)
        try:
            process.wait(chance.uniform(0.2, 0.9) * whole)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
        else:  # it came to its end before: begin anew
            for one in out.iterdir():
                one.unlink()
    subprocess.run([*words[:5], str(out), *words[5:]], check=True, cwd=built.folder)
    assert content(out) == content(undisturbed)
