"""This process's own durable log: exposures and feedback, written here first and shipped to the store from here.

Each worker slot writes files of its own (``logfile``), ``<slot>-<exposures|feedback>-<number>-<token>.log`` in
``journal/``: a new one after ``ROTATE`` entries and at every start. An entry of exposures is one turn of the loop and
is in the kernel when ``commit`` returns: it survives the process, not the machine. Feedback is acknowledged after
fsync. How they are read is in ``entries``.
"""

from __future__ import annotations

import fcntl
import logging
import os
import queue
import secrets
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from rivals.errors import Overloaded, RequestError
from rivals.serve.entries import Closed, Opened, Turn, files, folder
from rivals.serve.logfile import DamagedError, LogFile, frames
from rivals.values import Feedback, Outcome

log = logging.getLogger("rivals.journal")

ROTATE = 20_000  # entries: a worker that comes back reads one file of them before it serves
BACKLOG = 100_000  # exposures kept in memory while the disk refuses them
GROUP = 10_000  # acknowledgements of one fsync, at most

Kind = Literal["exposures", "feedback"]
T = TypeVar("T")


class Journal:
    """Exposures of one worker slot. Not thread-safe: it belongs to the loop.

    Waits until another process that still holds the slot is gone, and closes what that one left open as lost.
    """

    def __init__(self, run_dir: Path, slot: int, endpoint: str, rotate: int = ROTATE) -> None:
        self._endpoint = endpoint
        self._encode = msgspec.msgpack.Encoder().encode
        self._open: dict[tuple[str, str], Opened] = {}
        self._backlog: deque[Opened | Closed] = deque(maxlen=BACKLOG)
        self._lock = _hold(run_dir, slot)
        lost = _orphans(run_dir, slot)
        self._log = Log(run_dir, slot, "exposures", rotate=rotate)
        if lost and self.commit([], lost):
            log.info("journal.lost slot=%d exposures=%d", slot, sum(one.rows for one in lost))

    def commit(self, opened: Sequence[Opened], closed: Sequence[Closed]) -> bool:
        """Write one turn. False where the disk refuses it: the turn is kept and tried again with the next one."""
        for one in opened:
            self._open[one.id, one.variant] = one
        for end in closed:
            self._open.pop((end.id, end.variant), None)
        if self._backlog:
            opened = [*(one for one in self._backlog if isinstance(one, Opened)), *opened]
            closed = [*(end for end in self._backlog if isinstance(end, Closed)), *closed]
        try:
            if self._log.full:
                # A file must tell by itself what is open, for the ones before it may be shipped and gone.
                self._log.rotate(self._encode(Turn(self._endpoint, list(self._open.values()), ())))
            self._log.append([self._encode(Turn(self._endpoint, opened, closed))])
        except OSError as error:
            if not self._backlog:
                log.warning("journal.refused reason=%s", error)
            self._backlog.clear()
            self._backlog.extend((*opened, *closed))
            return False
        self._backlog.clear()
        return True

    def close(self) -> None:
        """Leave the slot to the next process."""
        self._log.close()
        os.close(self._lock)


class Unrecorded:
    """A journal that keeps nothing: of a server behind another one, which keeps its own."""

    def commit(self, opened: Sequence[Opened], closed: Sequence[Closed]) -> bool:  # noqa: ARG002 -- a Record's
        """Let it pass."""
        return True

    def close(self) -> None:
        """Nothing is held."""


class FeedbackLog:
    """Feedback of one worker slot: written by a thread, many at a time, acknowledged after fsync."""

    def __init__(self, run_dir: Path, slot: int, rotate: int = ROTATE) -> None:
        self._log = Log(run_dir, slot, "feedback", rotate=rotate)
        self._waiting: queue.SimpleQueue[tuple[bytes, Callable[[RequestError | None], object]] | None] = (
            queue.SimpleQueue()
        )
        self._thread = threading.Thread(target=self._run, name="feedback", daemon=True)
        self._thread.start()

    def put(self, feedback: Sequence[Feedback], done: Callable[[RequestError | None], object]) -> None:
        """Keep it; ``done`` is called in the writing thread, with an error if it could not be kept."""
        self._waiting.put((msgspec.msgpack.encode(feedback), done))

    def close(self) -> None:
        """Write what waits, and end."""
        self._waiting.put(None)
        self._thread.join()
        self._log.close()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            group, last = drain(first, self._waiting, GROUP)
            error: RequestError | None = None
            try:
                if self._log.full:
                    self._log.rotate()
                self._log.append([payload for payload, _ in group])
            except OSError as refusal:
                log.warning("feedback.refused reason=%s", refusal)
                error = Overloaded("Feedback cannot be written down just now; it was not kept. Send it again.")
            for _, done in group:
                done(error)
            if last:
                return


