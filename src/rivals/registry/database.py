"""A database as the store uses it: snapshots to read, transactions to write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa

from rivals.registry import engine, revisions
from rivals.registry.transaction import Transaction, read

T = TypeVar("T")


class Database:
    """The database at an SQLAlchemy URL, of SQLite or PostgreSQL. Raises ``RivalsError`` where it cannot be opened.

    Every method raises ``StoreAway`` where the database does not answer.
    """

    def __init__(self, url: str, *, lasting: bool = True) -> None:
        """``lasting``: what was written outlives a power cut; a rehearsal is only begun again."""
        self._engine = revisions.open_store(url)
        if not lasting:
            engine.unsynced(self._engine)

    @property
    def engine(self) -> sa.Engine:
        """Its connections, for who needs one of their own."""
        return self._engine

    def close(self) -> None:
        """Let go of the database's connections."""
        self._engine.dispose()

    def scrub(self) -> None:
        """Leave nothing that was deleted, unless somebody still reads it."""
        engine.scrub(self._engine)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Write several things together, or none. Other writers wait; readers do not."""
        with engine.writing(self._engine) as connection:
            yield Transaction(connection)

    @contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        """Read several things as they are at one time."""
        with engine.reading(self._engine) as connection:
            yield connection

    def rows(self, query: sa.Select[Any]) -> Sequence[Any]:
        """What a query finds, as one snapshot."""
        with self.snapshot() as connection:
            return connection.execute(query).all()

    def _one(self, query: sa.Select[Any]) -> Any:
        with self.snapshot() as connection:
            return connection.execute(query).scalar()

    def _value(self, query: sa.Select[Any], kind: type[T]) -> T | None:
        found = self._one(query)
        return None if found is None else read(found, kind)
