"""This process's own durable log: exposures and feedback, written here first and shipped to the store from here.

Each worker slot writes SQLite files of its own, ``<slot>-<exposures|feedback>-<number>-<token>.db`` in ``journal/``:
append-only, one entry a commit, a new file after ``ROTATE`` entries and at every start. An entry of exposures is one
turn of the loop and is in the kernel when ``commit`` returns: it survives the process, not the machine. Feedback is
acknowledged after fsync. The reader asks for what comes after its cursors, and deletes what is shipped.
"""

from __future__ import annotations

import fcntl
import logging
import os
import queue
import secrets
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from rivals.errors import Overloaded, RequestError
from rivals.values import Exposure, Feedback, Outcome

log = logging.getLogger("rivals.journal")

ROTATE = 20_000  # entries: a worker that comes back reads one file of them before it serves
BACKLOG = 100_000  # exposures kept in memory while the disk refuses them
GROUP = 10_000  # acknowledgements of one fsync, at most

Kind = Literal["exposures", "feedback"]
Close = tuple[str, str, Outcome, int, tuple[float, ...]]  # id, variant, outcome, latency_us, output
T = TypeVar("T")


# -- what is written: array-like, for these two are most of the bytes --------------------------------------


class Opened(msgspec.Struct, array_like=True, gc=False):
    """A request put to a variant: one exposure for each of its rows."""

    id: str
    rows: int
    variant: str
    shadow: bool
    revision: int
    time: float
    unit: str
    propensity: Mapping[str, float]


class Closed(msgspec.Struct, array_like=True, gc=False):
    """How it ended; ``outputs`` by row, and none where there is no answer."""

    id: str
    rows: int
    variant: str
    outcome: Outcome
    latency_us: int
    outputs: Sequence[Sequence[float]] = ()


class Turn(msgspec.Struct, array_like=True):
    """What one turn of the loop opened and closed."""

    endpoint: str
    opened: Sequence[Opened]
    closed: Sequence[Closed]


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries of one file, up to and including ``seq``; shipping them twice must change nothing."""

    file: str
    seq: int
    opens: list[Exposure]
    closes: list[Close]
    feedback: list[Feedback]


# -- writing ---------------------------------------------------------------------------------------------


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
        except sqlite3.Error as error:
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
            except (sqlite3.Error, OSError) as refusal:
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
    """An append-only SQLite file, and the next one when it is full. ``append`` is one commit."""

    def __init__(self, run_dir: Path, slot: int, kind: Kind, rotate: int = ROTATE) -> None:
        self._folder, self._slot, self._kind, self._rotate = folder(run_dir), slot, kind, rotate
        self._number = max((name.number for name in _files(self._folder, slot, kind)), default=0)
        self._database = self._next()

    @property
    def full(self) -> bool:
        """Whether the next entry belongs into a new file."""
        return self._entries >= self._rotate

    def append(self, payloads: Iterable[bytes]) -> None:
        """Write entries in one commit. Raises ``sqlite3.Error``, and then nothing is written."""
        rows = [(payload,) for payload in payloads]
        if len(rows) == 1:  # one statement is its own transaction
            self._database.execute("insert into entries (payload) values (?)", rows[0])
        else:
            with self._database:
                self._database.execute("begin")
                self._database.executemany("insert into entries (payload) values (?)", rows)
        self._entries += len(rows)

    def rotate(self, *carried: bytes) -> None:
        """Begin the next file with what it must know of this one."""
        before, self._database = self._database, self._next()
        self.append(carried)
        before.close()

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _next(self) -> sqlite3.Connection:
        self._number += 1
        path = self._folder / f"{self._slot}-{self._kind}-{self._number:08d}-{secrets.token_hex(4)}.db"
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        durable = self._kind == "feedback"
        database.execute(f"pragma synchronous = {'full' if durable else 'off'}")
        database.execute("pragma journal_mode = wal")
        database.execute("pragma wal_autocheckpoint = 250")  # often and short, for it halts the loop
        database.execute("create table entries (seq integer primary key, payload blob not null)")
        if durable:
            _sync_folder(self._folder)
        self._entries = 0
        return database


# -- reading ---------------------------------------------------------------------------------------------


def read(run_dir: Path, cursors: Mapping[str, int], limit: int) -> list[Batch]:
    """What was written after the cursors (by file name), oldest first, about ``limit`` exposures a worker slot.

    A slot's later file is not read before its earlier ones are, so that no close comes before its open.
    """
    batches, unfinished = [], set[tuple[int, str]]()
    for name in _files(folder(run_dir)):
        if (name.slot, name.kind) in unfinished:
            continue
        try:
            batch, finished = _read_file(name, cursors.get(name.path.name, 0), limit)
        except sqlite3.OperationalError:  # begun this moment, or busy: the next round reads it
            batch, finished = None, False
        except (sqlite3.DatabaseError, msgspec.MsgspecError) as error:
            # A machine that lost power may leave this. It is kept for a person, and holds up nobody.
            log.warning("journal.damaged file=%s reason=%s", name.path.name, error)
            name.path.rename(name.path.with_suffix(".damaged"))
            continue
        if not finished:
            unfinished.add((name.slot, name.kind))
        if batch:
            batches.append(batch)
    return batches


def forget(run_dir: Path, cursors: Mapping[str, int]) -> None:
    """Delete files that are shipped to their end and no longer written to."""
    names = list(_files(folder(run_dir)))
    newest = {(name.slot, name.kind): name.number for name in names}
    for name in names:
        if name.number < newest[name.slot, name.kind] and cursors.get(name.path.name, 0) >= _last(name.path):
            for ending in ("", "-wal", "-shm"):
                Path(f"{name.path}{ending}").unlink(missing_ok=True)


def bury(run_dir: Path, slots: int) -> None:
    """Close as lost what was left open by worker slots from ``slots`` up, which nobody will hold again."""
    for slot in sorted({name.slot for name in _files(folder(run_dir)) if name.slot >= slots}):
        if _orphans(run_dir, slot):
            Journal(run_dir, slot, _endpoint(run_dir, slot)).close()


def folder(run_dir: Path) -> Path:
    """Where the journals are; made on first use, for this user's eyes only."""
    path = run_dir / "journal"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


