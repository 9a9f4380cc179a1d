"""Which server stands under the wires: ours, uvicorn or Granian, with the same routes, journal and model above each.

Speed: single rows over 64 connections by wrk, the servers in turn, each on one core. Then a corpus of hostile requests,
the same bytes to each: what came back, and whether anything was answered that another reader of the same bytes could
take for something else (a second answer where one request was sent is smuggling). Granian lies in ``.peers/granian``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from against_servers import CLIENT_CORE, HERE, SERVER_CORE, records
from budget import worker
from serving import rows

from rivals.errors import RequestError
from rivals.serve.http import JSON, Http, HttpRequest, Reply

PORT, MOST = 18_495, 1 << 20
GRANIAN = Path(".peers/granian").absolute()
SERVERS = ("own", "uvicorn", "granian")
ASKED = 1.5  # how much quicker our own has to be


# -- the same routes under each of them --------------------------------------------------------------------


class Later:
    """A place for an answer that somebody awaits."""

    refuse = Reply.refuse

    def __init__(self) -> None:
        self.done: asyncio.Future[tuple[int, bytes, list[tuple[str, str]]]] = asyncio.get_running_loop().create_future()

    def send(self, status: int, body: bytes, kind: bytes = JSON, headers: bytes = b"") -> None:
        lines = [line.partition(b": ") for line in headers.split(b"\r\n") if line]
        pairs = [(name.decode().lower(), value.decode()) for name, _, value in lines]
        self.done.set_result((status, body, [("content-type", kind.decode()), *pairs]))


class App:
    """ASGI for uvicorn and RSGI for Granian: whole bodies up to a limit, then the routes."""

    def __init__(self) -> None:
        self.routes: Any = None

    async def _ready(self) -> None:
        if self.routes is None:
            self.routes = await worker(Path(os.environ["SCRATCH"]), asyncio.get_running_loop().call_soon)

    async def _answer(self, request: HttpRequest) -> tuple[int, bytes, list[tuple[str, str]]]:
        later = Later()
        try:
            self.routes.handle(request, later)
        except RequestError as error:
            later.refuse(error)  # type: ignore[misc]
        return await later.done

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await self._ready()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
            if len(body) > MOST:
                await send({"type": "http.response.start", "status": 413, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
        request = HttpRequest(scope["method"], scope["path"], dict(scope["headers"]), body, time.monotonic())
        status, answer, headers = await self._answer(request)
        lines = [(name.encode(), value.encode()) for name, value in headers]
        length = (b"content-length", str(len(answer)).encode())
        await send({"type": "http.response.start", "status": status, "headers": [*lines, length]})
        await send({"type": "http.response.body", "body": answer})

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        await self._ready()
        body = await protocol()
        if len(body) > MOST:
            protocol.response_empty(413, [])
            return
        headers = {name.encode(): value.encode() for name, value in scope.headers.items()}
        request = HttpRequest(scope.method, scope.path, headers, body, time.monotonic())
        status, answer, lines = await self._answer(request)
        protocol.response_bytes(status, lines, answer)


app = App()


async def own() -> None:
    loop = asyncio.get_running_loop()
    routes = await worker(Path(os.environ["SCRATCH"]), loop.call_soon)
    http = Http(routes.handle, MOST)
    await loop.create_server(http, "127.0.0.1", PORT)
    while True:
        http.sweep()
        await asyncio.sleep(1)


def serve(name: str) -> None:
    """Be one of the servers."""
    import uvloop

    if name == "own":
        uvloop.run(own())
    elif name == "uvicorn":
        import uvicorn

        uvicorn.run(
            app, host="127.0.0.1", port=PORT, loop="uvloop", http="httptools", log_level="error", access_log=False
        )
    else:
        from granian.constants import Interfaces, Loops
        from granian.server import Server

        loops = {"interface": Interfaces.RSGI, "loop": Loops.uvloop}
        Server(
            "http_servers:app", address="127.0.0.1", port=PORT, log_enabled=False, backpressure=1024, **loops
        ).serve()


# -- what is asked of them ---------------------------------------------------------------------------------


def corpus() -> dict[str, tuple[bytes, int]]:
    """By name: bytes, and how many answers they may have at most."""
    body = records(rows(1, seed=1))
    head = b"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    good = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    hidden = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n"
    chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    get = b"GET /v2 HTTP/1.1\r\nHost: a\r\n"
    return {
        "a good request": (good, 1),
        "three pipelined": (good * 3, 3),
        "chunked": (head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk, 1),
        "length and chunked": (head + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden, 1),
        "chunked and length": (head + b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n" + hidden, 1),
        "two lengths": (head + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(hidden) + hidden, 1),
        "a length list": (head + b"Content-Length: 0, %d\r\n\r\n" % len(hidden) + hidden, 1),
        "a signed length": (head + b"Content-Length: +%d\r\n\r\n" % len(body) + body, 1),
        "a negative length": (head + b"Content-Length: -1\r\n\r\n" + hidden, 1),
        "a length in hex": (head + b"Content-Length: 0x10\r\n\r\n" + hidden, 1),
        "a space before the colon": (head + b"Content-Length : %d\r\n\r\n" % len(hidden) + hidden, 1),
        "chunked in disguise": (head + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + hidden, 1),
        "chunked after a tab": (
            head + b"Transfer-Encoding:\tchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + hidden,
            1,
        ),
        "chunked, not last": (head + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + hidden, 1),
        "a chunk of nonsense": (head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + hidden, 1),
        "a chunk that is too long": (head + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n" + hidden, 1),
        "a folded header": (get + b"X-A: b\r\n Transfer-Encoding: chunked\r\n\r\n", 1),
        "a bare line feed": (get.replace(b"\r\n", b"\n") + b"\n", 1),
        "a bare carriage return": (get + b"X-A: b\rX-B: c\r\n\r\n", 1),
        "a zero byte in a header": (get + b"X-A: b\0c\r\n\r\n", 1),
        "a zero byte in the name": (get + b"X\0A: b\r\n\r\n", 1),
        "headers of 200 kB": (get + b"X-A: " + b"a" * 200_000 + b"\r\n\r\n", 1),
        "ten thousand headers": (get + b"".join(b"X-%d: a\r\n" % n for n in range(10_000)) + b"\r\n", 1),
        "a target of 200 kB": (b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 1),
        "a body of 3 MB": (head + b"Content-Length: 3000000\r\n\r\n" + b"a" * 3_000_000, 1),
        "no HTTP at all": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20, 1),
        "HTTP/3.7": (b"GET /v2 HTTP/3.7\r\nHost: a\r\n\r\n", 1),
        "an upgrade": (get + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 1),
        "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 1),
        "a torn request": (good[:-5], 0),
        "slow headers": (get, 0),
    }


def throw(raw: bytes, patience: float) -> tuple[str, bytes]:
    """Send bytes; how the connection ended, and all that came back."""
    told = b""
    with socket.create_connection(("127.0.0.1", PORT), timeout=patience) as wire:
        end = time.monotonic() + patience
        with suppress(OSError):
            wire.sendall(raw)
        try:
            while time.monotonic() < end:
                part = wire.recv(1 << 16)
                if not part:
                    return "closed", told
                told += part
        except TimeoutError:
            return "open", told
        except OSError:
            return "reset", told
    return "open", told


def attack(patience: float) -> tuple[dict[str, str], int]:
    """What each of the corpus came to, and how many had more answers than requests."""
    seen, smuggled = {}, 0
    for name, (raw, most) in corpus().items():
        end, told = throw(raw, 15.0 if name == "slow headers" else patience)
        answers = [code.decode() for code in re.findall(rb"HTTP/1\.[01] (\d{3}) ", told)]
        too_many = len([one for one in answers if one != "100"]) > max(most, 1)
        smuggled += too_many
        seen[name] = f"{' '.join(answers) or '-'} {end}{' SMUGGLED' if too_many else ''}"
    return seen, smuggled


def load(scratch: Path, seconds: float) -> tuple[float, float]:
    """Answers a second, and the 99th percentile in milliseconds."""
    bodies, some = scratch / "bodies", rows(512, seed=1)
    bodies.write_bytes(b"\n".join(records(some.iloc[[number]]) for number in range(len(some))) + b"\n")
    command = ["taskset", "-c", CLIENT_CORE, "wrk", "-t1", "-c64", f"-d{round(seconds)}s", "-s", HERE / "load.lua"]
    environment = {**os.environ, "BODIES": str(bodies), "TARGET": "/invocations"}
    told = subprocess.run([*command, f"http://127.0.0.1:{PORT}"], env=environment, capture_output=True, check=True)
    seen: dict[str, float] = __import__("json").loads(told.stdout.strip().splitlines()[-1])
    assert not seen["failed"], seen
    return seen["answers"] / seen["seconds"], seen["p99"]


def ready() -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with suppress(OSError):
            if throw(b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 5)[1]:
                return
        time.sleep(0.1)
    raise SystemExit("the server does not answer")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--serve", choices=SERVERS)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=3.0)
    chosen = options.parse_args()
    if chosen.serve:
        serve(chosen.serve)
        return 0
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in SERVERS}
    told: dict[str, tuple[dict[str, str], int]] = {}
    for turn in range(chosen.rounds):
        for name in SERVERS:
            with tempfile.TemporaryDirectory() as folder:
                scratch = Path(folder)
                path = os.pathsep.join([str(HERE), str(GRANIAN)])
                environment = {**os.environ, "SCRATCH": folder, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
                command = ["taskset", "-c", SERVER_CORE, sys.executable, __file__, "--serve", name]
                process = subprocess.Popen(command, env=environment, start_new_session=True)
                try:
                    ready()
                    load(scratch, 1)
                    rates[name].append(load(scratch, chosen.seconds))
                    if not turn:
                        told[name] = attack(2.0)
                finally:
                    os.killpg(process.pid, 9)
                    process.wait()
    for name, seen in rates.items():
        ratio = [mine[0] / other[0] for mine, other in zip(rates["own"], seen, strict=True)]
        rate, p99 = (statistics.median(one[place] for one in seen) for place in (0, 1))
        print(
            f"{name:<8} {rate:>8,.0f}/s  p99 {p99:>7.2f} ms  own has {statistics.median(ratio):.2f} x ({min(ratio):.2f}-{max(ratio):.2f})"
        )
    for name in corpus():
        print(f"  {name:<26}", *(f"{told[server][0][name]:<22}" for server in SERVERS))
    print("more answers than requests:", {server: told[server][1] for server in SERVERS})
    slowest = min(
        statistics.median(a[0] / b[0] for a, b in zip(rates["own"], rates[name], strict=True)) for name in SERVERS[1:]
    )
    return int(slowest < ASKED or told["own"][1] > 0)


if __name__ == "__main__":
    sys.exit(main())
