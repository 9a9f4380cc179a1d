"""How long what was told about answers took to come: counted once per answer, in the transaction that keeps it."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import sqlalchemy as sa

from rivals.metrics import LABELLED
from rivals.registry.schema import contradictions, exposures, feedback, state
from rivals.registry.shipping import by_id
from rivals.values import Feedback


@dataclass(slots=True)
class Lags:
    """Of one endpoint: how many came within each bound of ``LABELLED`` and above the last, and their seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(LABELLED) + 1))
    seconds: float = 0.0


def keep_lags(connection: sa.Connection, rows: Sequence[Feedback]) -> None:
    """Count what is told for the first time about an answer that is known, by its id. Call it before it is kept."""
    told: dict[str, float] = {}
    for row in rows:
        if not row.unit:
            told[row.id] = min(row.time, told.get(row.id, math.inf))
    if not told:
        return
    for known in (feedback.c.id, contradictions.c.id):
        for found in by_id(connection, sa.select(known), known, told):
            told.pop(found[0], None)
    one = exposures.c
    query = sa.select(one.id, one.endpoint, one.time).where(one.shadow.is_(False))
    asked = {row.id: (row.endpoint, row.time) for row in by_id(connection, query, one.id, told)}
    lagged: dict[str, list[float]] = defaultdict(list)
    for name, (endpoint, when) in asked.items():
        lagged[endpoint].append(max(0.0, told[name] - when))
    for endpoint, lags in lagged.items():
        _add(connection, endpoint, lags)


def lags_key(endpoint: str) -> str:
    """Under which name they are in the store's small state, as JSON of ``Lags``."""
    return f"lags/{endpoint}"


def _add(connection: sa.Connection, endpoint: str, lags: Sequence[float]) -> None:
    where = state.c.key == lags_key(endpoint)
    raw = connection.execute(sa.select(state.c.raw).where(where)).scalar()
    kept = msgspec.json.decode(raw, type=Lags) if raw else Lags()
    for lag in lags:
        kept.counts[bisect_left(LABELLED, lag)] += 1
    kept.seconds += math.fsum(lags)
    row = {"raw": msgspec.json.encode(kept)}
    if raw is None:
        connection.execute(sa.insert(state), {"key": lags_key(endpoint), **row})
    else:
        connection.execute(sa.update(state).where(where), row)
