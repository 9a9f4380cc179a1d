"""Rows from a database."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from rivals.build.sources.sql import Sql
from rivals.errors import DataError, SpecError


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "rows.db"
    with sqlite3.connect(path) as connection:
        pd.DataFrame({"a": [1.5, 2.5, 3.5], "y": [0, 1, 0]}).to_sql("rows", connection, index=False)
    connection.close()
    return str(path)


def test_a_query_gives_rows_and_a_digest_of_what_it_gave(file: str) -> None:
    whole = Sql("SELECT * FROM rows ORDER BY a", path=file)
    assert whole.read()["a"].tolist() == [1.5, 2.5, 3.5]
    assert whole.digest() == Sql("select a, y from rows order by a", url=f"sqlite:///{file}").digest()
    assert whole.digest() != Sql("SELECT * FROM rows WHERE a > 2", path=file).digest()


def test_the_url_may_come_from_the_environment(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Sql("SELECT * FROM rows", env="ROWS_URL")
    with pytest.raises(DataError, match="ROWS_URL holds no URL"):
        source.read()
    monkeypatch.setenv("ROWS_URL", f"sqlite:///{file}")
    assert len(source.read()) == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"query": "SELECT 1"}, "one of url, env"),
        ({"query": "SELECT 1", "url": "sqlite://", "path": "x"}, "one of url, env"),
        ({"query": "DELETE FROM rows", "url": "sqlite://"}, "query is a SELECT"),
        ({"query": "SELECT 1", "url": "postgresql://me:secret@host/db"}, "holds a password"),
    ],
)
def test_what_is_no_question_to_one_database_is_refused(options: dict[str, str], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        Sql(**options)


def test_a_database_that_does_not_answer_is_told_in_a_sentence(file: str, tmp_path: Path) -> None:
    for source, said in (
        (Sql("SELECT * FROM nowhere", path=file), "no such table: nowhere"),
        (Sql("SELECT 1", path=str(tmp_path / "none.db")), "there is no file"),
        (Sql("SELECT 1", url="nothing at all"), "opens no database"),
        (Sql("SELECT 1", url="oracle9://x"), "opens no database"),
    ):
        with pytest.raises(DataError, match=said):
            source.read()
    assert not (tmp_path / "none.db").exists()


def test_a_query_that_writes_after_all_changes_nothing(file: str) -> None:
    with pytest.raises(DataError):
        Sql("WITH one AS (SELECT 1) DELETE FROM rows", path=file).read()
    assert len(Sql("SELECT * FROM rows", path=file).read()) == 3