def drain(first: T, waiting: queue.SimpleQueue[T | None], most: int) -> tuple[list[T], bool]:
    """``first`` and what waits behind it, at most so many; and whether the None that ends it was among them."""
    group = [first]
    while len(group) < most:
        try:
            one = waiting.get_nowait()
        except queue.Empty:
            return group, False
        if one is None:
            return group, True
        group.append(one)
    return group, False


class Log:
    """A file of entries, and the next one when it is full; feedback is on the disk when ``append`` returns."""

    def __init__(self, run_dir: Path, slot: int, kind: Kind, rotate: int = ROTATE) -> None:
        self._folder, self._slot, self._kind, self._rotate = folder(run_dir), slot, kind, rotate
        self._number = max((name.number for name in files(self._folder, slot, kind)), default=0)
        self._file = self._next()

    @property
    def full(self) -> bool:
        """Whether the next entry belongs into a new file."""
        return self.entries >= self._rotate

    def append(self, payloads: Iterable[bytes]) -> None:
        """Write entries in one go. Raises ``OSError``, and then nothing is written."""
        written = list(payloads)
        self._file.append(written)
        self.entries += len(written)
        if self._kind == "feedback":
            self._file.sync()

    def rotate(self, *carried: bytes) -> None:
        """Begin the next file with what it must know of this one."""
        before, self._file = self._file, self._next()
        if carried:
            self.append(carried)
        before.close()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _next(self) -> LogFile:
        self._number += 1
        file = LogFile(self._folder / f"{self._slot}-{self._kind}-{self._number:08d}-{secrets.token_hex(8)}.log")
        if self._kind == "feedback":
            _sync_folder(self._folder)
        self.entries = 0
        return file


def bury(run_dir: Path, held: Collection[int]) -> None:
    """Close as lost what was left open by worker slots that nobody holds, or will."""
    for slot in sorted({name.slot for name in files(folder(run_dir))} - set(held)):
        if _orphans(run_dir, slot):
            Journal(run_dir, slot, _endpoint(run_dir, slot)).close()


def _orphans(run_dir: Path, slot: int) -> list[Closed]:
    """What the slot's newest file with entries has open, as lost: nobody can answer it any more."""
    names = files(folder(run_dir), slot, "exposures")
    waiting: dict[tuple[str, str], Opened] = {}
    try:
        while len(names) > 1 and not any(frames(names[-1].path)):  # begun by a process that died before it wrote
            names.pop()
        for _, payload in frames(names[-1].path) if names else ():
            turn = msgspec.msgpack.decode(payload, type=Turn)
            waiting.update(((one.id, one.variant), one) for one in turn.opened)
            for end in turn.closed:
                waiting.pop((end.id, end.variant), None)
    except (DamagedError, msgspec.MsgspecError) as error:
        log.warning("journal.unreadable file=%s reason=%s", names[-1].path.name, error)
    return [Closed(one.id, one.rows, one.variant, Outcome.LOST, 0) for one in waiting.values()]


def _endpoint(run_dir: Path, slot: int) -> str:
    newest = next(one for one in reversed(files(folder(run_dir), slot, "exposures")) if any(frames(one.path)))
    turns = (msgspec.msgpack.decode(payload, type=Turn) for _, payload in frames(newest.path))
    return next(turn.endpoint for turn in turns)


def _hold(run_dir: Path, slot: int) -> int:
    """Wait for the slot; the system lets go of it when its process dies."""
    lock = os.open(folder(run_dir) / f"{slot}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log.info("journal.waiting slot=%d", slot)
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _sync_folder(path: Path) -> None:
    entry = os.open(path, os.O_RDONLY)
    try:
        os.fsync(entry)
    finally:
        os.close(entry)
