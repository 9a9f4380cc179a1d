"""Exposures on their way into the store, many at once: what is new, what closes what, what it adds up to.

These run inside a writing transaction that their caller began.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from rivals.registry.engine import insert, insert_new
from rivals.registry.schema import CLOSINGS, counters, exposures, inputs, tallies
from rivals.values import Exposure, Outcome

Close = tuple[str, str, str, int, Sequence[float]]  # id, variant, outcome, latency_us, output
Key = tuple[str, str]  # id, variant
Ended = tuple[str, str, bool, str, str]  # endpoint, variant, shadow, propensity as JSON, outcome

AT_ONCE = 1_000  # ids looked up by one statement
GRAIN = 2.0**-24  # shares are summed in these, exactly: no sum depends on the order of its terms


def take_numbers(connection: sa.Connection, counter: str, many: int) -> int:
    """Reserve the next numbers of a counter; returns the first. Others wait until the commit, so none is overtaken."""
    one = counters.c
    connection.execute(sa.update(counters).where(one.name == counter).values(value=one.value + many))
    last: int = connection.execute(sa.select(one.value).where(one.name == counter)).scalar_one()
    return last - many + 1


def keep_exposures(connection: sa.Connection, opens: Iterable[Exposure], closes: Iterable[Close]) -> None:
    """Keep new exposures, and close what is open: by (id, variant), the first open and the first close count.

    A close whose open is in the same batch is merged with it, which spares most updates.
    """
    opened: dict[Key, Exposure] = {}
    closed: dict[Key, Close] = {}
    for one in opens:
        opened.setdefault((one.id, one.variant), one)
        if one.outcome != Outcome.OPEN:  # never asked, so never open
            closed.setdefault((one.id, one.variant), (one.id, one.variant, one.outcome, one.latency_us, one.output))
    for close in closes:
        closed.setdefault((close[0], close[1]), close)
    first = take_numbers(connection, CLOSINGS, len(closed))
    number = {key: first + i for i, key in enumerate(closed)}
    known = _known(connection, opened.keys() | closed.keys())
    fresh = {key: _row(one, closed.get(key), number.get(key)) for key, one in opened.items() if key not in known}
    late = {key: row for key, row in known.items() if key in closed and row.outcome == Outcome.OPEN}
    insert(connection, exposures, list(fresh.values()))
    if late:
        endings = [{"of": row.seq, **_ending(closed[key], number[key])} for key, row in late.items()]
        connection.execute(sa.update(exposures).where(exposures.c.seq == sa.bindparam("of")), endings)
    ended: list[Ended] = [
        (row["endpoint"], row["variant"], row["shadow"], row["propensity"], row["outcome"])
        for key, row in fresh.items()
        if key in closed
    ]
    ended += [(row.endpoint, row.variant, row.shadow, row.propensity, closed[key][2]) for key, row in late.items()]
    _add(connection, _sums(ended))


def keep_inputs(connection: sa.Connection, rows: Sequence[tuple[str, bytes]]) -> None:
    """Keep what rows asked, by exposure id."""
    if rows:
        insert_new(connection, inputs, [{"id": name, "body": body.decode()} for name, body in dict(rows).items()])


def _known(connection: sa.Connection, keys: Iterable[Key]) -> dict[Key, sa.Row[Any]]:
    one = exposures.c
    query = sa.select(one.seq, one.id, one.variant, one.endpoint, one.shadow, one.propensity, one.outcome)
    return {(row.id, row.variant): row for row in by_id(connection, query, one.id, {key[0] for key in keys})}


def by_id(
    connection: sa.Connection, query: sa.Select[Any], column: sa.Column[Any], ids: Iterable[str]
) -> Iterator[sa.Row[Any]]:
    """What the query finds for these ids, a thousand at a time."""
    wanted = list(ids)
    for start in range(0, len(wanted), AT_ONCE):
        yield from connection.execute(query.where(column.in_(wanted[start : start + AT_ONCE])))


def _row(one: Exposure, close: Close | None, number: int | None) -> dict[str, Any]:
    row = {
        "id": one.id,
        "variant": one.variant,
        "shadow": one.shadow,
        "endpoint": one.endpoint,
        "revision": one.revision,
        "time": one.time,
        "unit": one.unit,
        "propensity": _json(one.propensity),
        "slices": _json(one.slices),
    }
    nothing: Close = (one.id, one.variant, Outcome.OPEN, 0, ())
    return row | _ending(close or nothing, number)


def _ending(close: Close, number: int | None) -> dict[str, Any]:
    _, _, outcome, latency_us, output = close
    return {"outcome": str(outcome), "latency_us": latency_us, "output": _json(output), "closed_seq": number}


def _sums(ended: Iterable[Ended]) -> Counter[tuple[str, str, str]]:
    """What these closings add to the tallies, by (endpoint, variant, name)."""
    sums: Counter[Any] = Counter()
    odds: Counter[tuple[str, str]] = Counter()  # few texts, many rows
    for endpoint, variant, shadow, propensity, outcome in ended:
        prefix = "shadow_" if shadow else ""
        sums[endpoint, variant, "shadows" if shadow else "requests"] += 1
        if outcome != Outcome.OK:
            sums[endpoint, variant, f"{prefix}failures"] += 1
            sums[endpoint, variant, f"{prefix}{outcome}"] += 1
        if not shadow:
            odds[endpoint, propensity] += 1
    for (endpoint, propensity), many in odds.items():
        for variant, share in msgspec.json.decode(propensity).items():
            sums[endpoint, variant, "expected"] += many * round(share / GRAIN) * GRAIN
    return sums


def _add(connection: sa.Connection, sums: Counter[tuple[str, str, str]]) -> None:
    one = tallies.c
    for (endpoint, variant, name), value in sums.items():
        key = {"endpoint": endpoint, "variant": variant, "name": name}
        where = (one.endpoint == endpoint, one.variant == variant, one.name == name)
        if not connection.execute(sa.update(tallies).where(*where).values(value=one.value + value)).rowcount:
            connection.execute(sa.insert(tallies), key | {"value": value})


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
