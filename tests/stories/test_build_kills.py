"""A build is killed again and again; what comes out is what an undisturbed one gives."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rivals.flows.compare import compare_project
from rivals.flows.workspace import open_workspace

from .conftest import MODULE, PROJECT, rivals

KILLS = int(os.environ.get("KILLS", "20"))  # KILLS=100 for the whole proof: a quarter of an hour
State = dict[str, str]  # predictions by variant; which runtime is the quicker one is measured anew, and may differ


def state(folder: Path) -> State:
    workspace = open_workspace(folder)
    found: State = {}
    for one in workspace.store.trained_all():
        bank = folder / ".rivals" / "bank" / one.wish / "bank.parquet"
        found[one.variant] = hashlib.sha256(bank.read_bytes()).hexdigest()
    workspace.store.close()
    return found


def receipts(folder: Path) -> dict[str, int]:
    """Every variant that was ever built, and when."""
    return {str(one): one.stat().st_mtime_ns for one in (folder / ".rivals" / "bank").glob("*/made.json")}


def descendants(pid: int) -> list[int]:
    """All processes below this one."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def disturbed(folder: Path, rng: random.Random, limit: float) -> bool:
    """Start a build and kill a process of it at some moment; whether it was quicker than that."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rivals", "train", "-q"],
        cwd=folder, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        process.wait(rng.uniform(0.1, limit))
    except subprocess.TimeoutExpired:
        below = descendants(process.pid)
        victim = rng.choice(below) if below and rng.random() < 0.5 else process.pid
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        process.wait(120)
        return False
    return True


@pytest.mark.slow
def test_kills_at_random_moments_change_nothing_and_nothing_is_built_twice(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(MODULE.replace("rows=3000", "rows=1200"))
    (tmp_path / "rivals.yaml").write_text(PROJECT)
    calm = Path(shutil.copytree(tmp_path, tmp_path / "calm", ignore=shutil.ignore_patterns("calm")))
    began = time.monotonic()
    assert rivals("train", "-q", cwd=calm).returncode == 0
    limit = 1.2 * (time.monotonic() - began)
    expected, board = state(calm), compare_project(open_workspace(calm))
    rng, kills, builds = random.Random(11), 0, 0
    while kills < KILLS:
        folder = Path(
            shutil.copytree(tmp_path, tmp_path / f"wild{builds}", ignore=shutil.ignore_patterns("calm", "wild*"))
        )
        seen: dict[str, int] = {}
        while not disturbed(folder, rng, limit):
            kills += 1
            now = receipts(folder)
            assert {name: now.get(name) for name in seen} == seen  # built once
            seen = now
        assert rivals("train", "-q", cwd=folder).returncode == 0
        assert state(folder) == expected
        assert [(row.variant, row.score) for row in compare_project(open_workspace(folder)).rows] == [
            (row.variant, row.score) for row in board.rows
        ]
        left = [
            str(one) for one in (folder / ".rivals").rglob(".*") if one.name.startswith((".draft", ".bank", ".made"))
        ]
        assert left == []
        versions = open_workspace(folder).tracker._client.search_model_versions("name = 'toy'")
        assert len(versions) == len(expected)
        builds += 1
    print(f"{kills} kills over {builds} builds: one final state, every variant built once")
