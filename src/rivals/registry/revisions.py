"""The store's revision: what a database is found to be, and how it becomes what this rivals works with.

A new database gets its tables, and a file of an earlier revision is brought to this one, when it is opened: of several
processes one does it. PostgreSQL is not migrated by the way: others may be at work on it, with an earlier rivals.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from rivals.errors import RivalsError
from rivals.registry import schema
from rivals.registry.engine import answering, open_engine, shown, writing
from rivals.registry.schema import HEAD, REVISIONS

MIGRATIONS = Path(__file__).with_name("migrations")


def open_store(url: str) -> sa.Engine:
    """The database behind a URL, at this rivals' revision. Raises ``RivalsError`` where it cannot be."""
    engine = open_engine(url)
    try:
        with answering(engine), engine.connect() as connection:
            found = _found(connection)
        if found != HEAD:
            _refuse(engine, found)
            _bring(engine, HEAD)
    except BaseException:
        engine.dispose()
        raise
    return engine


def migrate(url: str, to: str = HEAD) -> tuple[str | None, str]:
    """Bring a store to a revision, forwards or backwards; returns where it was (None: it was new), and where it is.

    Raises ``RivalsError`` where this rivals does not know one of the two.
    """
    if to not in REVISIONS:
        raise RivalsError(f"There is no revision {to!r}; this rivals knows {', '.join(REVISIONS)}.")
    engine = open_engine(url)
    try:
        return _bring(engine, to), to
    finally:
        engine.dispose()


def revision_of(url: str) -> str | None:
    """The revision a store is at; None where it is new, or from before revisions. Nothing is changed."""
    engine = open_engine(url)
    try:
        with answering(engine), engine.connect() as connection:
            return _found(connection)
    finally:
        engine.dispose()


def _refuse(engine: sa.Engine, found: str | None) -> None:
    """Raises ``RivalsError`` where the store is not to be brought to this revision by the way."""
    if found not in {None, *REVISIONS}:
        raise RivalsError(
            f"The store {shown(engine)} is at revision {found}, this rivals knows {', '.join(REVISIONS)}: "
            f"use the rivals that brought it there, or let that one go back: rivals migrate --to {HEAD}."
        )
    if found is not None and engine.dialect.name == "postgresql":
        raise RivalsError(
            f"The store {shown(engine)} is at revision {found}, this rivals needs {HEAD}: stop every rivals that "
            "uses it, then bring it there with `rivals migrate`."
        )


def _bring(engine: sa.Engine, to: str) -> str | None:
    # In one write transaction: of several processes that meet such a database, one changes it.
    with writing(engine) as connection:
        found = _found(connection)
        if found is None and not _ours(engine, connection) and to == HEAD:
            _make(connection)
        elif found != to:
            if found not in {None, *REVISIONS}:
                raise RivalsError(f"The store {shown(engine)} is at revision {found}, which this rivals does not know.")
            _alembic(connection, found, to)
        return found


def _found(connection: sa.Connection) -> str | None:
    """The revision; None where there is none, as in a new database and in a store from before revisions."""
    if not sa.inspect(connection).has_table(schema.revision.name):
        return None
    return connection.execute(sa.select(schema.revision.c.version_num)).scalar()


def _ours(engine: sa.Engine, connection: sa.Connection) -> bool:
    """Whether there are tables of ours from before revisions. Raises ``RivalsError`` where they are another's."""
    known = set(sa.inspect(connection).get_table_names()) & schema.metadata.tables.keys()
    if not known:
        return False
    version = None
    if schema.schema_version.name in known:
        version = connection.execute(sa.select(schema.schema_version.c.version)).scalar()
    if version != 1:
        raise RivalsError(
            f"The database {shown(engine)} has a table {min(known)!r} that no rivals made; "
            "give the store a database or a schema of its own."
        )
    return True


def _make(connection: sa.Connection) -> None:
    """All tables at once, as the migrations would leave them."""
    schema.metadata.create_all(connection)
    schema.revision.create(connection, checkfirst=True)
    connection.execute(sa.insert(schema.revision), {"version_num": HEAD})
    connection.execute(sa.insert(schema.schema_version), {"version": schema.GUARD})
    connection.execute(sa.insert(schema.counters), [{"name": name, "value": 0} for name in schema.COUNTERS])


def _alembic(connection: sa.Connection, found: str | None, to: str) -> None:
    # Half a second, and needed on the day of a migration only.
    from alembic import command  # noqa: PLC0415 -- see above
    from alembic.config import Config  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    forwards = found is None or REVISIONS.index(found) < REVISIONS.index(to)
    (command.upgrade if forwards else command.downgrade)(config, to)
