"""What tests of several rooms share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rivals.registry.store import Store
from tests.postgres import MISSING, Postgres, programs

KINDS = ("sqlite", "postgresql")  # of databases that a store is kept in


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of this session's own."""
    if (found := programs()) is None:
        pytest.skip(MISSING)
    server = Postgres(found)
    yield server
    server.remove()


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    """A database with the store's tables, to be copied."""
    postgres.sql("create database store")
    Store(postgres.url("store")).close()
    return "store"


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where a store is or will be: the same test on both."""
    with fresh(request, request.param) as made:
        yield made


@contextmanager
def fresh(request: pytest.FixtureRequest, kind: str) -> Iterator[str]:
    if kind == "sqlite":
        folder: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
        yield f"sqlite:///{folder.mktemp('store') / 'store.db'}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    made = server.database(request.getfixturevalue("template"))
    yield made
    server.drop(made)
