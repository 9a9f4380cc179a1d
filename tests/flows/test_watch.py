from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rivals.errors import DataError
from rivals.flows.project import Project

PROJECT = """
project: toy
data: {source: {use: csv, with: {path: rows.csv}}, task: binary, target: y}
features: {all: [{use: scale, with: {columns: numeric}}]}
variants:
  - {name: one, features: all, family: sklearn, with: {estimator: LogisticRegression}}
  - {name: same, features: all, family: sklearn, with: {estimator: MLPClassifier}}
  - {name: narrow, features: all, columns: [a], family: sklearn, with: {estimator: LogisticRegression}}
"""


def project(folder: Path, **more: np.ndarray) -> Project:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 400))
    y = (rng.random(400) < 1 / (1 + np.exp(-a - b))).astype(int)
    pd.DataFrame({"a": a, "b": b, **{name: value + y for name, value in more.items()}, "y": y}).to_csv(
        folder / "rows.csv", index=False
    )
    (folder / "rivals.yaml").write_text(PROJECT)
    return Project(folder)


def test_each_way_of_preparing_is_checked_once_and_a_clean_one_is_clean(tmp_path: Path) -> None:
    assert project(tmp_path).leaks() == {"one": (), "narrow": ()}


def test_a_column_that_tells_all_is_named(tmp_path: Path) -> None:
    found = project(tmp_path, refund=np.zeros(400)).leaks()["one"]
    assert [leak.reason.split()[0] for leak in found] == ["refund"]


def test_a_project_that_trains_nothing_has_nothing_to_check(tmp_path: Path) -> None:
    made = project(tmp_path)
    (tmp_path / "rivals.yaml").write_text(
        PROJECT.split("variants:", maxsplit=1)[0] + "variants: [{name: old, model: m}]\n"
    )
    with pytest.raises(DataError, match="no evaluation to check"):
        Project(made.workspace.file).leaks()
