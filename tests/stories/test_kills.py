"""Processes die; nothing that was acknowledged is lost, and nobody is answered wrongly."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rivals.flows.routing import routes
from rivals.flows.workspace import open_workspace
from rivals.values import SetRoutes

from .conftest import Server, a_row, infer, rivals, wait_until

KILLS = 20
FEEDBACKS = 5_000


class Load(threading.Thread):
    """A client that retries what was not answered, and remembers what was acknowledged."""

    def __init__(
        self,
        server: Server,
        number: int,
        stop: threading.Event,
        *,
        feedback: bool,
        row: Callable[[int], dict[str, Any]] = a_row,
        pause: float = 0.0,
    ) -> None:
        super().__init__()
        self.server, self.number, self.stop, self.feedback = server, number, stop, feedback
        self.row, self.pause = row, pause
        self.acknowledged: list[str] = []
        self.wrong: list[tuple[int, bytes]] = []
        self.answered: Counter[str] = Counter()
        self.times: list[tuple[float, str]] = []
        self._connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        try:
            self._ask_and_label()
        finally:
            if self._connection is not None:
                self._connection.close()

    def _ask_and_label(self) -> None:
        count = 0
        while not self.stop.is_set():
            request = f"c{self.number}-{count}"
            status, variant, raw = self._post("/v2/models/toy/infer", infer(self.row(count)), request)
            if status != 200:
                self.wrong.append((status, raw))
            self.answered[variant] += 1
            self.times.append((time.monotonic(), variant))
            if self.feedback:
                status, _, raw = self._post("/v2/feedback", {"id": f"{request}/0", "label": count % 2}, f"{request}-f")
                if status == 200:
                    self.acknowledged.append(f"{request}/0")
                else:
                    self.wrong.append((status, raw))
            count += 1
            self.stop.wait(self.pause)

    def _post(self, path: str, body: object, request: str) -> tuple[int, str, bytes]:
        """Post until answered: a connection that dies with its worker says nothing about the request."""
        raw = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "X-Request-Id": request}
        while True:
            try:
                if self._connection is None:
                    self._connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
                self._connection.request("POST", path, raw, headers)
                reply = self._connection.getresponse()
                return reply.status, reply.getheader("X-Rivals-Variant") or "", reply.read()
            except (OSError, http.client.HTTPException):
                if self._connection is not None:
                    self._connection.close()
                self._connection = None
                time.sleep(0.01)


@pytest.mark.slow
def test_twenty_kills_lose_no_acknowledged_feedback_and_double_none(
    project: Path, serve: Callable[..., Server]
) -> None:
    server = serve(project, workers=2)
    stop = threading.Event()
    clients = [Load(server, number, stop, feedback=True) for number in range(4)]
    for client in clients:
        client.start()
    rng = random.Random(7)
    killed = 0
    deadline = time.monotonic() + 240
    while killed < KILLS or sum(len(client.acknowledged) for client in clients) < FEEDBACKS:
        assert time.monotonic() < deadline, (killed, [len(client.acknowledged) for client in clients])
        time.sleep(rng.uniform(0.3, 0.9))
        workers = server.workers()
        if killed < KILLS and len(workers) == 2:
            os.kill(rng.choice(workers), signal.SIGKILL)
            killed += 1
    stop.set()
    for client in clients:
        client.join()
    acknowledged = [one for client in clients for one in client.acknowledged]
    assert [wrong for client in clients for wrong in client.wrong] == []
    store = project / ".rivals" / "store.db"

    def known() -> Counter[str]:
        with sqlite3.connect(store) as database:
            return Counter(row[0] for row in database.execute("select id from feedback"))

    wait_until(lambda: set(acknowledged) <= set(known()), 30, server.log)
    in_store = known()
    assert len(acknowledged) >= FEEDBACKS
    assert set(acknowledged) - set(in_store) == set()  # none lost
    assert [one for one, times in in_store.items() if times > 1] == []  # none doubled
    print(f"{killed} kills, {len(acknowledged)} acknowledged, all in the store once")


@pytest.mark.slow
def test_a_dead_control_process_gives_a_canary_nothing_within_35_seconds(
    project: Path, serve: Callable[..., Server]
) -> None:
    server = serve(project, workers=2)
    to_canary(project, server)
    stop = threading.Event()
    clients = [Load(server, number, stop, feedback=False) for number in range(2)]
    for client in clients:
        client.start()
    wait_until(lambda: sum(client.answered["logistic"] for client in clients) > 50, 30, server.log)
    # The supervisor would start the control process again at once: it is frozen, so that the control stays dead.
    control = server.control()
    os.kill(server.process.pid, signal.SIGSTOP)
    os.kill(control, signal.SIGKILL)
    dead = time.monotonic()
    time.sleep(35)
    stop_counting = time.monotonic()
    time.sleep(2)
    stop.set()
    for client in clients:
        client.join()
    late = [variant for client in clients for when, variant in client.times if when > stop_counting]
    last = max(when for client in clients for when, variant in client.times if variant == "logistic")
    assert len(late) > 100
    assert set(late) == {"weak"}
    assert [wrong for client in clients for wrong in client.wrong] == []
    print(f"the canary's last answer came {last - dead:.1f} s after the control process died; no prediction failed")


def test_nothing_outlives_a_killed_supervisor(project: Path, serve: Callable[..., Server]) -> None:
    server = serve(project, workers=2)
    children = server.children()
    assert len(children) == 3, children
    server.process.kill()
    server.process.wait()
    wait_until(lambda: not any(map(alive, children)), 20, server.log)


def alive(pid: int) -> bool:
    """Whether it runs; one that ended and that nobody asked about does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def to_canary(project: Path, server: Server) -> None:
    """Bring `logistic` to its canary step, by hand: this story is about the lease, not the evidence."""
    for number in range(20):
        server.request("POST", "/v2/models/toy/infer", infer(a_row(number)))
    done = rivals("rollout", "start", "logistic", cwd=project)
    assert done.returncode in {0, 1}, done.stderr
    workspace = open_workspace(project)
    table, rollout = workspace.table(), workspace.store.active_rollout("toy")
    assert rollout is not None
    with workspace.store.transaction() as tx:
        tx.put_table(routes(table, rollout, SetRoutes(0.25), []), expect=table.revision)
    wait_until(lambda: server.api("/api/status")["weights"].get("logistic") == 0.25, 20, server.log)
