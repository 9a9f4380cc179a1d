"""An open loop of requests from a process of its own: what is due is sent when it is due, and latency counts from then.

``Client`` starts the process and asks it to run; ``python client.py FILE PORT`` is the process. Times are those of
``time.monotonic``, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec
import uvloop

CONNECTIONS = 16


class Told(msgspec.Struct, array_like=True):
    """One answer: when its request was due and sent, when it came, whether it was a 200, and who answered."""

    due: float
    sent: float
    came: float
    good: bool
    variant: str


@dataclass
class Client:
    """The process, on a port; ends with its ``with``."""

    file: Path
    port: int

    def __enter__(self) -> Self:
        words = [sys.executable, __file__, str(self.file), str(self.port)]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait()

    def begin(self, seconds: float, rate: float) -> None:
        """Run in the background; a rate of 0 is as fast as can be."""
        self._process.stdin.write(f"{seconds} {rate}\n".encode())  # type: ignore[union-attr]
        self._process.stdin.flush()  # type: ignore[union-attr]

    def end(self) -> list[Told]:
        """What the run that was begun found."""
        return msgspec.json.decode(self._process.stdout.readline(), type=list[Told])  # type: ignore[union-attr]

    def run(self, seconds: float, rate: float) -> list[Told]:
        self.begin(seconds, rate)
        return self.end()

    def capacity(self, seconds: float = 3.0) -> float:
        """Answers a second, as fast as can be."""
        return len(self.run(seconds, 0.0)) / seconds


def write(file: Path, path: str, bodies: Sequence[Any]) -> Path:
    """Keep requests where the process finds them."""
    requests = []
    for body in map(msgspec.json.encode, bodies):
        head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
        requests.append(head.encode() + body)
    file.write_bytes(msgspec.json.encode(requests))
    return file


class Connection(asyncio.Protocol):
    """Requests one after the other; those that are due while one is under way wait here."""

    def __init__(self, told: list[Told]) -> None:
        self.told, self.waiting = told, deque[tuple[float, bytes]]()
        self.sent = 0.0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        now = time.monotonic()
        self.told += [Told(due, self.sent, now, False, "connection lost") for due, _ in self.waiting]
        self.waiting.clear()

    def ask(self, due: float, request: bytes) -> None:
        self.waiting.append((due, request))
        if len(self.waiting) == 1:
            self._send()

    def data_received(self, data: bytes) -> None:
        due, _ = self.waiting.popleft()
        head = data.lower().partition(b"x-rivals-variant:")[2].partition(b"\r\n")[0]
        good = data.startswith(b"HTTP/1.1 200 ")
        self.told.append(Told(due, self.sent, time.monotonic(), good, head.decode().strip()))
        if self.waiting:
            self._send()

    def _send(self) -> None:
        self.sent = time.monotonic()
        self.transport.write(self.waiting[0][1])


async def ask(requests: Sequence[bytes], port: int) -> None:
    """For each line `seconds rate` on stdin: run, and print what was told."""
    loop, told = asyncio.get_running_loop(), list[Told]()
    links = [(await loop.create_connection(lambda: Connection(told), "127.0.0.1", port))[1] for _ in range(CONNECTIONS)]
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        seconds, rate = map(float, line.split())
        told.clear()
        number, started = 0, time.monotonic()
        while (now := time.monotonic()) < started + seconds:
            if rate:
                while started + number / rate <= now:
                    links[number % CONNECTIONS].ask(started + number / rate, requests[number % len(requests)])
                    number += 1
            else:
                for link in links:
                    if not link.waiting:
                        number += 1
                        link.ask(now, requests[number % len(requests)])
            # Poll: a timer of the loop is a millisecond coarse.
            await asyncio.sleep(0)
        while any(link.waiting for link in links):  # noqa: ASYNC110 -- a benchmark's client may poll
            await asyncio.sleep(0.001)
        sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    uvloop.run(ask(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=list[bytes]), int(sys.argv[2])))
