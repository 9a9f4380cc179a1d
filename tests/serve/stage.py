"""What the tests of serving stand on: small real bundles, run directories, worker processes and a client."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from rivals.bundles import MANIFEST, NATIVE, PROBE, BundleManifest, Native, Probe, folder_digest
from rivals.serve.reconcile import EndpointConfig, publish_endpoint, publish_lease, publish_table
from rivals.serve.runtimes.native import NativePredictor
from rivals.serve.server import WorkerConfig
from rivals.statistics.assignment import slots
from rivals.values import Arm, Column, Columns, RoutingTable, Shadow, Signature

SIGNATURE = Signature(
    (Column("a", "number"), Column("b", "number", nullable=True), Column("color", "text")), "binary", (0, 1)
)
ROW: Mapping[str, Any] = {"a": 0.5, "b": None, "color": "red"}


def bundle(bundles: Path, bias: float, *, spoilt: bool = False, signature: Signature = SIGNATURE) -> str:
    """A real bundle of a logistic regression on ``a``, ``b`` and ``color``; its digest."""
    native = Native(
        link="sigmoid",
        bias=[bias],
        slopes={"a": [1.0], "b": [-0.5]},
        nulls={"b": [0.25]},
        tables={"color": {"red": [0.5], "blue": [-0.5]}},
        unseen={"color": [0.0]},
    )
    folder = bundles / f"making-{os.urandom(4).hex()}"
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_bytes(msgspec.json.encode(BundleManifest(signature, "native")))
    (folder / NATIVE).write_bytes(msgspec.json.encode(native))
    probe = {name: [value] for name, value in ROW.items()}
    outputs = NativePredictor(folder, signature).predict(Columns(probe, 1)).tolist()
    outputs = [[0.5, 0.5]] if spoilt else outputs
    (folder / PROBE).write_bytes(msgspec.json.encode(Probe(probe, outputs)))
    digest = folder_digest(folder)
    folder.rename(bundles / digest)
    return digest


def table(
    arms: Mapping[str, tuple[str, float]], revision: int = 1, shadows: Mapping[str, str] | None = None, **more: Any
) -> RoutingTable:
    """A table of ``toy``; the first arm is the champion."""
    return RoutingTable(
        endpoint="toy",
        revision=revision,
        champion=next(iter(arms)),
        arms=tuple(Arm(name, digest, weight) for name, (digest, weight) in arms.items()),
        salt=more.pop("salt", "pepper"),
        slots=slots([weight for _, weight in arms.values()]),
        shadows=tuple(Shadow(name, digest) for name, digest in (shadows or {}).items()),
        **more,
    )


def infer(*rows: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Rows as an Open Inference Protocol body."""
    inputs = []
    for name in rows[0]:
        values = [row[name] for row in rows]
        datatype = "BYTES" if any(isinstance(value, str) for value in values) else "FP64"
        inputs.append({"name": name, "shape": [len(rows)], "datatype": datatype, "data": values})
    return {"inputs": inputs, **more}


class Stage:
    """A run directory with worker processes, ended by their ids."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.run_dir, self.bundles = folder / "run", folder / "bundles"
        self.run_dir.mkdir()
        self.bundles.mkdir()
        self.weak, self.strong = bundle(self.bundles, 0.0), bundle(self.bundles, 1.0)
        self.port = free_port()
        self.log = folder / "stderr.log"
        self.workers: list[subprocess.Popen[bytes]] = []
        self.clock = config.pop("clock", "wall")
        self.config = EndpointConfig("toy", "binary", clock=self.clock, **config)
        publish_endpoint(self.run_dir, self.config)

    def publish(self, table: RoutingTable, lease: float = 60.0) -> None:
        publish_table(self.run_dir, table)
        publish_lease(self.run_dir, lease)

    def start(self, slots: Sequence[int] = (0,), env: Mapping[str, str] | None = None) -> None:
        """Start a worker for each slot, and wait until all listen."""
        for slot in slots:
            config = WorkerConfig(str(self.run_dir), str(self.bundles), slot, "127.0.0.1", self.port, self.clock)
            command = [sys.executable, "-m", "rivals.serve.server", msgspec.json.encode(config).decode()]
            with self.log.open("ab") as stream:
                self.workers.append(subprocess.Popen(command, stderr=stream, env={**os.environ, **(env or {})}))
        before = {worker.pid for worker in self.workers}
        wait_until(lambda: all(f"pid={pid} " in self.log.read_text() for pid in before), 20, self.log)

    def stop(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.terminate()
        for worker in self.workers:
            try:
                worker.wait(15)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
                raise

    def kill(self, number: int) -> None:
        os.kill(self.workers[number].pid, signal.SIGKILL)
        self.workers[number].wait()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], Any]:
        """One request on a connection of its own: status, headers, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            return ask(connection, method, path, body, **headers)
        finally:
            connection.close()

    def infer(self, *rows: Mapping[str, Any], **headers: str) -> tuple[int, dict[str, str], Any]:
        return self.ask("POST", "/v2/models/toy/infer", infer(*(rows or (ROW,))), **headers)

    def says(self, condition: Callable[[], Any], seconds: float = 10) -> None:
        wait_until(condition, seconds, self.log)


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, dict[str, str], Any]:
    """One request on this connection."""
    raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    connection.request(method, path, raw, sent)
    reply = connection.getresponse()
    text = reply.read()
    told = {name.lower(): value for name, value in reply.getheaders()}
    with contextlib.suppress(ValueError):
        return reply.status, told, json.loads(text)
    return reply.status, told, text


def raw(port: int, sent: bytes, seconds: float = 5.0) -> bytes:
    """Send bytes, say that there are no more, and read to the end."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while part := connection.recv(1 << 16):
            received += part
        return received


def free_port() -> int:
    """A port nobody listens on, below those that the system gives to clients."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_until(condition: Callable[[], Any], seconds: float, log: Path | None = None) -> None:
    """Wait for a real process to do something; fails with its last words."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(log.read_text()[-3000:] if log else "it did not happen in time")
        time.sleep(0.01)
