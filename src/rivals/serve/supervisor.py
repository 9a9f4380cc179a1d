"""Keeps processes running: the workers of an endpoint, and whatever goes with them.

SIGHUP replaces the workers, one after another: a new one listens before the old one ends what it has, and goes. So new
code, certificates and limits come without a request lost; where the new one does not begin, the old ones go on.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from rivals.errors import RivalsError
from rivals.serve.journal import bury
from rivals.serve.reconcile import read_obeyed
from rivals.serve.server import WorkerConfig, check_host

__all__ = ["Supervisor", "WorkerConfig", "spawn"]

log = logging.getLogger("rivals.supervisor")

FIRST, LAST = 0.1, 2.0  # seconds before a process that died is started again: doubled each time
WELL = 10.0  # seconds after which a process counts as having run well
GRACE = 15.0  # seconds to stop
BEGIN = 120.0  # seconds that a worker which replaces another has to listen
PERIOD = 0.02  # seconds between two looks


def spawn(config: WorkerConfig) -> subprocess.Popen[bytes]:
    """Start one worker. It stops by itself when this process is gone."""
    return _start(_command(config))


class Supervisor:
    """Runs workers and other commands until SIGTERM or SIGINT, and starts again what dies; SIGHUP: see above."""

    def __init__(self, workers: Sequence[WorkerConfig], commands: Sequence[Sequence[str]] = ()) -> None:
        self._workers = list(workers)
        self._kept = [_Kept(_command(config)) for config in workers] + [_Kept(tuple(one)) for one in commands]
        self._stopped = self._renew = False
        self._old: list[int] = []  # workers that are to be replaced, by their place
        self._fresh: tuple[WorkerConfig, subprocess.Popen[bytes], float] | None = None  # who replaces the first of them
        self._leaving: list[tuple[int, subprocess.Popen[bytes], float]] = []  # slots and processes that end

    def run(self) -> None:
        """Run until stopped. Raises ``RivalsError`` where the port is taken or the endpoint served already."""
        run_dir = Path(self._workers[0].run_dir)
        for config in self._workers[:1]:
            check_host(config.host, os.environ.get("RIVALS_TOKEN", ""))
            _free(config.host, config.port)
        lock = _only_one(run_dir)
        heard = {signal.SIGTERM: self._stop, signal.SIGINT: self._stop, signal.SIGHUP: self._hang_up}
        before = {number: signal.signal(number, handler) for number, handler in heard.items()}
        try:
            bury(run_dir, self._slots())
            while not self._stopped:
                for kept in self._kept:
                    kept.look()
                self._replace(run_dir)
                time.sleep(PERIOD)
        finally:
            fresh = [self._fresh[1]] if self._fresh else []
            stop([kept.process for kept in self._kept if kept.process] + [one[1] for one in self._leaving] + fresh)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(lock)

    def _stop(self, *_: object) -> None:
        self._stopped = True

    def _hang_up(self, *_: object) -> None:
        self._renew = True

    def _slots(self) -> set[int]:
        return {config.slot for config in self._workers} | {slot for slot, *_ in self._leaving}

    def _replace(self, run_dir: Path) -> None:
        """One look at a restart that is under way, if one is."""
        now = time.monotonic()
        if self._renew and not self._old:
            self._renew, self._old = False, list(range(len(self._workers)))
        if self._old and self._fresh is None:
            many, config = len(self._workers), self._workers[self._old[0]]
            config = replace(config, slot=(config.slot + many) % (2 * many))  # the old one holds its own to the end
            if config.slot not in self._slots():
                self._fresh = config, _start(_command(config)), now
        elif self._fresh is not None:
            config, process, since = self._fresh
            if any(one.pid == process.pid for one in read_obeyed(run_dir)):
                self._handed_over(self._old.pop(0), config, process)
            elif process.poll() is not None or now - since > BEGIN:
                log.error("restart.failed pid=%d", process.pid)
                stop([process])
                self._old, self._fresh = [], None
        ended = [one for one in self._leaving if one[1].poll() is not None]
        for _, process, since in self._leaving:
            if process.poll() is None and now - since > GRACE:
                log.warning("process.killed pid=%d", process.pid)
                process.kill()
        if ended:
            self._leaving = [one for one in self._leaving if one not in ended]
            bury(run_dir, self._slots() | ({self._fresh[0].slot} if self._fresh else set()))

    def _handed_over(self, place: int, config: WorkerConfig, process: subprocess.Popen[bytes]) -> None:
        """The new worker listens: let the old one end what it has."""
        log.info("worker.replaced pid=%d", process.pid)
        before = self._kept[place].process
        if before is not None:
            before.terminate()
            self._leaving.append((self._workers[place].slot, before, time.monotonic()))
        self._kept[place] = _Kept(_command(config), process, started=time.monotonic())
        self._workers[place], self._fresh = config, None


def stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Stop these processes of ours: kindly, and after ``GRACE`` seconds for good."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("process.killed pid=%d", process.pid)
            process.kill()
            process.wait()


@dataclass
class _Kept:
    """A command that should be running."""

    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    wait: float = FIRST
    started: float = 0.0
    again: float = field(default=0.0)  # not before

    def look(self) -> None:
        """Start it if it is not running, and not too often."""
        now = time.monotonic()
        if self.process is not None:
            code = self.process.poll()
            if code is None:
                return
            self.wait = FIRST if now - self.started > WELL else min(2 * self.wait, LAST)
            self.again = now + self.wait
            log.warning("process.died pid=%d code=%d again_in=%.1f", self.process.pid, code, self.wait)
            self.process = None
        if now >= self.again:
            self.process, self.started = _start(self.command), now


def _command(config: WorkerConfig) -> Sequence[str]:
    return sys.executable, "-m", "rivals.serve.server", msgspec.json.encode(config).decode()


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    # Few arenas: each keeps what was freed in it, and threads come and go (benchmarks/shelf.py).
    environment = {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", **os.environ}
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment)  # noqa: S603 -- our own commands


def _free(host: str, port: int) -> None:
    """Raises ``RivalsError`` if somebody listens there: workers share a port, and would share it with a stranger."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise RivalsError(
                f"Port {port} on {host} cannot be had ({error.strerror}); choose another --port."
            ) from None


def _only_one(run_dir: Path) -> int:
    lock = os.open(run_dir / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise RivalsError("This endpoint is served already; stop that server first.") from None
    return lock