@dataclass(frozen=True, slots=True, order=True)
class _Name:
    slot: int
    kind: str
    number: int
    path: Path


def _files(journal: Path, slot: int | None = None, kind: str | None = None) -> list[_Name]:
    found = []
    for path in journal.glob("*-*-*-*.db"):
        of, named, number, _ = path.stem.split("-")
        if slot in {None, int(of)} and kind in {None, named}:
            found.append(_Name(int(of), named, int(number), path))
    return sorted(found)


def _read_file(name: _Name, after: int, limit: int) -> tuple[Batch | None, bool]:
    batch, seq, size = Batch(name.path.name, after, [], [], []), after, 0
    for entry, payload in _entries(name.path, after):
        if size >= limit:
            return Batch(batch.file, seq, batch.opens, batch.closes, batch.feedback), False
        seq = entry
        if name.kind == "feedback":
            batch.feedback.extend(msgspec.msgpack.decode(payload, type=list[Feedback]))
        else:
            turn = msgspec.msgpack.decode(payload, type=Turn)
            for one in turn.opened:
                batch.opens.extend(_exposures(turn.endpoint, one))
            for end in turn.closed:
                batch.closes.extend(_closes(end))
        size = len(batch.opens) + len(batch.closes) + len(batch.feedback)
    return Batch(batch.file, seq, batch.opens, batch.closes, batch.feedback) if seq > after else None, True


def _exposures(endpoint: str, one: Opened) -> Iterator[Exposure]:
    for row in range(one.rows):
        yield Exposure(
            id=f"{one.id}/{row}",
            variant=one.variant,
            shadow=one.shadow,
            endpoint=endpoint,
            revision=one.revision,
            time=one.time,
            unit=one.unit,
            propensity=one.propensity,
        )


def _closes(end: Closed) -> Iterator[Close]:
    for row in range(end.rows):
        output = tuple(end.outputs[row]) if end.outputs else ()
        yield f"{end.id}/{row}", end.variant, end.outcome, end.latency_us, output


def _orphans(run_dir: Path, slot: int) -> list[Closed]:
    """What the slot's newest file with entries has open, as lost: nobody can answer it any more."""
    names = _files(folder(run_dir), slot, "exposures")
    waiting: dict[tuple[str, str], Opened] = {}
    try:
        while len(names) > 1 and not _last(names[-1].path):  # begun by a process that died before it wrote
            names.pop()
        for _, payload in _entries(names[-1].path, 0) if names else ():
            turn = msgspec.msgpack.decode(payload, type=Turn)
            waiting.update(((one.id, one.variant), one) for one in turn.opened)
            for end in turn.closed:
                waiting.pop((end.id, end.variant), None)
    except (sqlite3.DatabaseError, msgspec.MsgspecError) as error:
        log.warning("journal.unreadable file=%s reason=%s", names[-1].path.name, error)
    return [Closed(one.id, one.rows, one.variant, Outcome.LOST, 0) for one in waiting.values()]


def _endpoint(run_dir: Path, slot: int) -> str:
    newest = next(one for one in reversed(_files(folder(run_dir), slot, "exposures")) if _last(one.path))
    turns = (msgspec.msgpack.decode(payload, type=Turn) for _, payload in _entries(newest.path, 0))
    return next(turn.endpoint for turn in turns)


def _entries(path: Path, after: int) -> Iterator[tuple[int, bytes]]:
    with closing(_connect(path)) as database:
        if not _begun(database):
            return
        yield from database.execute("select seq, payload from entries where seq > ? order by seq", (after,))


def _last(path: Path) -> int:
    with closing(_connect(path)) as database:
        if not _begun(database):
            return 0
        return int(database.execute("select coalesce(max(seq), 0) from entries").fetchone()[0])


def _begun(database: sqlite3.Connection) -> bool:
    """Whether there is anything to read; a process that dies at its start leaves a file without a table."""
    return database.execute("select 1 from sqlite_master").fetchone() is not None


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(f"file:{path}?mode=rw", uri=True, isolation_level=None)
    database.execute("pragma busy_timeout = 5000")
    return database


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
