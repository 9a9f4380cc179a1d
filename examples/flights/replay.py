"""Months of flights as live traffic: requests in time order, labels as feedback when they come due."""

from __future__ import annotations

import asyncio
import heapq
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from client import Client
from sklearn import metrics

import rivals

if TYPE_CHECKING:
    import pandas as pd

DAY = 86_400.0
WINDOW = 3_600.0  # flights of one hour are sent side by side
FINAL = {"promoted", "rolled_back", "held", "aborted"}


class Server:
    """`rivals serve --clock replay` as a process of its own, stopped at the end by its id."""

    def __init__(self, folder: Path, workers: int = 2) -> None:
        self.folder, self.workers = folder, workers
        self.port, self.control_port = _free_port(), _free_port()

    def __enter__(self) -> Self:
        command = ["serve", "-q", "--clock", "replay", "--workers", str(self.workers)]
        ports = ["--port", str(self.port), "--control-port", str(self.control_port)]
        log = self.folder / ".rivals" / "serve.log"
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rivals", *command, *ports], cwd=self.folder, stderr=stderr, env={**os.environ}
            )
        deadline = time.monotonic() + 60
        while not (_ok(self.port, "/v2/health/ready") and _ok(self.control_port, "/api/clock")):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start; its last words:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def api(self, path: str) -> Any:
        """One GET of the control plane."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.control_port}{path}", timeout=30) as reply:
            return json.load(reply)


@dataclass
class Replay:
    """Flights go out, labels come back, rollouts are started one after another."""

    project: rivals.Project
    server: Server
    flights: pd.DataFrame
    ends: list[tuple[str, str, str]] = field(default_factory=list)
    received: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    per_variant: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    sent: int = 0
    some_canary_request: str = ""

    async def run(self, challengers: list[str], at_least: int) -> None:
        """Send flights until every challenger has its decision, and at least so many."""
        self._client = Client("127.0.0.1", self.server.port)
        self._due: list[tuple[float, str, int, str, float]] = []
        self._waiting = list(challengers)
        self._running = ""
        self._started = 0.0
        began = time.perf_counter()
        times = self.flights["scheduled_departure"].to_numpy()
        days = np.floor(times / DAY)
        bodies = _Bodies(self.flights)
        edges = np.flatnonzero(np.diff(days, prepend=-1.0, append=np.inf))
        for first, last in pairwise(edges):
            await self._day(bodies, times, int(first), int(last))
            await self._judged(float(times[last - 1]))
            self._steer(float(times[last - 1]))
            if self.sent >= at_least and not self._waiting and not self._running:
                break
        await self._client.close()
        self.rate = self.sent / (time.perf_counter() - began)

    async def _day(self, bodies: _Bodies, times: np.ndarray, first: int, last: int) -> None:
        start = first
        while start < last:
            stop = int(np.searchsorted(times[:last], times[start] + WINDOW, side="left"))
            await self._labels(float(times[start]))
            await self._requests(bodies, start, max(stop, start + 1))
            start = max(stop, start + 1)

    async def _requests(self, bodies: _Bodies, start: int, stop: int) -> None:
        batch = [("/v2/models/flights/infer", bodies.ids[i], bodies.one(i)) for i in range(start, stop)]
        replies = await self._client.send(batch)
        self.sent += len(replies)
        for i, reply in zip(range(start, stop), replies, strict=True):
            if reply.status != 200:
                self.failed += 1
                print(f"  {bodies.ids[i]}: {reply.status} {reply.body.decode()}", flush=True)
                continue
            self.per_variant[reply.variant] += 1
            if reply.variant == self._running or not self.some_canary_request:
                self.some_canary_request = bodies.ids[i]
            probability = json.loads(reply.body)["outputs"][0]["data"][-1]
            if np.isfinite(bodies.due[i]):
                due = (float(bodies.due[i]), bodies.ids[i], int(bodies.late[i]), reply.variant, probability)
                heapq.heappush(self._due, due)

    async def _labels(self, now: float) -> None:
        """Send the labels that are due, all in one request; received answers meet their labels here too."""
        batch = []
        while self._due and self._due[0][0] <= now:
            due, request, late, variant, probability = heapq.heappop(self._due)
            batch.append({"id": f"{request}/0", "label": late, "time": due})
            self.received[variant].append((late, probability))
        if batch:
            reply = await self._client.post("/v2/feedback", "labels", {"feedback": batch})
            self.failed += reply.status != 200

    async def _judged(self, until: float) -> None:
        """Wait until the judge has seen all that was sent: a day here is a moment there."""
        deadline = time.monotonic() + 60
        while True:
            clock = self.server.api("/api/clock")
            if clock["judged"] >= until and clock["exposures"] >= self.sent - self.failed:
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"the control plane fell behind: {clock}, {self.sent} sent")
            await asyncio.sleep(0.01)

    def _steer(self, now: float) -> None:
        """Note an ended rollout; start the next one."""
        status = self.server.api("/api/rollout")
        if self._running and status["phase"] in FINAL:
            days = (now - self._started) / DAY
            self.ends.append((self._running, status["phase"], status["reason"]))
            print(f"  {_date(now)}  {self._running}: {status['phase'].replace('_', ' ')} after {days:.0f} days: "
                  f"{status['reason']}", flush=True)  # fmt: skip
            self._running = ""
        elif self._running and (phase := f"{status['phase']} {status['share']:.0%}") != self._phase:
            self._phase = phase
            print(f"  {_date(now)}  {self._running}: {phase}", flush=True)
        if not self._running and self._waiting and self._fit(now):
            self._running, self._phase, self._started = self._waiting.pop(0), "shadow 0%", now
            started = self._project(self._running).start_rollout(self._running)
            print(f"  {_date(now)}  {started.sentence}", flush=True)

    def _fit(self, now: float) -> bool:
        """Whether the endpoint may act alone, asked before each start; the rollout waits until it may."""
        found = self.project.preflight()
        if found.passed:
            told = "; ".join(check.sentence for check in found.checks)
            print(f"  {_date(now)}  fit to act alone: {told}", flush=True)
        return found.passed

    def _project(self, challenger: str) -> rivals.Project:
        """The project; the twin is given two weeks, for it could be held for ever."""
        return rivals.Project(self.project.workspace.file, ["endpoint.rollout.deadline=14d"] * (challenger == "twin"))

    def summary(self) -> str:
        """Counts per variant against the weights they had."""
        weights = self.server.api("/api/status")["expected"]
        lines = [f"{self.sent} flights sent, {self.failed} failed, {self.rate:.0f} a second; answered by"]
        for variant, count in self.per_variant.most_common():
            lines.append(f"  {variant:>10}: {count:>6}, by the weights {weights.get(variant, 0.0):>9.1f}")
        return "\n".join(lines)


class _Bodies:
    """Requests in the Open Inference Protocol, one flight each."""

    def __init__(self, flights: pd.DataFrame) -> None:
        self.ids = [f"f{value}" for value in flights["flight_id"]]
        self.due = flights["label_due"].to_numpy(dtype=float)
        self.late = flights["late"].to_numpy(dtype=float)
        kept = [name for name in flights.columns if name not in {"late", "label_due", "flight_id"}]
        self._columns = [(name, *_plain(flights[name])) for name in kept]

    def one(self, row: int) -> dict[str, Any]:
        """The body of one flight."""
        inputs = [
            {"name": name, "shape": [1], "datatype": datatype, "data": [values[row]]}
            for name, datatype, values in self._columns
        ]
        return {"inputs": inputs}


def _plain(column: pd.Series) -> tuple[str, list[Any]]:
    """A column as JSON values: numbers as they are in float64, gaps as null."""
    if column.dtype.kind in "fiub":
        values = column.astype(float)
        return "FP64", [None if np.isnan(value) else value for value in values.tolist()]
    return "BYTES", [value if isinstance(value, str) else None for value in column.tolist()]


def scores_by_sklearn(received: dict[str, list[tuple[float, float]]]) -> dict[str, dict[str, float]]:
    """Scores per variant on the probabilities that came back over HTTP, by scikit-learn in float64."""
    found = {}
    for variant, rows in received.items():
        label, probability = np.array(rows, dtype=np.float64).T
        if len(set(label)) < 2:
            continue
        found[variant] = {
            "log_loss": float(metrics.log_loss(label, np.column_stack([1 - probability, probability]))),
            "brier": float(metrics.brier_score_loss(label, probability)),
            "roc_auc": float(metrics.roc_auc_score(label, probability)),
            "labelled": float(len(label)),
        }
    return found


def _date(epoch: float) -> str:
    return time.strftime("%b %d", time.gmtime(epoch))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _ok(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False
