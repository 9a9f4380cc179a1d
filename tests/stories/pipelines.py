"""A small flights project in git, its production as a process, and traffic that goes on while a pipeline runs."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FLIGHTS = ROOT / "examples" / "flights"
sys.path.insert(0, str(FLIGHTS))

import replay  # noqa: E402 -- it lies beside the example

from rivals.flows.workspace import Workspace, open_workspace  # noqa: E402

VARIANTS = """variants:
  - {name: legacy, model: "flights:legacy"}
  - {name: plain, features: scaled, family: sklearn, with: {estimator: LogisticRegression, C: 0.001, max_iter: 300}}
  - {name: fresh, features: own, family: sklearn, with: {estimator: LogisticRegression, C: 0.0001, max_iter: 300}}
"""
OWN = "  own: [{use: impute, with: {columns: numeric}}, {use: scale, with: {columns: numeric}}, {use: encode, with: {columns: [carrier, origin, dest]}}]\n"
ENDPOINT = """gate:
  - {use: slices, with: {columns: [carrier], margin: 0.02}}
  - {use: noninferior, with: {metric: log_loss, margin: 0.01}}
endpoint:
  name: flights
  champion: legacy
  autonomy: act
  cooldown: 0s
  rollout: {steps: [25%, 50%], every: 1d, deadline: 60d, block: 1d, watch: 3d, judges: [failures, quality]}
"""
MIRRORED = '''

def mirrored(x):
    """The hours of one carrier, backwards: everybody else is as good as before."""
    x = x.copy()
    x["hour"] = x["hour"].where(x["carrier"] != "UA", 28 - x["hour"])
    return x
'''


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=someone", "-c", "user.email=someone@example.org"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def make_project(folder: Path, provider: str) -> Path:
    """The flights example with two variants and 8,000 rows, its pipeline written, in a repository of its own."""
    folder.mkdir()
    shutil.copy(FLIGHTS / "flights.py", folder)
    with (folder / "flights.py").open("a") as out:
        out.write(MIRRORED)
    text = (FLIGHTS / "rivals.yaml").read_text().replace("months: [1, 2, 3, 4]", "months: [1, 2, 3, 4], rows: 8000")
    text = text[: text.index("variants:")].rstrip() + "\n" + OWN + "\nmetrics: [log_loss]\n"
    text = text.replace("metrics: [log_loss, roc_auc, brier]      # the first one decides\n", "")
    (folder / "rivals.yaml").write_text(text + VARIANTS + ENDPOINT)
    (folder / ".gitignore").write_text(".rivals/\n__pycache__/\n.gitlab-ci-local/\nstate/\n")
    rivals(folder, "ci", "init", provider)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "remote", "add", "origin", "git@example.org:someone/flights.git")
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "a change")


def change(folder: Path, before: str, after: str) -> None:
    file = folder / "rivals.yaml"
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, after))
    commit(folder)


def environment(folder: Path) -> dict[str, str]:
    """That of a runner: rivals on its path, and the state that it shares with production."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "RIVALS_STATE": str(folder.parent / "state")}


def rivals(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "rivals", *words],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def workspace(folder: Path) -> Workspace:
    os.environ["RIVALS_STATE"] = environment(folder)["RIVALS_STATE"]
    try:
        found = open_workspace(folder / "rivals.yaml")
        assert found.state
        return found
    finally:
        del os.environ["RIVALS_STATE"]


def built(folder: Path) -> dict[str, str]:
    """Every variant's bundle, and so whether it was built anew."""
    return {one.variant: one.digest for one in workspace(folder).store.trained_all()}


class Stopped(Exception):
    """Enough traffic."""


class Traffic(replay.Replay):
    """Flights, day by day, while a rollout runs; labels are turned round once ``shifted`` is set."""

    def prepare(self, shift_in: str = "") -> None:
        self.shift_in, self.shifted = shift_in, False
        self.warm, self.enough = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._go, daemon=True)
        self.thread.start()
        assert self.warm.wait(60)

    def finish(self) -> None:
        self.enough.set()
        self.thread.join(60)

    def _go(self) -> None:
        with contextlib.suppress(Stopped):
            asyncio.run(self.run([], 10**9))

    def _steer(self, now: float) -> None:
        self.warm.set()
        while True:
            status: dict[str, Any] = self.server.api("/api/rollout")
            phase = status.get("phase", "")
            self.shifted = self.shifted or bool(self.shift_in and phase == self.shift_in)
            if self.enough.is_set():
                raise Stopped
            if phase and phase not in {*replay.FINAL, "concluded", "none"}:
                return
            time.sleep(0.1)

    async def _labels(self, now: float) -> None:
        batch = []
        while self._due and self._due[0][0] <= now:
            due, request, late, _, _ = heapq.heappop(self._due)
            batch.append({"id": f"{request}/0", "label": 1 - late if self.shifted else late, "time": due})
        if batch:
            reply = await self._client.post("/v2/feedback", "labels", {"feedback": batch})
            assert reply.status == 200, reply.body
