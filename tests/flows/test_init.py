"""`rivals init` makes projects that run as they are; `rivals doctor` says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from rivals.errors import SpecError
from rivals.flows import doctor
from rivals.flows.compare import compare_project
from rivals.flows.doctor import examine
from rivals.flows.init import TEMPLATES, init_project
from rivals.flows.train import train_project
from rivals.flows.workspace import open_workspace

NAMES = sorted(path.name for path in TEMPLATES.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_every_template_opens_as_a_project_without_a_fault(name: str, tmp_path: Path) -> None:
    assert "rivals.yaml" in init_project(tmp_path / "new", name)
    assert open_workspace(tmp_path / "new").spec.variants
    assert [one for one in examine([tmp_path / "new"]) if one.state == "broken"] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_template_trains_and_compares(name: str, tmp_path: Path) -> None:
    init_project(tmp_path, name)
    workspace = open_workspace(tmp_path)
    report = train_project(workspace)
    assert not report.failed
    board = compare_project(workspace)
    assert {row.variant for row in board.rows} == {one.name for one in workspace.spec.variants}
    assert not board.apart


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "rivals.yaml").write_text("mine")
    with pytest.raises(SpecError, match="is there already; name another folder"):
        init_project(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["rivals.yaml"]
    with pytest.raises(SpecError, match=r"No template is called 'binry'. Did you mean 'binary'"):
        init_project(tmp_path / "x", "binry")


def test_the_doctor_names_what_is_broken_and_how_to_mend_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    init_project(tmp_path)
    file = tmp_path / "rivals.yaml"
    file.write_text(file.read_text().replace("lightgbm", "lightgmb"))
    (tmp_path / ".rivals").mkdir(mode=0o755)
    wanted = ["numpy>=99", "absent-thing>=1; extra == 'build'"]
    monkeypatch.setattr(doctor, "requires", lambda _: wanted)
    found = {one.what: one for one in examine([tmp_path])}
    assert found["project"].state == "broken"
    assert "Did you mean 'lightgbm'?" in found["project"].told
    assert found["packages of rivals"].state == "broken"
    assert found["packages of rivals[build]"].told == "absent-thing is not installed; pip install 'rivals[build]'"
    assert found["packages of rivals[build]"].state == "missing"
    file.write_text(file.read_text().replace("lightgmb", "lightgbm"))
    assert {one.what: one for one in examine([file])}["state"].told.startswith(f"{tmp_path / '.rivals'} can be read")
