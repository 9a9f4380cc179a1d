"""A store in a file of its own, and makers of what is kept in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from rivals.registry import schema
from rivals.registry.store import Store
from rivals.values import Arm, Exposure, Outcome, Rollout, RoutingTable, Scores, Trained, Version
from tests.conftest import KINDS, fresh


@pytest.fixture(params=KINDS, scope="module")
def shared(request: pytest.FixtureRequest) -> Iterator[Store]:
    """One store for many examples."""
    with fresh(request, request.param) as made:
        opened = Store(made if request.param == "postgresql" else "sqlite://")  # in memory: there are many
        yield opened
        opened.close()


def change(url: str, *statements: str) -> list[Any]:
    """Do something to a store behind its back; what the last statement answers."""
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        for statement in statements:
            found = connection.exec_driver_sql(statement)
        return [tuple(row) for row in found] if found.returns_rows else []


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = Store(url)
    yield opened
    opened.close()


def emptied(store: Store) -> Store:
    """The same store, as if it were new."""
    with store.transaction() as tx:
        for table in schema.metadata.tables.values():
            if table is not schema.schema_version and table is not schema.counters:
                tx.connection.execute(sa.delete(table))
        tx.connection.execute(sa.update(schema.counters), {"value": 0})
    return store


def a_table(revision: int = 1, endpoint: str = "e", champion: str = "old") -> RoutingTable:
    arms = (Arm(champion, "0" * 64, 1.0),)
    return RoutingTable(endpoint, revision, champion, arms, salt="salt", slots=bytes(10_000))


def a_rollout(name: str = "r1", **changes: Any) -> Rollout:
    settings: dict[str, Any] = {"steps": (0.01, 0.5), "every": 60.0, "deadline": 1e6, "started": 0.0, "changed": 0.0}
    return Rollout(name, "e", Version("old", "0" * 64), Version("new", "1" * 64), **settings | changes)


def an_exposure(name: str, variant: str = "old", **changes: Any) -> Exposure:
    settings: dict[str, Any] = {"shadow": False, "endpoint": "e", "revision": 1, "time": 1.0, "unit": "u"}
    settings |= {"propensity": {} if changes.get("shadow") else {"old": 0.75, "new": 0.25}}
    return Exposure(name, variant, **settings | changes)


def a_close(
    name: str, variant: str = "old", outcome: Outcome = Outcome.OK, output: tuple[float, ...] = (0.25, 0.75)
) -> Any:
    return (name, variant, outcome, 120, output if outcome is Outcome.OK else ())


def a_trained(variant: str = "old", **changes: Any) -> Trained:
    scores = Scores({"log_loss": 0.41, "roc_auc": 0.7}, ({"log_loss": 0.4}, {"log_loss": 0.42}))
    settings: dict[str, Any] = {"digest": "0" * 64, "wish": "w" * 64, "scores": scores, "fit_seconds": 1.5}
    settings |= {"predict_us": 21.0, "bytes": 12_345, "runtime": "onnx", "parity": 2e-7}
    return Trained(variant, **settings | changes)
