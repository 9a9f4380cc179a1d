"""Every task in a process of its own on this machine, so that one that dies takes nobody with it."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from rivals.errors import BuildError, OutOfMemory, OutOfTime, SpecError

Item = TypeVar("Item")
Result = TypeVar("Result")

LOOK = 0.02  # seconds between looks at a running task
MB = 1 << 20
# One thread a task: many tasks side by side are faster than many threads each, and the same sums come out.
THREADS = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


class Local:
    """At most ``workers`` tasks side by side (default: one a core), each with its own time and memory.

    ``memory_mb`` limits what a task keeps in memory (needs /proc, as on Linux), ``seconds`` how long it may run once it
    has started. Tasks are module functions, items and results plain values. ``Local(workers=4, seconds=600)``.
    """

    def __init__(self, workers: int | None = None, memory_mb: int | None = None, seconds: float | None = None) -> None:
        for name, value in (("workers", workers), ("memory_mb", memory_mb), ("seconds", seconds)):
            if value is not None and not value > 0:
                raise SpecError(f"backend local: {name} is a number above 0, not {value!r}.")
        self.workers = workers or _cores()
        self.memory_mb, self.seconds = memory_mb, seconds
        self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="rivals-local")
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._nursery: subprocess.Popen[bytes] | None = None
        self._used = False  # whether it has ever had a task

    def warm(self, *modules: str) -> None:
        """Load modules beside what the caller does, once for all tasks; what cannot be loaded is told by the task."""
        self._tell("".join(f"{module}\n" for module in modules).encode())

    def submit(self, task: Callable[[Item], Result], item: Item) -> Future[Result]:
        """Start ``task(item)``; the future raises ``BuildError`` with one line, ``OutOfTime`` or ``OutOfMemory``."""
        if task.__module__ == "__main__":
            raise BuildError(
                f"{task.__qualname__} stands in the script that runs; a task stands in a module of its own."
            )
        return self._pool.submit(self._run, task, item)

    def close(self) -> None:
        """End whatever still runs; what has not started is cancelled."""
        self._closed.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            if self._nursery is not None and self._nursery.stdin is not None:
                self._nursery.stdin.close()
                if not self._used:
                    self._nursery.kill()  # it would end what it loads first
                self._nursery.wait()

    def _run(self, task: Callable[[Item], Result], item: Item) -> Result:
        with tempfile.TemporaryDirectory(prefix="rivals-task-") as name:
            folder = Path(name)
            try:
                (folder / "task").write_bytes(pickle.dumps((task, item)))
            except (pickle.PicklingError, AttributeError, TypeError) as error:
                raise BuildError(f"A task is a function of a module, and its item plain values ({error}).") from error
            (folder / "module").write_text(task.__module__)
            self._used = True
            nursery = self._tell(os.fsencode(folder) + b"\n")
            self._wait(folder, nursery)
            result: Result = self._answer(folder)
            return result

    def _tell(self, lines: bytes) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed.is_set():
                raise BuildError("The backend was closed before this task started.")
            if self._nursery is None or self._nursery.poll() is not None:
                environment = {**os.environ, **THREADS, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
                command = [sys.executable, "-m", "rivals.infra.nursery"]
                self._nursery = subprocess.Popen(  # noqa: S603 -- ourselves
                    command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment
                )
            assert self._nursery.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # it has just died: seen by whoever waits
                self._nursery.stdin.write(lines)
                self._nursery.stdin.flush()
            return self._nursery

    def _wait(self, folder: Path, nursery: subprocess.Popen[bytes]) -> None:
        """Wait for the end of the task, or make it. Raises ``OutOfTime``, ``OutOfMemory``, ``BuildError``."""
        started, pid = 0.0, 0
        while not (folder / "status").exists():
            if nursery.poll() is not None and not (folder / "status").exists():
                raise OutOfMemory(
                    "the process that starts all tasks died; is there enough memory for this many side by side?"
                )
            if not pid and (folder / "pid").exists():
                pid, started = int((folder / "pid").read_text()), time.monotonic()
            if pid:
                self._judge(folder, pid, time.monotonic() - started)
            time.sleep(LOOK)

    def _judge(self, folder: Path, pid: int, spent: float) -> None:
        if self._closed.is_set():
            _kill(folder, pid)
            raise BuildError("The backend was closed while this task ran.")
        if self.seconds is not None and spent > self.seconds:
            _kill(folder, pid)
            raise OutOfTime(
                f"it ran longer than its {self.seconds:g} seconds; give it more (limits.seconds) or less to do"
            )
        if self.memory_mb is not None and (used := _resident(pid)) > self.memory_mb * MB:
            _kill(folder, pid)
            raise OutOfMemory(
                f"it took {used // MB} MB where {self.memory_mb} MB are allowed; "
                "give it more (limits.memory_mb) or fewer rows"
            )

    def _answer(self, folder: Path) -> Any:
        if not (folder / "answer").exists():
            code = int((folder / "status").read_text())
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            why = "; most likely for want of memory" if code == -signal.SIGKILL else ""
            raise OutOfMemory(f"its process died ({how}){why}{_last_words(folder)}")
        good, result = pickle.loads((folder / "answer").read_bytes())  # noqa: S301 -- our own process wrote it, in our folder
        if good:
            return result
        raise result


def _kill(folder: Path, pid: int) -> None:
    """End the task and what it started; once its status is there, the number may be somebody else's."""
    if not (folder / "status").exists():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def _resident(pid: int) -> int:
    """Bytes in memory; 0 where nobody tells."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def _last_words(folder: Path) -> str:
    try:
        lines = (folder / "log").read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return f"; its last words: {lines[-1][:200]}" if lines else ""


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
