"""A past run is built again to the last bit, or it is said what was not the same."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rivals.build.bank import Bank
from rivals.errors import RivalsError
from rivals.flows.provenance import compared, differ, find, hashed, lineage_of
from rivals.flows.reproduce import reproduce
from rivals.flows.train import train_project
from rivals.flows.workspace import Workspace, open_workspace

LOADER = """
import pandas as pd


def load():
    return pd.read_csv({file!r})
"""
PROJECT = """
project: again
data: {source: {use: csv, with: {path: rows.csv}}, task: binary, target: y, id: row}
features: {all: [{use: impute, with: {columns: numeric}}]}
variants:
  - {name: plain, features: all, family: sklearn, with: {estimator: LogisticRegression}}
  - {name: own, features: all, family: sklearn, with: {estimator: mine.Own}}
  - name: searched
    features: all
    family: sklearn
    with: {estimator: LogisticRegression}
    tune: {use: random, with: {space: {C: {float: [0.001, 10], log: true}}}}
tuning: {trials: 5}
"""
MINE = """
from sklearn.linear_model import LogisticRegression

STRENGTH = 0.1


class Own(LogisticRegression):
    def fit(self, X, y, sample_weight=None):
        self.C = STRENGTH
        return super().fit(X, y)
"""


def write(folder: Path, strength: str = "0.1") -> str:
    """The project and its module, of a name that no other test has imported."""
    name = f"mine_{abs(hash(str(folder)))}"
    (folder / "rivals.yaml").write_text(PROJECT.replace("mine.Own", f"{name}.Own"))
    (folder / f"{name}.py").write_text(MINE.replace("0.1", strength))
    return name


def git(folder: Path, *words: str) -> str:
    settings = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", *settings, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def rows(folder: Path, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    lines = ["row,a,b,y"]
    for number, (a, b) in enumerate(rng.normal(size=(300, 2))):
        lines.append(f"{number},{a:.6f},{b:.6f},{int(rng.random() < 1 / (1 + np.exp(b - a)))}")
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A project in a repository's folder, its data unknown to git, built with a change that is not committed."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    folder = tmp_path / "repository" / "models"
    folder.mkdir(parents=True)
    module = folder / f"{write(folder)}.py"
    module.rename(tmp_path / module.name)
    (folder / ".gitignore").write_text("*.csv\n.rivals\n")
    (folder / "README.md").write_text("old\n")
    git(folder.parent, "init", "-q", "-b", "main")
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "-q", "-m", "first")
    rows(folder)
    (tmp_path / module.name).rename(module)  # never committed
    (folder / "README.md").write_text("new\n")
    workspace = open_workspace(folder)
    report = train_project(workspace)
    assert not report.failed
    return workspace


@pytest.mark.slow
def test_a_run_is_built_again_whatever_the_code_is_now(made: Workspace) -> None:
    write(made.folder, "10.0")
    file = made.folder / "rivals.yaml"
    file.write_text(file.read_text().replace("[0.001, 10]", "[5, 10]"))
    before = git(made.folder, "status", "--porcelain")
    for name in ("own", "searched", made.trained("plain").wish[:8]):
        found = reproduce(made, name)
        assert found.same, found
        assert found.hashes[0] == found.hashes[1]
        assert found.rows.count == 300
        assert found.differs == ()
    assert git(made.folder, "status", "--porcelain") == before
    assert git(made.folder, "worktree", "list").count("\n") == 0  # the worktree is gone


@pytest.mark.slow
def test_data_that_changed_is_named_and_nothing_is_built(made: Workspace) -> None:
    rows(made.folder, seed=1)
    with pytest.raises(RivalsError, match=r"the data of source 'csv' is not what it was \(column a changed"):
        reproduce(made, "plain")
    assert git(made.folder, "worktree", "list").count("\n") == 0


@pytest.mark.slow
def test_a_commit_that_is_gone_and_a_build_nobody_knows_are_sentences(made: Workspace) -> None:
    for name, sentence in (("plian", "Did you mean 'plain'"), ("0" * 8, "no build"), ("abc", "no build")):
        with pytest.raises(RivalsError, match=sentence):
            find(made, name)
    kept = next((made.state / "bank").glob("*/lineage.json"))
    wish = kept.parent.name
    kept.write_text(kept.read_text().replace(git(made.folder, "rev-parse", "HEAD"), "1" * 40))
    with pytest.raises(RivalsError, match="Commit 111111111111 is not in this repository"):
        reproduce(made, wish)


@pytest.mark.slow
def test_without_git_the_folder_as_it_is_stands_for_the_commit(tmp_path: Path) -> None:
    rows(tmp_path)
    name = write(tmp_path)
    workspace = open_workspace(tmp_path)
    train_project(workspace, ["own"])
    assert reproduce(workspace, "own").same
    write(tmp_path, "10.0")
    found = reproduce(workspace, "own")
    assert not found.same
    assert found.rows.differ > 0
    assert any(one.startswith(f"code {name}") for one in found.differs), found.differs


@pytest.mark.slow
def test_two_builds_differ_in_what_was_changed_between_them(made: Workspace) -> None:
    first = made.trained("own").wish
    name = write(made.folder, "10.0")
    rows_before = (made.folder / "rows.csv").read_text()
    (made.folder / "rows.csv").write_text(rows_before.replace("\n7,", "\n9007,"))
    script = (
        "from rivals.flows.train import train_project; from rivals.flows.workspace import open_workspace;"
        f"train_project(open_workspace(__import__('pathlib').Path({str(made.folder)!r})), ['own'])"
    )
    subprocess.run([sys.executable, "-c", script], check=True)  # this process has imported the module as it was
    found = differ(made, first, "own")
    assert any(one.startswith(f"code {name}") for one in found.code)
    assert found.data == ("column row changed",)
    assert found.config == found.environment == ()
    assert found.rows.differ > 200
    assert found.rows.only == (1, 1)
    assert found.metrics["log_loss"][0] != found.metrics["log_loss"][1]
    assert [row.id for row in found.rows.top]
    same = differ(made, first, first)
    assert (same.code, same.rows.differ, same.rows.most) == ((), 0, 0.0)


def test_rows_are_compared_by_id_in_any_order() -> None:
    outputs = np.array([[0.2, 0.8], [0.6, 0.4], [0.5, 0.5]])
    one = Bank(np.array(["a", "b", "c"], object), np.zeros(3, int), np.array([1, 0, 1]), outputs, "binary", (0, 1))
    turned = one.where(np.array([True, True, False]))
    off = np.array([[0.0, 0.0], [0.25, -0.25]])
    turned = replace(turned, ids=turned.ids[::-1], outputs=turned.outputs[::-1] + off)
    found = compared(one, turned)
    assert (found.count, found.differ, found.only) == (2, 1, (1, 0))
    assert found.most == pytest.approx(0.25)
    assert found.top[0].id == "a"
    assert hashed(one) != hashed(turned)


@pytest.mark.slow
def test_one_query_joins_run_data_and_rollouts(made: Workspace) -> None:
    found = lineage_of(made)
    assert {one.variant for one in found} == {"plain", "own", "searched"}
    for one in found:
        assert one.commit == git(made.folder, "rev-parse", "HEAD")
        assert one.dirty
        assert len(one.data) == 64
        assert one.run
        assert one.trained["log_loss"] > 0
        assert one.live == {}
    assert [one.variant for one in lineage_of(made, "own")] == ["own"]
