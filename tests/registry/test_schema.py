"""A database is opened as it is, or refused with a sentence."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from rivals.errors import RivalsError
from rivals.registry import schema
from rivals.registry.store import Store

from .conftest import an_exposure


def test_a_store_is_found_again(url: str) -> None:
    first = Store(url)
    first.ship("j", 1, [an_exposure("a/0")], [], [])
    first.close()
    again = Store(url)
    assert [one.id for one in again.exposure("a")] == ["a/0"]
    again.close()


def test_another_schema_is_refused_with_a_way_out(url: str, tmp_path: Path) -> None:
    Store(url).close()
    connection = sqlite3.connect(tmp_path / "store.db")
    with connection:
        connection.execute("update schema_version set version = 2")
    connection.close()
    with pytest.raises(RivalsError, match=r"store\.db has schema 2, this rivals knows 1"):
        Store(url)


def test_a_file_that_is_no_database_is_named(url: str, tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"something else entirely" * 100)
    with pytest.raises(RivalsError, match=r"store\.db cannot be opened: file is not a database"):
        Store(url)


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RivalsError, match="cannot be opened"):
        Store(f"sqlite:///{tmp_path}/nowhere/store.db")


def test_a_password_is_not_told(tmp_path: Path) -> None:
    with pytest.raises(RivalsError) as caught:
        Store(f"sqlite://user:secret@{tmp_path}/store.db")
    assert "secret" not in str(caught.value)


def test_what_was_shipped_is_on_the_disk_and_readers_are_not_in_the_way(store: Store, url: str) -> None:
    engine = schema.open_engine(url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("pragma journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("pragma synchronous").scalar() == 2  # full
        assert connection.exec_driver_sql("pragma foreign_keys").scalar() == 1
    engine.dispose()


@pytest.mark.parametrize("table", schema.metadata.sorted_tables, ids=str)
def test_every_table_can_be_made_in_postgresql(table: sa.Table) -> None:
    made = str(sa.schema.CreateTable(table).compile(dialect=postgresql.dialect()))
    assert "CREATE TABLE" in made


def test_a_store_from_before_slices_gets_their_column(url: str, tmp_path: Path) -> None:
    Store(url).close()
    connection = sqlite3.connect(tmp_path / "store.db")
    with connection:
        connection.execute("alter table exposures drop column slices")
    connection.close()
    store = Store(url)
    store.ship("j", 1, [an_exposure("a/0", slices=("c=x",))], [], [])
    assert store.exposure("a")[0].slices == ("c=x",)
    store.close()
