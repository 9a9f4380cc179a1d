"""A canary with a quarter of the champion's capacity is held below its knee, in the middle of a switch and a spike."""

from __future__ import annotations

import asyncio
import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from rivals.flows.workspace import open_workspace

from .conftest import Server, a_row, free_port, infer, rivals, wait_until

TAKES = {"weak": 0.010, "logistic": 0.046}  # seconds for a request at the champion's place and the challenger's
PEAK, CALM = 40.0, 8.0  # requests a second: the plan bears a spike of five times the calm load
ENDPOINT = f"""  champion: weak
  asked: {{weak: {{rows: 1}}, logistic: {{rows: 1}}}}
  capacity: {{peak: {PEAK:.0f}, headroom: 0.6}}
"""
P99 = 0.5  # seconds: the limit at which the canary's knee is measured, and that it has to hold
INFER = "/v2/models/toy/infer"


class Got(NamedTuple):
    """What one request met."""

    status: int
    variant: str
    degraded: bool
    seconds: float


async def _open_loop(port: int, rate: float, seconds: float) -> list[Got]:
    """Ask at fixed times, whoever has not answered yet."""
    body = json.dumps(infer(a_row(1))).encode()
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=20) as client:

        async def ask(number: int, due: float) -> Got:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            reply = await client.post(INFER, content=body, headers={"Content-Type": "application/json"})
            told = reply.headers
            seconds = time.monotonic() - due  # from when it was due: a client that is late counts too
            return Got(reply.status_code, told.get("x-rivals-variant", ""), "x-rivals-degraded" in told, seconds)

        start = time.monotonic() + 0.05
        return await asyncio.gather(*(ask(one, start + one / rate) for one in range(int(rate * seconds))))


def load(server: Server, rate: float, seconds: float) -> list[Got]:
    return asyncio.run(_open_loop(server.port, rate, seconds))


def share(project: Path, variant: str) -> float:
    arms = open_workspace(project).table().arms
    return next((arm.weight for arm in arms if arm.variant == variant), 0.0)


class Narrow(ThreadingHTTPServer):
    """One request at a time, ``seconds`` each, on to a `rivals serve-bundle`: a replica whose capacity is known."""

    daemon_threads = True

    def __init__(self, onto: int, seconds: float) -> None:
        self.onto, self.seconds, self.lock = onto, seconds, threading.Lock()
        super().__init__(("127.0.0.1", 0), Forward)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Forward(BaseHTTPRequestHandler):
    """Waits its turn, then asks."""

    protocol_version = "HTTP/1.1"
    server: Narrow

    def do_GET(self) -> None:
        self._pass(None)

    def do_POST(self) -> None:
        self._pass(self.rfile.read(int(self.headers["Content-Length"])))

    def _pass(self, body: bytes | None) -> None:
        with self.server.lock:
            time.sleep(self.server.seconds)
        link = http.client.HTTPConnection("127.0.0.1", self.server.onto, timeout=10)
        link.request(self.command, self.path, body, {"Content-Type": "application/json"})
        reply = link.getresponse()
        raw = reply.read()
        link.close()
        self.wfile.write(b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n\r\n%b" % (reply.status, len(raw), raw))

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def places(project: Path) -> Iterator[dict[str, str]]:
    """The toy project's champion and a challenger, each in a place of its own, and the URLs of these."""
    file = project / "rivals.yaml"
    text = file.read_text()
    for old, new in (("  champion: weak\n", ENDPOINT), ("{steps: [25%]", "{judges: [failures], steps: [50%]")):
        assert old in text
        text = text.replace(old, new, 1)
    file.write_text(text)
    bench, running, narrow, urls = open_workspace(project), [], [], {}
    for name, seconds in TAKES.items():
        port, log = free_port(), project / f"{name}.log"
        folder = bench.blobs.path(bench.trained(name).digest)
        command = [sys.executable, "-m", "rivals", "serve-bundle", str(folder), "--name", name, "--port", str(port)]
        with log.open("ab") as stderr:
            running.append(subprocess.Popen(command, stderr=stderr, cwd=project))
        narrow.append(Narrow(port, seconds))
        urls[name] = f"http://127.0.0.1:{narrow[-1].server_address[1]}/{name}"
        wait_until(lambda log=log: "worker.started" in log.read_text(), 60, log)
    yield urls
    for one in narrow:
        one.shutdown()
        one.server_close()
    for process in running:
        process.terminate()
        process.wait(20)


@pytest.mark.slow
def test_a_canary_is_held_below_its_knee_and_a_spike_inside_the_plan_sheds_nothing(
    project: Path, places: dict[str, str], serve: Callable[..., Server]
) -> None:
    rates = {}
    for name, url in places.items():
        done = rivals(
            "capacity", name, "--url", url, "--seconds", "1.5", "--p99-ms", str(P99 * 1e3), "--json", cwd=project
        )
        assert done.returncode == 0, done.stderr
        rates[name] = json.loads(done.stdout)["rate"]
    assert rates["logistic"] < 0.5 * rates["weak"]
    server = serve(project, workers=1, places=[f"{name}={url}" for name, url in places.items()])
    load(server, CALM, 1)
    done = rivals("rollout", "start", "logistic", "--force", cwd=project)
    assert done.returncode == 0, done.stderr
    calm = load(server, CALM, 3)

    done = rivals("rollout", "advance", cwd=project)  # the switch; the spike comes with it
    assert done.returncode == 0, done.stderr
    spike = load(server, PEAK, 8)
    allowed = 0.6 * rates["logistic"] / PEAK
    assert allowed < 0.45, "the canary would bear all that is asked: nothing is shown"
    assert share(project, "logistic") == pytest.approx(allowed, abs=0.01)
    assert {one.status for one in (*calm, *spike)} == {200}
    assert not [one for one in (*calm, *spike) if one.degraded]
    took = sorted(one.seconds for one in spike if one.variant == "logistic")
    assert len(took) > 10
    assert took[int(0.99 * len(took))] < P99
    print(f"rates {rates}, share {allowed:.2f}, p99 {took[int(0.99 * len(took))] * 1e3:.0f} ms of {len(took)}")

    done = rivals("capacity", "logistic", "--ready", "3", cwd=project)  # a scaler has brought two more
    assert done.returncode == 0, done.stderr
    wait_until(lambda: share(project, "logistic") == pytest.approx(0.5, abs=0.01), 10, server.log)
