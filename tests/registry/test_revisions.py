"""A store of any day becomes today's, once, and goes back; what is strange is refused with a sentence."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from rivals.errors import RivalsError
from rivals.registry import schema
from rivals.registry.engine import open_engine
from rivals.registry.revisions import MIGRATIONS, migrate
from rivals.registry.schema import HEAD, REVISIONS
from rivals.registry.store import Store
from rivals.values import Feedback
from tests.conftest import KINDS
from tests.postgres import Postgres

from .conftest import a_close, an_exposure, change


@pytest.fixture(params=KINDS)
def empties(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Two databases with nothing in them."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}", f"sqlite:///{tmp_path / 'other.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.database(), server.database()


def layout(url: str) -> dict[str, Any]:
    """Tables, columns, keys and indexes as the database has them."""
    engine = sa.create_engine(url)
    inspect = sa.inspect(engine)
    found = {}
    for name in inspect.get_table_names():
        columns = [
            (one["name"], str(one["type"]), one["nullable"], one["default"]) for one in inspect.get_columns(name)
        ]
        indexes = sorted((one["name"], one["column_names"], one["unique"]) for one in inspect.get_indexes(name))
        unique = sorted(one["column_names"] for one in inspect.get_unique_constraints(name))
        found[name] = (sorted(columns), inspect.get_pk_constraint(name)["constrained_columns"], indexes, unique)
    engine.dispose()
    return found


def test_this_rivals_knows_the_revisions_that_there_are() -> None:
    script = ScriptDirectory(str(MIGRATIONS))
    assert tuple(one.revision for one in reversed(list(script.walk_revisions()))) == REVISIONS
    assert script.get_heads() == [HEAD]


def test_migrations_lead_to_what_a_new_store_is(empties: tuple[str, str]) -> None:
    empty, url = empties
    Store(url).close()
    migrate(empty, "0001")
    assert migrate(empty) == ("0001", HEAD)
    assert layout(empty) == layout(url)
    engine = open_engine(empty)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    engine.dispose()
    for table in ("counters", "schema_version", "alembic_version"):
        assert sorted(change(empty, f"select * from {table}")) == sorted(change(url, f"select * from {table}"))


def test_what_is_in_a_store_goes_backwards_and_forwards_with_it(url: str) -> None:
    store = Store(url)
    store.ship("j", 1, [an_exposure("a/0")], [a_close("a/0")], [Feedback("a/0", 1)])
    store.close()
    for to in (*reversed(REVISIONS), *REVISIONS):
        assert migrate(url, to)[1] == to
    store = Store(url)
    assert (store.counts("e")["old"]["requests"], store.label("a/0")) == (1, 1)
    assert change(url, "select * from alembic_version") == [(HEAD,)]
    store.close()


def test_where_it_is_already_nothing_is_done(url: str) -> None:
    Store(url).close()
    before = layout(url)
    assert migrate(url) == (HEAD, HEAD)
    assert layout(url) == before


@pytest.mark.parametrize("to", ["base", "0000", "head", "", "-1"])
def test_what_is_no_revision_is_refused(url: str, to: str) -> None:
    with pytest.raises(RivalsError, match=r"no revision .* knows 0001"):
        migrate(url, to)


def test_a_newer_store_is_refused_with_a_way_out(url: str) -> None:
    Store(url).close()
    change(url, "update alembic_version set version_num = '0099'")
    with pytest.raises(RivalsError, match=rf"is at revision 0099, .* knows .*{HEAD}.* rivals migrate --to {HEAD}"):
        Store(url)
    with pytest.raises(RivalsError, match="0099, which this rivals does not know"):
        migrate(url)


def test_a_file_is_migrated_when_it_is_opened_and_a_server_by_a_person(url: str) -> None:
    Store(url).close()
    migrate(url, "0001")
    if url.startswith("sqlite"):
        Store(url).close()
    else:
        with pytest.raises(RivalsError, match=rf"at revision 0001, this rivals needs {HEAD}: .*`rivals migrate`"):
            Store(url)
        migrate(url)
    assert change(url, "select version_num from alembic_version") == [(HEAD,)]


def test_somebody_elses_tables_are_left_alone(empties: tuple[str, str]) -> None:
    empty, _ = empties
    change(empty, "create table inputs (input_uuid varchar(36) primary key)")  # MLflow has one of that name
    with pytest.raises(RivalsError, match=r"has a table 'inputs' that no rivals made"):
        Store(empty)
    assert set(layout(empty)) == {"inputs"}


def test_of_many_that_meet_an_old_store_one_migrates_it(url: str) -> None:
    Store(url).close()
    migrate(url, "0001")
    start = Barrier(4)

    def work(_: int) -> str:
        start.wait()
        return str(migrate(url)[0] if url.startswith("postgresql") else Store(url).close())

    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(work, range(4)))
    assert change(url, "select * from alembic_version") == [(HEAD,)]
    assert told.count("0001") == (1 if url.startswith("postgresql") else 0)


# -- stores from before revisions: SQLite alone --------------------------------------------------------------


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A store as it was before revisions, with something in it."""
    path = tmp_path / "store.db"
    store = Store(f"sqlite:///{path}")
    store.ship("j", 1, [an_exposure("a/0")], [a_close("a/0")], [])
    store.close()
    migrate(f"sqlite:///{path}", "0001")
    change(f"sqlite:///{path}", "drop table alembic_version")
    return path


def test_a_store_from_before_revisions_becomes_todays(old: Path, tmp_path: Path) -> None:
    store, new = Store(f"sqlite:///{old}"), f"sqlite:///{tmp_path / 'new.db'}"
    assert store.counts("e")["old"]["requests"] == 1
    store.close()
    Store(new).close()
    assert layout(f"sqlite:///{old}") == layout(new)


@pytest.mark.parametrize(
    "lack", ["alter table exposures drop column slices", "drop table windows", "drop table inputs"]
)
def test_what_a_store_of_an_earlier_day_lacks_joins_it(old: Path, lack: str) -> None:
    change(f"sqlite:///{old}", lack)
    store = Store(f"sqlite:///{old}")
    store.ship("j", 2, [an_exposure("b/0", slices=("c=x",))], [], [], [("b/0", b"{}")])
    assert store.exposure("b")[0].slices == ("c=x",)
    assert store.exposure("a")[0].slices == ()
    assert store.feedback_counts()["windows"] == 0
    store.close()


def test_a_rivals_from_before_revisions_would_refuse_it(old: Path) -> None:
    Store(f"sqlite:///{old}").close()
    with sqlite3.connect(old) as connection:
        assert connection.execute("select version from schema_version").fetchone() == (2,)  # it knew 1


def test_a_new_store_is_made_without_alembic(tmp_path: Path) -> None:
    code = (
        "import sys; from rivals.registry.store import Store; "
        f"Store('sqlite:///{tmp_path}/store.db').close(); sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
