"""What tests of several rooms share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgres import MISSING, Postgres, programs


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of this session's own."""
    if (found := programs()) is None:
        pytest.skip(MISSING)
    server = Postgres(found)
    yield server
    server.remove()
