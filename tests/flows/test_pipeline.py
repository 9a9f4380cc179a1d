"""The jobs of a pipeline before production: what is affected, built, gated, and made an image of."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rivals.errors import RivalsError, RolloutError
from rivals.flows.ci import build_image, report_pipeline
from rivals.flows.pipeline import (
    append_output,
    candidate,
    check_data,
    gate_pipeline,
    plan_pipeline,
    take_back,
    train_pipeline,
    watch_pipeline,
)
from rivals.flows.train import train_project
from rivals.flows.workspace import Workspace, open_workspace
from rivals.values import Status

PROJECT = """
project: toy
data: {source: {use: function, with: {function: "rivals.testing:sample"}}, task: binary, target: y}
features: {plain: [{use: impute, with: {columns: numeric}}, {use: encode, with: {columns: text}}]}
metrics: [log_loss]
variants:
  - {name: one, features: plain, family: sklearn, with: {estimator: LogisticRegression}}
  - {name: two, features: plain, family: sklearn, with: {estimator: LogisticRegression, C: 0.1}}
gate: [{use: noninferior, with: {metric: log_loss, margin: 0.5}}]
endpoint: {name: toys, champion: one}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipeline")
    (folder / "rivals.yaml").write_text(PROJECT)
    assert not train_project(open_workspace(folder)).failed
    return folder


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "project"))


def changed(folder: Path, before: str, after: str) -> Workspace:
    assert before in PROJECT
    (folder / "rivals.yaml").write_text(PROJECT.replace(before, after))
    return open_workspace(folder)


def no_event(_: object) -> None: ...


def gated(workspace: Workspace) -> str:
    plan_pipeline(workspace, "p")
    train_pipeline(workspace, "p", (), no_event)
    report = gate_pipeline(workspace, "p")
    assert report is not None
    assert report.status is Status.PASS
    return candidate(workspace, "p")


def test_only_what_the_change_affects_is_built_and_it_alone_is_the_candidate(folder: Path, tmp_path: Path) -> None:
    before = {one.variant: one.digest for one in open_workspace(folder).store.trained_all()}
    workspace = changed(folder, "C: 0.1", "C: 0.2")
    assert check_data(workspace) == []
    planned = plan_pipeline(workspace, "p")
    assert planned.affected == ("two",)
    append_output(planned, tmp_path / "outputs")
    assert (tmp_path / "outputs").read_text() == 'variants=["two"]\n'
    with pytest.raises(RolloutError, match="was not gated yet"):
        candidate(workspace, "p")
    assert train_pipeline(workspace, "p", ["one"], no_event) is None
    assert gated(workspace) == "two"
    after = {one.variant: one.digest for one in workspace.store.trained_all()}
    assert {name for name in after if after[name] != before[name]} == {"two"}
    assert plan_pipeline(workspace, "p").affected == ("two",), "a job that runs again finds what the first one found"
    assert "### Gate: two: pass" in report_pipeline(workspace, "p")


def test_what_was_built_anew_since_the_gate_does_not_go_on(folder: Path) -> None:
    gated(changed(folder, "C: 0.1", "C: 0.2"))
    workspace = changed(folder, "C: 0.1", "C: 0.3")
    assert not train_project(workspace).failed
    with pytest.raises(RolloutError, match="'two' was built anew since the gate looked at it"):
        candidate(workspace, "p")


def test_a_change_of_the_champion_itself_wants_another_name(folder: Path) -> None:
    workspace = changed(folder, "estimator: LogisticRegression}", "estimator: LogisticRegression, C: 3.0}")
    plan_pipeline(workspace, "p")
    train_pipeline(workspace, "p", (), no_event)
    with pytest.raises(RolloutError, match="Give the changed variant another name"):
        gate_pipeline(workspace, "p")


def test_a_change_that_affects_nothing_passes_through_all_jobs(folder: Path) -> None:
    workspace = open_workspace(folder)
    assert plan_pipeline(workspace, "p").affected == ()
    assert train_pipeline(workspace, "p", (), no_event) is None
    assert gate_pipeline(workspace, "p") is None
    assert candidate(workspace, "p") == ""
    assert build_image(workspace, "p") == "The change affects no variant: no image."
    assert watch_pipeline(workspace, "p", 1.0, no_event).status is Status.PASS
    assert take_back(workspace, "p") == "Nothing of this pipeline is in production."


@pytest.mark.parametrize("name", ["", "../p", "a b", "x" * 129])
def test_a_pipeline_has_an_id_that_is_a_name(folder: Path, name: str) -> None:
    with pytest.raises(RivalsError, match="pipeline"):
        plan_pipeline(open_workspace(folder), name)


def test_an_image_is_built_from_a_folder_that_is_complete_or_skipped_loudly(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = changed(folder, "C: 0.1", "C: 0.2")
    gated(workspace)
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setenv("PATH", str(tools))
    assert build_image(workspace, "p").startswith("SKIPPED: no image was built")
    docker = tools / "docker"  # the edge of what cannot run everywhere: it writes down what it was told
    docker.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path / "told"}\n')
    docker.chmod(0o755)
    assert "The image of two is built" in build_image(workspace, "p")
    out = workspace.state / "image" / "p"
    assert (tmp_path / "told").read_text().splitlines()[-1] == f"compose -f {out / 'compose.yaml'} build"
    assert [path.name for path in (out / "variant-two" / "bundles").iterdir()] == [workspace.trained("two").digest]
    assert list((out / "wheels").glob("rivals-*.whl"))
