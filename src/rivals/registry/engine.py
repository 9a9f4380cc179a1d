"""How the store's database is opened and spoken to: all in which SQLite and PostgreSQL differ stands here.

Both have one writer at a time and readers that never wait for it. On SQLite that is a write-ahead log and ``BEGIN
IMMEDIATE``; on PostgreSQL whoever writes takes one advisory lock for its transaction, so that nothing is decided twice
and no transaction has to be repeated because of another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from rivals.errors import MissingExtra, RivalsError, StoreAway
from rivals.registry.schema import metadata

WAIT_MS = 30_000  # how long a writer waits for another one; ours take well under a second
# Whoever stops in the middle (frozen, or its host gone) is let go of by PostgreSQL, and its transaction undone.
STOPPED_MS = 5_000
CONNECT = {"connect_timeout": 3, "keepalives_idle": 2, "keepalives_interval": 1, "keepalives_count": 3}
SESSION = (
    f"SET lock_timeout = {WAIT_MS}; SET idle_in_transaction_session_timeout = {STOPPED_MS}; "
    "SET tcp_keepalives_idle = 2; SET tcp_keepalives_interval = 1; SET tcp_keepalives_count = 3"
)
INSERTS: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
# Keys of locks are of the whole database: a schema's name keeps stores in one database apart.
KEY = "hashtextextended('rivals/' || current_schema() || '/' || %(name)s::text, 0)"
NOT_NOW = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError)


def open_engine(url: str) -> sa.Engine:
    """Open the database, whatever is in it. Raises ``RivalsError``, or ``StoreAway`` where it does not answer now."""
    try:
        engine = _engine(sa.make_url(url))
    except sa.exc.ArgumentError:
        raise RivalsError(
            "The store's URL is none; write sqlite:///path/to/file or postgresql+psycopg://user@host/database."
        ) from None
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"A store in PostgreSQL needs the package {error.name!r}: pip install 'rivals[postgres]'."
        ) from None
    with answering(engine), engine.connect():
        return engine


def _engine(url: sa.URL) -> sa.Engine:
    match "postgresql+psycopg" if url.drivername in {"postgres", "postgresql"} else url.drivername:
        case "sqlite" | "sqlite+pysqlite":
            engine = sa.create_engine(url)
            _set_up_sqlite(engine)
        case "postgresql+psycopg" as driver:
            given = {name: value for name, value in CONNECT.items() if name not in url.query}
            url = url.set(drivername=driver)
            engine = sa.create_engine(url, pool_pre_ping=True, pool_timeout=10, connect_args=given)
            _set_up_postgresql(engine)
        case other:
            raise RivalsError(f"A store is kept in SQLite or PostgreSQL, not in {other!r}.")
    return engine


def shown(engine: sa.Engine) -> str:
    """The URL for a message, without its password."""
    return engine.url.render_as_string(hide_password=True)


@contextmanager
def answering(engine: sa.Engine) -> Iterator[None]:
    """Say that the database does not answer, as ``StoreAway``, where it does not."""
    try:
        yield
    except NOT_NOW as error:
        _away(engine, error)
    except sa.exc.DatabaseError as error:
        if engine.dialect.name == "sqlite" and "not a database" in str(error.orig):
            raise RivalsError(f"The store {shown(engine)} cannot be opened: {error.orig}.") from error
        raise


def _away(engine: sa.Engine, error: Exception) -> NoReturn:
    reason = str(getattr(error, "orig", None) or error).strip().splitlines()
    raise StoreAway(
        f"The store {shown(engine)} does not answer: {(reason or ['no reason given'])[0].rstrip('.')}."
    ) from error


# -- transactions --------------------------------------------------------------------------------------


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection that sees one snapshot, however many queries it answers."""
    if engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with answering(engine), engine.connect() as connection:
        yield connection


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection in a transaction that may write; it waits for its turn at the beginning."""
    with answering(engine), engine.execution_options(rivals_write=True).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({KEY})", {"name": "write"})
        yield connection


# -- statements ------------------------------------------------------------------------------------------


def insert_new(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> int:
    """Insert what is not there yet; returns how many that were."""
    if not rows:
        return 0
    statement = INSERTS[connection.dialect.name](table).on_conflict_do_nothing()
    if connection.dialect.name == "postgresql":  # which counts no rows of many at once
        return len(connection.execute(statement.returning(*table.primary_key), rows).all())
    return max(0, connection.execute(statement, rows).rowcount)


def insert(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows that all have the same keys, faster than SQLAlchemy, which looks at every value."""
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        _copy(connection, table, rows)
        return
    compiled = sa.insert(table).compile(dialect=connection.dialect, column_keys=list(rows[0]))
    order: Sequence[str] = compiled.positiontup or ()
    connection.exec_driver_sql(str(compiled), [tuple(row[key] for key in order) for row in rows])


def _copy(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    quote, names = connection.dialect.identifier_preparer.quote, list(rows[0])
    command = f"COPY {quote(table.name)} ({', '.join(quote(name) for name in names)}) FROM STDIN"
    cursor = connection.connection.cursor()
    try:
        with _as_sqlalchemy(command), cursor.copy(command) as copy:
            for row in rows:
                copy.write_row([row[name] for name in names])
    finally:
        cursor.close()


@contextmanager
def _as_sqlalchemy(command: str) -> Iterator[None]:
    """Raise what psycopg raises as what SQLAlchemy would make of it: it does not see this."""
    import psycopg  # noqa: PLC0415 -- of the postgres extra

    try:
        yield
    except psycopg.OperationalError as error:
        raise sa.exc.OperationalError(command, {}, error) from error


def overwrite_deleted(connection: sa.Connection) -> None:
    """From here on, leave nothing in the file of what is deleted; PostgreSQL does so when it is scrubbed."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete=ON")


def scrub(engine: sa.Engine) -> None:
    """Let go of the room that deleted rows still take, unless somebody still reads them."""
    with answering(engine):
        if engine.dialect.name == "postgresql":
            quote = engine.dialect.identifier_preparer.quote
            with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                connection.exec_driver_sql(f"VACUUM {', '.join(quote(name) for name in metadata.tables)}")
        else:
            raw = engine.raw_connection()
            raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
            raw.close()


# -- connections -----------------------------------------------------------------------------------------


def _set_up_sqlite(engine: sa.Engine) -> None:
    @sa.event.listens_for(engine, "connect")
    def connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # we begin by ourselves, below
        connection.execute(f"PRAGMA busy_timeout={WAIT_MS}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA cache_size=-65536")  # kB; ids are random, so their index is met all over
        # A journal file is deleted once it is shipped: what was shipped must be on the disk by then.
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # A reader that turned writer late would be refused at once, however long it may wait.
        write = connection.get_execution_options().get("rivals_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def unsynced(engine: sa.Engine) -> None:
    """Let SQLite leave it to the system when the disk hears of a write, from now on."""
    if engine.dialect.name == "sqlite":
        engine.dispose()
        sa.event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))


def _set_up_postgresql(engine: sa.Engine) -> None:
    @sa.event.listens_for(engine, "connect")
    def connect(connection: Any, _: Any) -> None:
        with _as_sqlalchemy(SESSION), connection.cursor() as cursor:
            cursor.execute(SESSION)
            connection.commit()
