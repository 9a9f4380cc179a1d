"""Which of several processes leads: one of all that share a store, and another within seconds of its end.

On PostgreSQL it is whoever holds an advisory lock, on a connection of its own: the server lets go of it when the
connection ends, or when nothing was heard on it for a few seconds. Among processes that share an SQLite file it is
whoever holds a lock on a file beside it. Leading is a convenience: what keeps two from deciding the same thing is that
each decision is written only where nobody else has written since (``Transaction.expect``).
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeVar

import sqlalchemy as sa

from rivals.registry.database import Database
from rivals.registry.engine import KEY, NOT_NOW, STOPPED_MS, answering

log = logging.getLogger("rivals.leader")

T = TypeVar("T")


class Leadership(Protocol):
    """One process's part in it. ``leads`` and ``resign`` are called from one thread, ``leads`` about every second."""

    def leads(self) -> bool:
        """Take the lead if nobody has it, and say whether it is ours."""

    def resign(self) -> None:
        """Let others lead, at once."""

    def beat(self) -> None:
        """Let those who stand by know that the leader did its work once more."""

    def beats(self) -> int:
        """How often leaders did so; a number that stands still says that nobody leads."""


def leadership(store: Database, name: str) -> Leadership:
    """The leadership of that name among all processes that share the store."""
    engine = store.engine
    if engine.dialect.name == "postgresql":
        return _Server(engine, name)
    file = engine.url.database
    return _File(f"{file}.{name}.leader") if file and file != ":memory:" else _Alone()


class _Server:
    def __init__(self, engine: sa.Engine, name: str) -> None:
        self._engine, self._name = engine, name
        self._connection: sa.Connection | None = None
        self._held = False

    def leads(self) -> bool:
        try:
            if self._connection is None:
                self._connection = self._connect()
            if not self._held:
                asked = f"SELECT pg_try_advisory_lock({KEY})"
                self._held = bool(self._connection.exec_driver_sql(asked, {"name": f"leader/{self._name}"}).scalar())
            else:
                self._connection.exec_driver_sql("SELECT 1")  # held for as long as this connection lives
        except NOT_NOW as error:
            self._drop()
            log.info("leader.unreachable name=%s reason=%s", self._name, str(error.__cause__ or error).strip())
        return self._held

    def resign(self) -> None:
        if self._held and self._connection is not None:
            with suppress(*NOT_NOW):  # a server that is away has let go of it
                said = f"SELECT pg_advisory_unlock({KEY})"  # before the connection ends, which takes its time
                self._connection.exec_driver_sql(said, {"name": f"leader/{self._name}"})
        self._drop()

    def _drop(self) -> None:
        self._held = False
        if self._connection is not None:
            self._connection.invalidate()  # not back to the pool: the lock is the session's
            self._connection.close()
            self._connection = None

    def beat(self) -> None:
        said = (
            "INSERT INTO state (key, raw) VALUES (%(key)s, '1') "
            "ON CONFLICT (key) DO UPDATE SET raw = (convert_from(state.raw, 'UTF8')::bigint + 1)::text::bytea"
        )
        with answering(self._engine), self._engine.begin() as connection:
            connection.exec_driver_sql(said, {"key": f"beats/{self._name}"})

    def beats(self) -> int:
        said = "SELECT raw FROM state WHERE key = %(key)s"
        with answering(self._engine), self._engine.begin() as connection:
            return int(connection.exec_driver_sql(said, {"key": f"beats/{self._name}"}).scalar() or 0)

    def _connect(self) -> sa.Connection:
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        connection.exec_driver_sql(f"SET idle_session_timeout = {STOPPED_MS}")
        return connection


class _File:
    def __init__(self, path: str) -> None:
        self._path, self._file = path, -1

    def leads(self) -> bool:
        if self._file < 0:
            file = self._open()
            if _locked(file):
                self._file = file
            else:
                os.close(file)
        return self._file >= 0

    def resign(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def beat(self) -> None:
        count = str(self.beats() + 1).encode()
        self._do(lambda file: os.pwrite(file, count, 0))

    def beats(self) -> int:
        return int(self._do(lambda file: os.pread(file, 32, 0)) or 0)

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _do(self, work: Callable[[int], T]) -> T:
        file = self._open()  # closing it lets go of no lock: that is of the other descriptor
        try:
            return work(file)
        finally:
            os.close(file)


class _Alone:
    """A store in memory: nobody shares it."""

    def leads(self) -> bool:
        return True

    def resign(self) -> None:
        pass

    def beat(self) -> None:
        pass

    def beats(self) -> int:
        return 0


class OnlyHere:
    """Whether this process is the one on its host that does what a file stands for: the first who asks."""

    def __init__(self, path: Path) -> None:
        self._lock = _File(str(path))
        self.ours = self._lock.leads

    def close(self) -> None:
        """Leave it to another."""
        self._lock.resign()


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
