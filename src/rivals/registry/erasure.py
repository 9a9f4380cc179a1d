"""Forgetting a unit: its exposures, inputs and feedback go, a tombstone for each stays, and the ledger says so.

A tombstone is the exposure's key, its place in the order of closing, and a keyed digest of what it was: so that who
checks decisions later finds "erased" where it would find "changed", and nobody finds the unit. The key is the store's.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from rivals.registry.engine import insert_new, overwrite_deleted
from rivals.registry.schema import contradictions, erased, exposures, feedback, inputs, windows
from rivals.registry.shipping import AT_ONCE
from rivals.registry.store import Store
from rivals.registry.transaction import Transaction

SALT = "erasure/salt"
COLUMNS = tuple(one.name for one in exposures.columns if one.name != "seq")  # what a digest covers


@dataclass(frozen=True, slots=True)
class Erased:
    """A tombstone: that there was an exposure, and the keyed digest of what it was."""

    id: str
    variant: str
    closed_seq: int | None
    digest: str


def tombstones(store: Store, endpoint: str) -> dict[tuple[str, str], Erased]:
    """What is left of exposures that were erased, by (id, variant), in the order in which they were closed."""
    one = erased.c
    query = sa.select(one.id, one.variant, one.closed_seq, one.digest).where(one.endpoint == endpoint)
    return {(row.id, row.variant): Erased(*row) for row in store.rows(query.order_by(one.closed_seq, one.id))}


def digest(salt: bytes, row: Mapping[str, Any]) -> str:
    """The keyed digest of an exposure as the store keeps it."""
    return hmac.digest(salt, msgspec.json.encode([row[name] for name in COLUMNS]), hashlib.sha256).hex()


def pseudonym(salt: bytes, unit: str) -> str:
    """A unit as the ledger names it: who has the store's key can ask whether it was erased, and nobody else."""
    return hmac.digest(salt, unit.encode(), hashlib.sha256).hex()


def salt_of(store: Store) -> bytes:
    """The store's own key; made on first use."""
    if found := store.state(SALT):
        return found
    with store.transaction() as tx:
        tx.put_state(SALT, secrets.token_bytes(32))
    return store.state(SALT) or b""


def erase(tx: Transaction, salt: bytes, unit: str, archived: Sequence[Mapping[str, Any]]) -> int:
    """Erase a unit from the store, and write tombstones for its rows there and for ``archived`` ones; how many."""
    connection = tx.connection
    overwrite_deleted(connection)
    of_unit = exposures.c.unit == unit
    rows = [dict(row._asdict()) for row in connection.execute(sa.select(exposures).where(of_unit))] + [*archived]
    stones = [
        {name: row[name] for name in ("id", "variant", "endpoint", "closed_seq")} | {"digest": digest(salt, row)}
        for row in rows
    ]
    insert_new(connection, erased, stones)
    connection.execute(sa.delete(exposures).where(of_unit))
    connection.execute(sa.delete(windows).where(windows.c.unit == unit))
    names = sorted({row["id"] for row in rows})
    for table in (inputs, feedback, contradictions):
        _delete(connection, table, names)
    return len(rows)


def _delete(connection: sa.Connection, table: sa.Table, names: Sequence[str]) -> None:
    parts: Iterable[Sequence[str]] = (names[start : start + AT_ONCE] for start in range(0, len(names), AT_ONCE))
    for part in parts:
        connection.execute(sa.delete(table).where(table.c.id.in_(part)))
