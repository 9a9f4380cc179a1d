"""The store's tables, and how its database is opened.

Values are kept as JSON where they are read whole, and as columns where they are searched. Nothing here is SQLite's own
but what ``engine`` sets up, so that another database comes by its URL.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, LargeBinary, Text

from rivals.errors import RivalsError

VERSION = 1
WAIT_MS = 30_000  # how long a writer waits for another one; ours take well under a second

# SQLite numbers rows by itself only where the key is INTEGER.
Number = BigInteger().with_variant(Integer, "sqlite")

metadata = sa.MetaData()

schema_version = sa.Table("schema_version", metadata, Column("version", Integer, primary_key=True))

routing_tables = sa.Table(
    "routing_tables",
    metadata,
    Column("endpoint", Text, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("body", Text, nullable=False),
)

rollouts = sa.Table(
    "rollouts",
    metadata,
    Column("number", Number, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("endpoint", Text, nullable=False, index=True),
    Column("final", Boolean, nullable=False),
    Column("body", Text, nullable=False),
)

exposures = sa.Table(
    "exposures",
    metadata,
    Column("seq", Number, primary_key=True),
    Column("id", Text, nullable=False),
    Column("variant", Text, nullable=False),
    Column("shadow", Boolean, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("time", Double, nullable=False),
    Column("unit", Text, nullable=False),
    Column("propensity", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("latency_us", Integer, nullable=False),
    Column("output", Text, nullable=False),
    Column("slices", Text, nullable=False, server_default="[]"),
    Column("closed_seq", BigInteger),  # in the order of closing; null while open
    Index("exposures_key", "id", "variant", unique=True),
    Index("exposures_by_time", "endpoint", "time"),
    Index("exposures_by_closing", "endpoint", "closed_seq"),
)

feedback = sa.Table(
    "feedback",
    metadata,
    Column("id", Text, primary_key=True),
    Column("label", Text),  # JSON; null: none was given
    Column("reward", Double),
    Column("time", Double, nullable=False),
)

# Labels and rewards that were told differently about one id: it has none of that kind.
contradictions = sa.Table(
    "contradictions", metadata, Column("id", Text, primary_key=True), Column("kind", Text, primary_key=True)
)

# Labels and rewards about all exposures of a unit in the time [start, end); each that was ever told, once.
windows = sa.Table(
    "windows",
    metadata,
    Column("unit", Text, primary_key=True),
    Column("start", Double, primary_key=True),
    Column("end", Double, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("value", Text, primary_key=True),  # JSON
)

# What a row asked, where capture is wanted: as JSON, until the exposure goes to the archive.
inputs = sa.Table("inputs", metadata, Column("id", Text, primary_key=True), Column("body", Text, nullable=False))

# What is left of an erased exposure: its key, and the digest of what it was.
erased = sa.Table(
    "erased",
    metadata,
    Column("id", Text, primary_key=True),
    Column("variant", Text, primary_key=True),
    Column("endpoint", Text, nullable=False),
    Column("closed_seq", BigInteger),
    Column("digest", Text, nullable=False),
    Index("erased_by_closing", "endpoint", "closed_seq"),
)

# How far each journal file has been shipped.
cursors = sa.Table(
    "cursors", metadata, Column("source", Text, primary_key=True), Column("seq", BigInteger, nullable=False)
)

# What would be slow to count again: closed exposures by endpoint and variant.
tallies = sa.Table(
    "tallies",
    metadata,
    Column("endpoint", Text, primary_key=True),
    Column("variant", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Double, nullable=False),
)

# Numbers given out in order. Whoever takes one holds its row until the commit, so order of numbers is order of commits.
counters = sa.Table(
    "counters", metadata, Column("name", Text, primary_key=True), Column("value", BigInteger, nullable=False)
)
CLOSINGS, ENTRIES, TURN = "closings", "ledger_entries", "feedback"

state = sa.Table("state", metadata, Column("key", Text, primary_key=True), Column("raw", LargeBinary, nullable=False))

trained = sa.Table(
    "trained",
    metadata,
    Column("number", Number, primary_key=True),
    Column("variant", Text, nullable=False, index=True),
    Column("wish", Text, nullable=False, index=True),
    Column("body", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("extras", Text, nullable=False),
)

ledger = sa.Table(
    "ledger",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("endpoint", Text, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("time", Double, nullable=False),
    Column("body", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
)


def open_engine(url: str) -> sa.Engine:
    """Open the database, with its tables made where it is new. Raises ``RivalsError`` where it cannot be used."""
    try:
        engine = sa.create_engine(url)
        if engine.dialect.name == "sqlite":
            _set_up_sqlite(engine)
        with engine.connect() as connection:
            found = _version(connection)
            new = set(metadata.tables) - set(sa.inspect(connection).get_table_names()) or _lacking(connection)
        if found in {None, VERSION} and new:  # tables and columns with a default may join within one version
            found = _create(engine)
    except sa.exc.SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise RivalsError(f"The store {_shown(url)} cannot be opened: {reason}.") from error
    if found != VERSION:
        engine.dispose()
        raise RivalsError(
            f"The store {_shown(url)} has schema {found}, this rivals knows {VERSION}: "
            "use the rivals that wrote it, or move the file away to begin anew."
        )
    return engine


def _create(engine: sa.Engine) -> int:
    # In one write transaction: of several processes that meet an empty database, one makes the tables.
    with writing(engine) as connection:
        found = _version(connection)
        for column in _lacking(connection):
            added = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {column.table.name} ADD COLUMN {added}")
        metadata.create_all(connection)
        if found is None:
            connection.execute(sa.insert(schema_version), {"version": VERSION})
        known = set(connection.execute(sa.select(counters.c.name)).scalars())
        for name in {CLOSINGS, ENTRIES, TURN} - known:
            connection.execute(sa.insert(counters), {"name": name, "value": 0})
        return found or VERSION


def _lacking(connection: sa.Connection) -> list[sa.Column[Any]]:
    """Columns of the exposures that a store of an earlier day does not have; none where it is new."""
    inspect = sa.inspect(connection)
    if not inspect.has_table(exposures.name):
        return []
    known = {column["name"] for column in inspect.get_columns(exposures.name)}
    return [column for column in exposures.columns if column.name not in known and column.server_default is not None]


def writing(engine: sa.Engine) -> AbstractContextManager[sa.Connection]:
    """A connection in a transaction that may write; on SQLite it waits for its turn at the beginning."""
    return engine.execution_options(rivals_write=True).begin()


def _version(connection: sa.Connection) -> int | None:
    if not sa.inspect(connection).has_table(schema_version.name):
        return None
    found: int = connection.execute(sa.select(schema_version.c.version)).scalar_one()
    return found


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


def _shown(url: str) -> str:
    """The URL for a message, without its password."""
    return sa.make_url(url).render_as_string(hide_password=True)
