"""The access log: a line for each HTTP request, written by a thread of its own, so that no answer waits for a disk."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from rivals.serve.http import HttpRequest

log = logging.getLogger("rivals.access")

WAITING = 100_000  # lines in memory; more are dropped, and counted
EVERY = 0.2  # seconds between two writes
LARGEST = 100 << 20  # bytes of a file; the one before it is kept beside it


class Line(msgspec.Struct):
    """What is told of a request; ``time`` is when it was answered, in seconds since the epoch."""

    time: float
    method: str
    path: str
    status: int
    bytes: int
    ms: float


class AccessLog:
    """JSON lines in ``access-<slot>.log``. ``told`` belongs to the loop's thread."""

    def __init__(self, run_dir: Path, slot: int) -> None:
        self._path = run_dir / f"access-{slot}.log"
        self._waiting: queue.SimpleQueue[Line] = queue.SimpleQueue()
        self._dropped, self._closed = 0, threading.Event()
        self._encode = msgspec.json.Encoder().encode
        self._thread = threading.Thread(target=self._run, name="access log", daemon=True)
        self._thread.start()

    def told(self, about: HttpRequest | None, status: int, size: int) -> None:
        """An answer was made; None: to something that was no request."""
        if self._waiting.qsize() >= WAITING:
            self._dropped += 1
            return
        method, path, since = (about.method, about.path, about.arrived) if about else ("", "", time.monotonic())
        took = round((time.monotonic() - since) * 1e3, 3)
        self._waiting.put(Line(time.time(), method, path, status, size, took))

    def close(self) -> None:
        """Write what waits, and end."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(EVERY):
            self._write()
        self._write()

    def _write(self) -> None:
        lines = []
        with suppress(queue.Empty):
            while True:
                lines.append(self._encode(self._waiting.get_nowait()))
        dropped, self._dropped = self._dropped, 0
        if dropped:
            log.warning("access.dropped lines=%d", dropped)
        if not lines:
            return
        try:
            if self._path.exists() and self._path.stat().st_size > LARGEST:
                self._path.replace(self._path.with_suffix(".log.1"))
            with os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as stream:
                stream.write(b"\n".join([*lines, b""]))
        except OSError as error:
            log.warning("access.refused reason=%s", error)
