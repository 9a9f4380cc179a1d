"""What is written to the store together, or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from rivals.errors import Conflict
from rivals.registry import schema
from rivals.values import Rollout, RoutingTable, Trained, Version

T = TypeVar("T")


class Transaction:
    """Everything written through it is kept together, when the ``with`` ends without an error."""

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection

    def put_table(self, table: RoutingTable, expect: int | None) -> None:
        """Keep the next routing table. Raises ``Conflict`` unless ``expect`` is the latest revision (None: none)."""
        tables = schema.routing_tables
        latest = self._one(sa.select(sa.func.max(tables.c.revision)).where(tables.c.endpoint == table.endpoint))
        if latest != expect or table.revision <= (latest or 0):
            raise Conflict(
                f"Endpoint {table.endpoint!r} is at revision {latest or 'none'}, not {expect or 'none'}: "
                "somebody else changed its routes first; look again and repeat."
            )
        row = {"endpoint": table.endpoint, "revision": table.revision, "body": as_kept(table)}
        self.connection.execute(sa.insert(tables), row)

    def put_rollout(self, rollout: Rollout, before: Rollout | None = None, beside: Sequence[str] = ()) -> None:
        """Keep a rollout. Raises ``Conflict`` where ``before`` changed meanwhile, or a new one (None) is not alone.

        ``beside``: ids of those that a new one may run beside.
        """
        rollouts = schema.rollouts
        found = self._one(sa.select(rollouts.c.body).where(rollouts.c.id == rollout.id))
        other = sa.select(rollouts.c.id).where(
            rollouts.c.endpoint == rollout.endpoint, rollouts.c.final.is_(False), rollouts.c.id.not_in(beside)
        )
        if before is None and (found is not None or self._one(other.limit(1)) is not None):
            raise Conflict(f"Somebody else started a rollout on {rollout.endpoint!r} first; look again and repeat.")
        if before is not None and (found is None or read(found, Rollout) != before):
            raise Conflict(f"Rollout {rollout.id} was changed by somebody else; look again and repeat.")
        row = {"endpoint": rollout.endpoint, "final": rollout.phase.final, "body": _json(rollout)}
        if found is None:
            self.connection.execute(sa.insert(rollouts), {"id": rollout.id, **row})
        else:
            self.connection.execute(sa.update(rollouts).where(rollouts.c.id == rollout.id), row)

    def table(self, endpoint: str) -> RoutingTable | None:
        """The routing table in force, with what was written here."""
        tables = schema.routing_tables
        query = sa.select(tables.c.body).where(tables.c.endpoint == endpoint).order_by(tables.c.revision.desc())
        raw = self._one(query.limit(1))
        return None if raw is None else read(raw, RoutingTable)

    def active_rollouts(self, endpoint: str) -> list[Rollout]:
        """All that are under way, in the order they were started, with what was written here."""
        return [read(body, Rollout) for (body,) in self.connection.execute(active_query(endpoint))]

    def state(self, key: str) -> bytes | None:
        """The bytes kept under a name, as nobody else can change them before this ends."""
        found: bytes | None = self._one(sa.select(schema.state.c.raw).where(schema.state.c.key == key))
        return found

    def expect(self, rollout: Rollout, evidence: bytes | None) -> None:
        """Raises ``Conflict`` where the rollout, or what its evidence was, is not as it was seen: somebody was quicker.

        So of two that judge the same rollout, whoever each believes to be in the lead, one decides.
        """
        body = self._one(sa.select(schema.rollouts.c.body).where(schema.rollouts.c.id == rollout.id))
        if body is None or read(body, Rollout) != rollout or self.state(f"evidence/{rollout.id}") != evidence:
            raise Conflict(f"Rollout {rollout.id} was judged or changed by somebody else; look again and repeat.")

    def put_state(self, key: str, raw: bytes) -> None:
        """Keep a few bytes under a name."""
        where = schema.state.c.key == key
        if not self.connection.execute(sa.update(schema.state).where(where), {"raw": raw}).rowcount:
            self.connection.execute(sa.insert(schema.state), {"key": key, "raw": raw})

    def put_trained(self, trained: Trained, version: Version, extras: Mapping[str, Any] | None = None) -> None:
        """Keep a variant as it was built, the newest of its name; ``extras`` is anything JSON can say about it."""
        row = {"variant": trained.variant, "wish": trained.wish, "version": _json(version)}
        # The standard library's JSON: a score that is not a number must come back as one.
        row |= {"body": json.dumps(msgspec.to_builtins(trained)), "extras": json.dumps(dict(extras or {}))}
        self.connection.execute(sa.insert(schema.trained), row)

    def _one(self, query: sa.Select[Any]) -> Any:
        return self.connection.execute(query).scalar_one_or_none()


def as_kept(table: RoutingTable) -> str:
    """A routing table as it is kept."""
    return _json(table)


def active_query(endpoint: str) -> sa.Select[Any]:
    """The rollouts under way on an endpoint, in the order they were started."""
    rollouts = schema.rollouts
    query = sa.select(rollouts.c.body).where(rollouts.c.endpoint == endpoint, rollouts.c.final.is_(False))
    return query.order_by(rollouts.c.number)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def read(text: str, kind: type[T]) -> T:
    """JSON as the store keeps it, as a value."""
    return msgspec.json.decode(text, type=kind)
