"""What rivals remembers and MLflow has no place for: routing tables, rollouts, exposures, feedback, small state.

Reading is on ``Store``; what belongs together is written through one ``Transaction``::

    with store.transaction() as tx:
        Ledger(store).append(tx, endpoint, "rollout.judged", now, body)
        tx.put_table(table, expect=7)

All of it is kept, or nothing. A ``Store`` may be used by many threads, its database by many processes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from rivals.registry import schema
from rivals.registry.answered import Answered
from rivals.registry.transaction import active_query, read
from rivals.values import Phase, Rollout, RoutingTable, Trained, Version

RECENT = 200  # rollouts among which those that were just rolled back are looked for


class Store(Answered):
    """The database behind a project: with what ``Answered`` has, its routing tables, rollouts, state and builds."""

    # -- routing tables and rollouts ------------------------------------------------------------------

    def table(self, endpoint: str) -> RoutingTable | None:
        """The routing table in force; None before the endpoint was first served."""
        tables = schema.routing_tables
        query = sa.select(tables.c.body).where(tables.c.endpoint == endpoint)
        return self._value(query.order_by(tables.c.revision.desc()).limit(1), RoutingTable)

    def table_at(self, endpoint: str, revision: int) -> RoutingTable | None:
        """The routing table as it was at that revision."""
        tables = schema.routing_tables
        query = sa.select(tables.c.body).where(tables.c.endpoint == endpoint, tables.c.revision == revision)
        return self._value(query, RoutingTable)

    def tables(self, endpoint: str) -> list[RoutingTable]:
        """All routing tables, oldest first."""
        tables = schema.routing_tables
        query = sa.select(tables.c.body).where(tables.c.endpoint == endpoint).order_by(tables.c.revision)
        return [read(body, RoutingTable) for (body,) in self.rows(query)]

    def table_bodies(self) -> list[tuple[str, int, str]]:
        """Endpoint, revision and JSON of every routing table of the store, as it is kept."""
        one = schema.routing_tables.c
        return [tuple(row) for row in self.rows(sa.select(one.endpoint, one.revision, one.body))]

    def rollout(self, rollout_id: str) -> Rollout | None:
        """The rollout of that id, as it is now."""
        rollouts = schema.rollouts
        return self._value(sa.select(rollouts.c.body).where(rollouts.c.id == rollout_id), Rollout)

    def active_rollout(self, endpoint: str) -> Rollout | None:
        """The rollout that is under way, if there is one; the newest where several are."""
        return next(reversed(self.active_rollouts(endpoint)), None)

    def active_rollouts(self, endpoint: str) -> list[Rollout]:
        """All that are under way, in the order they were started."""
        return [read(body, Rollout) for (body,) in self.rows(active_query(endpoint))]

    def rollouts(self, endpoint: str) -> list[Rollout]:
        """All rollouts, in the order they were started."""
        rollouts = schema.rollouts
        query = sa.select(rollouts.c.body).where(rollouts.c.endpoint == endpoint).order_by(rollouts.c.number)
        return [read(body, Rollout) for (body,) in self.rows(query)]

    def rolled_back(self) -> dict[str, float]:
        """When a rollout was last rolled back, by endpoint, over the whole store."""
        rollouts, found = schema.rollouts, dict[str, float]()
        query = sa.select(rollouts.c.body).where(rollouts.c.final.is_(True)).order_by(rollouts.c.number.desc())
        for one in (read(body, Rollout) for (body,) in self.rows(query.limit(RECENT))):
            if one.phase is Phase.ROLLED_BACK:
                found[one.endpoint] = max(one.changed, found.get(one.endpoint, -math.inf))
        return found

    # -- small state, and what was built ------------------------------------------------------------------

    def state(self, key: str) -> bytes | None:
        """The bytes kept under a name."""
        found: bytes | None = self._one(sa.select(schema.state.c.raw).where(schema.state.c.key == key))
        return found

    def trained(self, variant: str) -> Trained | None:
        """The variant as it was last built."""
        found = self._newest(variant)
        return None if found is None else _trained(found.body)

    def version(self, variant: str) -> Version | None:
        """The variant's last build as MLflow knows it; its number is 0 where MLflow was not told."""
        found = self._newest(variant)
        return None if found is None else read(found.version, Version)

    def trained_extras(self, variant: str) -> dict[str, Any]:
        """What else was kept about the variant's last build."""
        found = self._newest(variant)
        return {} if found is None else dict(json.loads(found.extras))

    def trained_all(self) -> list[Trained]:
        """Every variant as it was last built, by name."""
        return sorted(self._newest_by(schema.trained.c.variant), key=lambda one: one.variant)

    def runs(self) -> list[Trained]:
        """Everything that was ever built, the newest first."""
        query = sa.select(schema.trained.c.body).order_by(schema.trained.c.number.desc())
        return _all_trained([body for (body,) in self.rows(query)])

    def known_wishes(self) -> dict[str, Trained]:
        """Everything that was ever built, by the digest of its wish."""
        return {one.wish: one for one in self._newest_by(schema.trained.c.wish)}

    def _newest(self, variant: str) -> sa.Row[Any] | None:
        one = schema.trained.c
        query = sa.select(one.body, one.version, one.extras).where(one.variant == variant)
        return next(iter(self.rows(query.order_by(one.number.desc()).limit(1))), None)

    def _newest_by(self, column: sa.Column[Any]) -> list[Trained]:
        newest = sa.select(sa.func.max(schema.trained.c.number)).group_by(column)
        query = sa.select(schema.trained.c.body).where(schema.trained.c.number.in_(newest))
        return _all_trained([body for (body,) in self.rows(query)])


def _trained(text: str) -> Trained:
    return msgspec.convert(json.loads(text), Trained)


def _all_trained(texts: Sequence[str]) -> list[Trained]:
    """Many at once, which is ten times as fast; only the standard library reads scores that are no numbers."""
    try:
        return msgspec.json.decode(f"[{','.join(texts)}]", type=list[Trained])
    except msgspec.DecodeError:
        return [_trained(text) for text in texts]
