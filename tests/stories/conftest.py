"""A toy project, trained once per session, copied for each story; and the server as a process."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

MODULE = """
import numpy as np
import pandas as pd


def load(rows=3000, seed=1):
    rng = np.random.default_rng(seed)
    a, b, c = rng.normal(size=(3, rows))
    color = rng.choice(np.array(["red", "green", "blau-grün"]), size=rows)
    logit = 1.5 * a - b + 0.8 * (color == "red") + 0.5 * a * b
    frame = pd.DataFrame({"a": a, "b": b, "c": c, "color": color})
    frame.loc[rng.random(rows) < 0.1, "c"] = np.nan
    frame["y"] = (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(int)
    frame["t"] = 1.4e9 + np.arange(rows) * 600.0
    frame["row"] = np.arange(rows)
    return frame
"""

PROJECT = """
project: toy
data:
  source: {use: function, with: {function: "toy:load"}}
  task: binary
  target: y
  id: row
  time: t
  label_delay: 1h
  split: {test: 20%, folds: 3, by: time, gap: 1h}
features:
  all: [{use: impute, with: {columns: numeric}}, {use: scale, with: {columns: numeric}}, {use: encode, with: {columns: [color]}}]
  trees: [{use: impute, with: {columns: numeric}}, {use: encode, with: {columns: [color]}}]
variants:
  - {name: weak, features: all, family: sklearn, with: {estimator: LogisticRegression, C: 0.0001}}
  - {name: logistic, features: all, family: sklearn, with: {estimator: LogisticRegression}}
  - {name: boosted, features: trees, family: lightgbm, with: {n_estimators: 40, num_leaves: 7}}
  - {name: blend, family: ensemble, members: [logistic, boosted], with: {combiner: mean}}
gate: [{use: noninferior, with: {metric: log_loss, margin: 0.05}}]
endpoint:
  name: toy
  champion: weak
  autonomy: act
  rollout: {steps: [25%], every: 10m, deadline: 30d, block: 6h}
"""

COLUMNS = ("a", "b", "c", "color")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy project with all its variants built."""
    folder = tmp_path_factory.mktemp("toy")
    (folder / "toy.py").write_text(MODULE)
    (folder / "rivals.yaml").write_text(PROJECT)
    done = rivals("train", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def project(trained: Path, tmp_path: Path) -> Path:
    """A copy of it, to do with as a story likes."""
    return Path(shutil.copytree(trained, tmp_path / "toy", symlinks=True))


def rivals(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does."""
    command = [sys.executable, "-m", "rivals", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=280)


class Server:
    """`rivals serve` as a process group, ended by its id."""

    def __init__(
        self,
        folder: Path,
        workers: int = 2,
        clock: str = "wall",
        *,
        grpc: bool = False,
        tls: tuple[Path, Path] | None = None,
        file: str = "rivals.yaml",
        places: Sequence[str] = (),
    ) -> None:
        self.folder, self.grpc_port = folder, free_port() if grpc else 0
        self.port, self.control_port = free_port(), free_port()
        ports = ["--port", str(self.port), "--control-port", str(self.control_port)]
        ports += ["--grpc-port", str(self.grpc_port)] if grpc else []
        ports += ["--tls-cert", str(tls[0]), "--tls-key", str(tls[1])] if tls else []
        ports += [word for place in places for word in ("--place", place)]
        words = [
            sys.executable,
            "-m",
            "rivals",
            "serve",
            "--workers",
            str(workers),
            "--clock",
            clock,
            "-f",
            file,
            *ports,
        ]
        self.log = folder / "serve.log"
        with self.log.open("ab") as stderr:
            self.process = subprocess.Popen(words, cwd=folder, stderr=stderr, start_new_session=True)
        if tls:
            wait_until(lambda: "worker.started" in self.log.read_text() and listens(self.control_port), 60, self.log)
            return
        wait_until(lambda: self.get("/v2/health/ready")[0] == 200 and self.api("/api/clock") is not None, 60, self.log)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise

    def children(self) -> dict[int, str]:
        """The server's child processes and their command lines."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        found = {}
        for pid in map(int, listed):
            with contextlib.suppress(OSError):
                found[pid] = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
        return found

    def workers(self) -> list[int]:
        return [pid for pid, command in self.children().items() if "rivals.serve" in command]

    def control(self) -> int:
        return next(pid for pid, command in self.children().items() if " control " in command)

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], Any]:
        """One request on a connection of its own: status, headers, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            sent = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
            connection.request(method, path, raw, sent)
            reply = connection.getresponse()
            text = reply.read()
            with contextlib.suppress(ValueError):
                return reply.status, {k.lower(): v for k, v in reply.getheaders()}, json.loads(text)
            return reply.status, {k.lower(): v for k, v in reply.getheaders()}, text
        finally:
            connection.close()

    def get(self, path: str) -> tuple[int, Any]:
        try:
            status, _, body = self.request("GET", path)
        except OSError:
            return 0, None
        return status, body

    def api(self, path: str, method: str = "GET", body: Any = None) -> Any:
        """The control plane's answer, or None where it does not answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.control_port, timeout=20)
        try:
            connection.request(method, path, None if body is None else json.dumps(body).encode())
            return json.loads(connection.getresponse().read())
        except OSError:
            return None
        finally:
            connection.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers; they are stopped at the end, whatever happens."""
    running: list[Server] = []

    def start(folder: Path, **options: Any) -> Server:
        running.append(Server(folder, **options))
        return running[-1]

    yield start
    for server in running:
        if server.process.poll() is None:
            server.stop()


def infer(row: dict[str, Any]) -> dict[str, Any]:
    """One row as an Open Inference Protocol body."""
    inputs = [
        {"name": name, "shape": [1], "datatype": "BYTES" if isinstance(value, str) else "FP64", "data": [value]}
        for name, value in row.items()
    ]
    return {"inputs": inputs}


def a_row(seed: int = 0) -> dict[str, Any]:
    """Some plausible row."""
    return {"a": (seed % 7 - 3) / 2, "b": (seed % 5 - 2) / 2, "c": None if seed % 9 == 0 else 0.25, "color": "red"}


def listens(port: int) -> bool:
    """Whether anybody does."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port that nobody listens on, below those that the system gives to outgoing connections meanwhile."""
    while True:
        port = random.randrange(15_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def wait_until(condition: Callable[[], Any], seconds: float, log: Path | None = None) -> None:
    """Wait for a real process to do something; fails with its last words."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(log.read_text()[-3000:] if log else "it did not happen in time")
        time.sleep(0.05)
