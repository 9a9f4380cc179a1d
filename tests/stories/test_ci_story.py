"""The pipelines that `rivals ci init` writes, run as written: promoted, stopped at the gate, taken back."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.parts import ci_part

from . import pipelines
from .pipelines import Traffic, built, change, environment, make_project, released, replay, rivals, workspace

pytestmark = pytest.mark.slow

GOOD = ("C: 0.0001", "C: 0.1")
HURTS = ("own: [", "own: [{use: function, with: {function: 'flights:mirrored', columns: [hour, carrier]}}, ")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as it is before anybody changes it: everything is built."""
    folder = make_project(tmp_path_factory.mktemp("ci") / "flights", "gitlab")
    rivals(folder, "train", "-q")
    return folder


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


def test_a_change_that_hurts_one_slice_stops_at_the_gate_and_the_slice_is_named(first: Path) -> None:
    before = built(first)
    change(first, *HURTS)
    done = gitlab(first, "hurts")
    told = done.stdout + done.stderr
    after = built(first)
    change(first, *reversed(HURTS))
    assert done.returncode != 0, told
    assert "slices: fail: it is worse where carrier=UA by" in told
    assert {name for name in after if after[name] != before[name]} == {"fresh"}, told
    assert released(first, "hurts")["affected"] == ["fresh"]
    assert released(first, "hurts")["rollout"] == ""


def test_a_good_change_goes_to_promoted_and_nothing_else_is_built(first: Path) -> None:
    before = built(first)
    change(first, *GOOD)
    with production(first):
        assert champion(first) == "legacy"
        done = gitlab(first, "good")
        assert done.returncode == 0, done.stdout + done.stderr
        assert champion(first) == "fresh"
    after = built(first)
    assert released(first, "good")["affected"] == ["fresh"]
    assert {name for name in after if after[name] != before[name]} == {"fresh"}


def test_what_passes_the_gate_and_fails_in_production_is_taken_back_by_the_watch(first: Path) -> None:
    state = first.parent / "state"
    pipelines.shutil.copytree(
        first, first.parent / "again" / "flights", ignore=pipelines.shutil.ignore_patterns(".rivals")
    )
    assert state.exists()
