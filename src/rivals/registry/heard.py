"""What an endpoint was asked and answered in a stretch of time, and what became of it: what a look for drift reads."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from rivals.registry.schema import exposures, inputs
from rivals.registry.store import Store
from rivals.values import Outcome


class Heard(NamedTuple):
    """An answer, with the label and the reward that are known by now; ``asked`` is None where it was not captured."""

    id: str
    unit: str
    variant: str
    shadow: bool
    time: float
    output: tuple[float, ...]
    asked: dict[str, Any] | None
    label: Any
    reward: float | None


def heard(store: Store, endpoint: str, start: float, end: float, most: int, beside: int = 0) -> list[Heard]:
    """The answers of the time [start, end) that are in the store, by time; of many, about ``most`` drawn by their ids.

    Rows of one id are drawn together, so that what rivals said of the same row stays paired. ``beside``: so many more
    are elsewhere.
    """
    one, rows = exposures.c, beside + count(store, endpoint, start, end)
    query = (
        sa.select(one.id, one.unit, one.variant, one.shadow, one.time, one.output, inputs.c.body.label("inputs"))
        .join_from(exposures, inputs, inputs.c.id == one.id, isouter=True)
        .where(_within(endpoint, start, end))
        .order_by(one.time, one.id, one.variant)
    )
    return told(store, [row._asdict() for row in store.rows(query) if drawn(row.id, rows, most)])


def count(store: Store, endpoint: str, start: float, end: float) -> int:
    """How many answers of the time [start, end) are in the store."""
    query = sa.select(sa.func.count()).select_from(exposures).where(_within(endpoint, start, end))
    return int(store.rows(query)[0][0])


def _within(endpoint: str, start: float, end: float) -> sa.ColumnElement[bool]:
    one = exposures.c
    return sa.and_(one.endpoint == endpoint, one.time >= start, one.time < end, one.outcome == Outcome.OK.value)


def drawn(name: str, rows: int, most: int) -> bool:
    """Whether an exposure is among about ``most`` of so many."""
    return rows <= most or zlib.crc32(name.encode()) % -(-rows // most) == 0


def told(store: Store, rows: Sequence[dict[str, Any]]) -> list[Heard]:
    """Rows as they are kept, joined with what was told of them."""
    known = [(row["id"], row["unit"], row["time"]) for row in rows]
    labels, rewards = store.told(known, "label"), store.told(known, "reward")
    return [
        Heard(
            row["id"], row["unit"], row["variant"], bool(row["shadow"]), row["time"],
            tuple(msgspec.json.decode(row["output"])),
            None if row["inputs"] is None else msgspec.json.decode(row["inputs"]), label, reward,
        )
        for row, label, reward in zip(rows, labels, rewards, strict=True)
    ]  # fmt: skip


def in_order(parts: Iterable[Heard]) -> list[Heard]:
    """By time, id and variant, whatever file they came from."""
    return sorted(parts, key=lambda one: (one.time, one.id, one.variant))
