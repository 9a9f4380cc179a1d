"""Rows from a database."""

from __future__ import annotations

import os

import pandas as pd
import sqlalchemy as sa

from rivals.build.rows import digest, fingerprints
from rivals.errors import DataError, SpecError

FILE = "sqlite:///"


class Sql:
    """Rows of a ``query`` in the database at ``url``, an SQLAlchemy URL, or ``path``, an SQLite file.

    A URL with a password has no place in a project file: ``env`` names the environment variable that holds it. The
    query runs in a transaction that is never committed. Order the rows, or their order is the database's.
    """

    def __init__(self, query: str, url: str | None = None, env: str | None = None, path: str | None = None) -> None:
        if sum(one is not None for one in (url, env, path)) != 1:
            raise SpecError("source sql: say one of url, env (the variable that holds the URL) and path (SQLite).")
        if not query.strip().lower().startswith(("select", "with")):
            raise SpecError("source sql: query is a SELECT; a source reads and changes nothing.")
        if url is not None and _has_password(url):
            raise SpecError("source sql: the URL holds a password; put it into a variable and name that: env: NAME.")
        self.query, self._url, self._env, self._path = query, url, env, path
        self._frame: pd.DataFrame | None = None

    def read(self) -> pd.DataFrame:
        """All rows. Raises ``DataError`` where the database does not answer the query."""
        if self._frame is None:
            self._frame = self._rows()
        return self._frame.copy(deep=False)

    def digest(self) -> str:
        """SHA-256 of what was read: another query with the same rows has the same digest."""
        return digest(fingerprints(self.read()))

    def _rows(self) -> pd.DataFrame:
        try:
            engine = sa.create_engine(self._address())
        except (sa.exc.ArgumentError, ModuleNotFoundError) as error:
            raise DataError(f"source sql: the URL opens no database: {error}") from None
        try:
            # A query that begins with WITH may write after all: nothing here can.
            reading = engine.execution_options(postgresql_readonly=True) if engine.name == "postgresql" else engine
            with reading.connect() as connection, connection.begin() as transaction:
                if engine.name == "sqlite":
                    connection.exec_driver_sql("PRAGMA query_only = ON")
                rows = pd.read_sql_query(sa.text(self.query), connection)
                transaction.rollback()
                return rows
        except (sa.exc.SQLAlchemyError, pd.errors.DatabaseError) as error:
            said = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise DataError(f"source sql: the database does not answer the query: {said}") from None
        finally:
            engine.dispose()

    def _address(self) -> str:
        if self._env is not None:
            if not (url := os.environ.get(self._env)):
                raise DataError(f"source sql: the environment variable {self._env} holds no URL.")
            return url
        if self._path is not None:
            if not os.path.exists(self._path):  # noqa: PTH110 -- SQLite would make an empty one
                raise DataError(f"source sql: there is no file {self._path}; paths start at the project file.")
            return f"{FILE}{self._path}"
        assert self._url is not None
        return self._url


def _has_password(url: str) -> bool:
    try:
        return sa.make_url(url).password is not None
    except sa.exc.ArgumentError:
        return False  # no URL at all: read() says so
