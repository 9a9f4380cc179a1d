"""The pipelines that `rivals ci init` writes, run as written: promoted, stopped at the gate, taken back."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rivals.flows.pipeline import pipeline_of
from rivals.values import Status
from tests.parts import ci_part

from .pipelines import Traffic, built, change, environment, make_project, replay, rivals, workspace

pytestmark = pytest.mark.slow

GOOD = ("C: 0.0001", "C: 0.1")
HURTS = ("own: [", "own: [{use: function, with: {function: 'flights:mirrored', columns: [hour, carrier]}}, ")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project before anybody changes it: everything is built."""
    folder = make_project(tmp_path_factory.mktemp("ci") / "flights", "gitlab")
    rivals(folder, "train", "-q")
    return folder


@pytest.fixture
def project(pristine: Path, tmp_path: Path) -> Path:
    """A copy of it, with a state of its own."""
    shutil.copytree(pristine.parent, tmp_path / "ci", symlinks=True)
    return tmp_path / "ci" / "flights"


@contextmanager
def production(folder: Path, shift_in: str = "") -> Iterator[Traffic]:
    """The endpoint, and flights of May that reach it while a rollout runs."""
    from flights import stream

    variables = environment(folder)
    before, os.environ["RIVALS_STATE"] = os.environ.get("RIVALS_STATE"), variables["RIVALS_STATE"]
    try:
        (folder / ".rivals").mkdir(exist_ok=True)  # where the example's server writes its log
        with replay.Server(folder) as server:
            traffic = Traffic(None, server, stream(5))
            traffic.prepare(shift_in)
            try:
                yield traffic
            finally:
                traffic.finish()
    finally:
        os.environ.pop("RIVALS_STATE") if before is None else os.environ.update(RIVALS_STATE=before)


def gitlab(folder: Path, release: str) -> subprocess.CompletedProcess[str]:
    """The whole pipeline of the branch, by gitlab-ci-local."""
    words = [ci_part("gitlab-ci-local"), "--shell-executor-no-image", "--concurrency", "2"]
    words += ["--variable", f"RIVALS_PIPELINE={release}"]
    return subprocess.run(
        words, cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=280, check=False
    )


def champion(folder: Path) -> str:
    return workspace(folder).table().champion


def test_a_change_that_hurts_one_slice_stops_at_the_gate_and_the_slice_is_named(project: Path) -> None:
    before = built(project)
    change(project, *HURTS)
    change(project, *GOOD)
    done = gitlab(project, "hurts")
    told, after = done.stdout + done.stderr, built(project)
    assert done.returncode != 0, told
    assert "slices: fail: it is worse where carrier=UA by" in told
    assert {name for name in after if after[name] != before[name]} == {"fresh"}, told
    known = pipeline_of(workspace(project), "hurts")
    assert (known.affected, known.rollout) == (("fresh",), "")


def test_a_good_change_goes_to_promoted_and_nothing_else_is_built(project: Path) -> None:
    before = built(project)
    change(project, *GOOD)
    with production(project):
        assert champion(project) == "legacy"
        done = gitlab(project, "good")
        assert done.returncode == 0, done.stdout + done.stderr
        assert champion(project) == "fresh"
    after = built(project)
    assert pipeline_of(workspace(project), "good").affected == ("fresh",)
    assert {name for name in after if after[name] != before[name]} == {"fresh"}


def test_what_passes_the_gate_and_fails_in_production_is_taken_back_by_the_watch(project: Path) -> None:
    change(project, *GOOD)
    with production(project, shift_in="canary"):  # from the first canary on, every label is the other one
        done = gitlab(project, "shifted")
        told = done.stdout + done.stderr
        assert done.returncode != 0, told
        assert "fresh was rolled back" in told
        assert champion(project) == "legacy"
        assert not workspace(project).store.active_rollouts("flights")
    report = pipeline_of(workspace(project), "shifted").gate
    assert report is not None
    assert report.status is Status.PASS
