"""Every verdict and instruction, one after another, each chained to the one before by its hash.

The hash of an entry is SHA-256, in hex, over the hash of the entry before it (64 zeros for the first) followed by the
JSON array ``[seq, endpoint, kind, time, body]``, written without spaces, where ``body`` is a string: the entry's JSON
with its keys sorted. Whoever keeps a hash as a receipt can show later that nothing up to there was changed or lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import msgspec
import sqlalchemy as sa

from rivals.errors import LedgerError
from rivals.registry.schema import ENTRIES, counters, ledger
from rivals.registry.shipping import take_numbers
from rivals.registry.store import Store
from rivals.registry.transaction import Transaction, as_kept
from rivals.values import RoutingTable

START = "0" * 64
TABLE = "table.set"  # the kind of entry that a routing table leaves


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was decided, at ``time`` on the endpoint's clock."""

    seq: int
    endpoint: str
    kind: str
    time: float
    body: Mapping[str, Any]
    hash: str


class Ledger:
    """The store's ledger: appended to before anybody acts, and checked from its first entry to its last."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def append(self, tx: Transaction, endpoint: str, kind: str, time: float, body: Mapping[str, Any]) -> Entry:
        """Write down an entry, with whatever else the transaction writes. ``body`` is anything JSON can say.

        Raises ``LedgerError`` where the end of the chain is missing: nothing is decided on a record that has gaps.
        """
        seq = take_numbers(tx.connection, ENTRIES, 1)
        query = sa.select(ledger.c.hash).where(ledger.c.seq == seq - 1)
        previous = tx.connection.execute(query).scalar_one_or_none() if seq > 1 else START
        if previous is None:
            raise LedgerError(
                f"Entry {seq - 1} of the ledger is missing, its last one; restore the store from a backup."
            )
        text = msgspec.json.encode(body, order="sorted").decode()
        row = {"seq": seq, "endpoint": endpoint, "kind": kind, "time": float(time), "body": text}
        row |= {"previous": previous, "hash": entry_hash(previous, (seq, endpoint, kind, float(time), text))}
        tx.connection.execute(sa.insert(ledger), row)
        return Entry(seq, endpoint, kind, float(time), msgspec.json.decode(text), str(row["hash"]))

    def set_table(self, tx: Transaction, table: RoutingTable, expect: int | None, time: float) -> None:
        """Keep the next routing table, and write down its digest. Raises ``Conflict`` as ``put_table`` does."""
        tx.put_table(table, expect=expect)
        self.append(
            tx, table.endpoint, TABLE, time, {"revision": table.revision, "digest": table_digest(as_kept(table))}
        )

    def entries(self, endpoint: str | None = None, after: int = 0, *, tables: bool = False) -> list[Entry]:
        """What was decided on an endpoint, or on all, oldest first; after an entry's number.

        With ``tables`` the digests of routing tables too, which tell no story of their own.
        """
        one = ledger.c
        query = sa.select(*(one[field.name] for field in fields(Entry))).where(one.seq > after).order_by(one.seq)
        if not tables:
            query = query.where(one.kind != TABLE)
        if endpoint is not None:
            query = query.where(one.endpoint == endpoint)
        kept = [row._asdict() for row in self._store.rows(query)]
        return [Entry(**row | {"body": msgspec.json.decode(row["body"])}) for row in kept]

    def verify(self, head: str | None = None) -> str:
        """Check the whole chain; returns the hash of its last entry, to be kept as a receipt.

        ``head`` is such a receipt from earlier. Raises ``LedgerError`` naming the first entry that was changed,
        removed or moved, or saying that entries the receipt or the counter knows of are no longer there.
        """
        previous, seen, last = START, head in {None, START}, 0
        for row in self._store.rows(sa.select(ledger).order_by(ledger.c.seq)):
            if row.seq != last + 1:
                raise LedgerError(f"Entry {last + 1} of the ledger is missing: after {last} comes {row.seq}.")
            found = entry_hash(previous, (row.seq, row.endpoint, row.kind, row.time, row.body))
            if row.previous != previous or row.hash != found:
                raise LedgerError(
                    f"Entry {row.seq} of the ledger ({row.kind!r}) is not what was written; "
                    "compare it with a backup of the store."
                )
            previous, last = found, row.seq
            seen = seen or head == found
        (given,) = self._store.rows(sa.select(counters.c.value).where(counters.c.name == ENTRIES))[0]
        if not seen or given != last:
            raise LedgerError(
                f"The ledger ends with entry {last}, and entries that were written after it are missing; "
                "compare it with a backup of the store."
            )
        return previous


def table_digest(body: str) -> str:
    """SHA-256, in hex, of a routing table as the store keeps it."""
    return hashlib.sha256(body.encode()).hexdigest()


def entry_hash(previous: str, entry: tuple[int, str, str, float, str]) -> str:
    """The hash of (seq, endpoint, kind, time, body as JSON with sorted keys) after the entry with hash ``previous``."""
    return hashlib.sha256(previous.encode() + msgspec.json.encode(entry)).hexdigest()
