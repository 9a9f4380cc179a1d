"""A search is killed again and again: no finished trial is lost, and none is tried again."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .test_build_kills import descendants

KILLS = int(os.environ.get("KILLS", "10"))  # KILLS=50 for the whole proof
MODULE = """
import os
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression


def load(rows=900):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, rows))
    frame = pd.DataFrame({"a": a, "b": b})
    frame["y"] = (rng.random(rows) < 1 / (1 + np.exp(b - a))).astype(int)
    return frame


class Told(LogisticRegression):
    def fit(self, X, y, sample_weight=None):
        here = os.open(os.environ["TOLD"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(here, f"{len(X)} {self.C!r}\\n".encode())
        os.close(here)
        return super().fit(X, y)
"""
PROJECT = """
project: kills
data: {source: {use: function, with: {function: "killed:load"}}, task: binary, target: y}
features: {all: [{use: scale}]}
variants:
  - name: told
    features: all
    family: sklearn
    with: {estimator: killed.Told}
    tune: {use: random, with: {space: {C: {float: [0.001, 1000], log: true}}}}
  - name: more
    features: all
    family: sklearn
    with: {estimator: killed.Told, tol: 0.001}
    tune: {use: optuna, with: {space: {C: {float: [0.001, 1000], log: true}}}}
tuning: {trials: 100000}
"""


def finished(folder: Path) -> dict[str, str]:
    return {str(file): file.read_text() for file in (folder / ".rivals" / "tuning").glob("*/*.json")}


def moment(process: subprocess.Popen[bytes], log: Path, rng: random.Random) -> bool:
    """Wait some seconds; or, however busy the machine is, for some fits. Whether the search ended before that."""
    enough, until = log.stat().st_size + rng.randrange(20, 4000), time.monotonic() + 120
    if rng.random() < 1 / 3:
        enough, until = sys.maxsize, time.monotonic() + rng.uniform(0.1, 9.0)
    while time.monotonic() < until and log.stat().st_size < enough:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0.01, 0.1))
            return True
    return False


def killed(folder: Path, log: Path, rng: random.Random) -> int:
    """Start a search, kill a process of it in two of three cases, and then itself; how many kills that were."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rivals", "train", "-q"],
        cwd=folder, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    kills = 0
    for victim in (*([None] * (rng.random() < 2 / 3)), process.pid):
        if moment(process, log, rng):
            assert process.returncode != 0, "the search ended by itself: give it more trials"
            return kills  # what died was needed before any trial, and the build says so
        below = descendants(process.pid)
        if victim or below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim or rng.choice(below), signal.SIGKILL)
                kills += 1
    process.wait(60)
    return kills


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_kills_at_random_moments_lose_no_finished_trial_and_repeat_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "killed.py").write_text(MODULE)
    (tmp_path / "rivals.yaml").write_text(PROJECT)
    log = tmp_path / "told.txt"
    log.touch()
    monkeypatch.setenv("TOLD", str(log))
    rng, known, kills = random.Random(5), dict[str, str](), 0
    while kills < KILLS:
        heard = len(log.read_text())
        kills += killed(tmp_path, log, rng)
        now = finished(tmp_path)
        assert known.items() <= now.items()
        fitted = {line.split()[1] for line in log.read_text()[heard:].splitlines()}
        done = {repr(json.loads(one)["params"].get("C")) for one in known.values()}
        assert not fitted & done
        known = now
    assert len(known) > 5 * KILLS
    assert not list((tmp_path / ".rivals" / "tuning").glob("*/*.part"))
