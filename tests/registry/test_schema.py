"""The tables are the same wherever they are kept, and what is written is safe."""

from __future__ import annotations

from pathlib import Path

import pytest

from rivals.errors import RivalsError
from rivals.registry.engine import open_engine
from rivals.registry.store import Store

from .conftest import a_close, an_exposure


def test_a_store_is_found_again(url: str) -> None:
    first = Store(url)
    first.ship("j", 1, [an_exposure("a/0")], [], [])
    first.close()
    again = Store(url)
    assert [one.id for one in again.exposure("a")] == ["a/0"]
    again.close()


def test_texts_are_in_the_order_of_their_code_points(store: Store) -> None:
    names = ["😀", "ß", "a", "Z", "-", "ä", "B", "~", "0", "A", "z", "b"]
    store.ship("j", 1, [an_exposure(f"{one}/0", one) for one in names], [a_close(f"{one}/0", one) for one in names], [])
    assert list(store.counts("e")) == sorted(names)


def test_times_and_durations_are_kept_to_the_last_bit(store: Store) -> None:
    odd = an_exposure("a/0", time=1e9 + 1 / 3, propensity={"old": 1 / 3, "new": 2 / 3})
    store.ship("j", 1, [odd], [("a/0", "old", "ok", 2**40, (0.1 + 0.2, 1e-300))], [])
    (found,) = store.exposure("a")
    assert (found.time, found.propensity, found.output) == (odd.time, odd.propensity, (0.1 + 0.2, 1e-300))
    assert found.latency_us == 2**40  # a process that was stopped for twelve days


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"something else entirely" * 100)
    with pytest.raises(RivalsError, match=r"store\.db cannot be opened: file is not a database"):
        Store(f"sqlite:///{tmp_path / 'store.db'}")


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RivalsError, match="does not answer: unable to open database file"):
        Store(f"sqlite:///{tmp_path}/nowhere/store.db")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("store.db", "The store's URL is none"),
        ("mysql://user:secret@host/db", "SQLite or PostgreSQL, not in 'mysql'"),
        ("postgresql+asyncpg://user:secret@host/db", "not in 'postgresql\\+asyncpg'"),
        ("postgresql://user:secret@127.0.0.1:1/db", "does not answer: connection"),
        ("sqlite://user:secret@/tmp/store.db", "The store's URL is none"),
    ],
)
def test_what_is_no_store_is_a_sentence_without_its_password(url: str, told: str) -> None:
    with pytest.raises(RivalsError, match=told) as caught:
        Store(url)
    assert "secret" not in str(caught.value)


def test_what_was_shipped_is_on_the_disk_and_readers_are_not_in_the_way(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'store.db'}")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("pragma journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("pragma synchronous").scalar() == 2  # full
        assert connection.exec_driver_sql("pragma foreign_keys").scalar() == 1
    engine.dispose()
