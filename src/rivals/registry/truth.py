"""What exposures turned out to mean: every label and reward that was told, and what they say together.

One rule, which knows no order: an exposure has the label that everything told about it agrees on, by its id or by its
unit and time. Where two say different things it has none, for good, and is counted as contradicted; rewards likewise.
So what is told is a set: told late, twice or in another order it is the same set, and the same figures to the last bit.

``keep_feedback`` runs inside a writing transaction that its caller began.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
import sqlalchemy as sa

from rivals.registry.engine import insert, insert_new
from rivals.registry.schema import TURN, contradictions, exposures, feedback, windows
from rivals.registry.shipping import by_id, take_numbers
from rivals.values import Feedback

Kind = Literal["label", "reward"]
KINDS: tuple[Kind, ...] = ("label", "reward")


class Known(NamedTuple):
    """An exposure, and what was told by its id (as JSON; None: nothing)."""

    id: str
    unit: str
    time: float
    value: str | None


# -- writing ---------------------------------------------------------------------------------------------


def keep_feedback(connection: sa.Connection, rows: Sequence[Feedback]) -> int:
    """Keep what is new; returns for how many ids and windows something was. An id that nobody knows is kept too."""
    if not rows:
        return 0
    take_numbers(connection, TURN, 1)  # one at a time
    return _keep_by_id(connection, [row for row in rows if not row.unit]) + _keep_windows(
        connection, [row for row in rows if row.unit]
    )


def canonical(value: Any) -> str | None:
    """A label as JSON, in one form for all that are equal: 1, 1.0 and True are; None: it says nothing."""
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        value = int(value)
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return msgspec.json.encode(value, order="sorted").decode()


def _said(row: Feedback) -> dict[Kind, str]:
    reward = None if row.reward is None or not math.isfinite(row.reward) else _number(row.reward)
    found: dict[Kind, str | None] = {"label": canonical(row.label), "reward": reward}
    return {kind: value for kind, value in found.items() if value is not None}


def _keep_by_id(connection: sa.Connection, rows: Sequence[Feedback]) -> int:
    told: dict[str, set[tuple[Kind, str]]] = defaultdict(set)
    times: dict[str, float] = {}
    for row in rows:
        if said := _said(row):
            told[row.id].update(said.items())
            times[row.id] = min(row.time, times.get(row.id, math.inf))
    one, other = feedback.c, contradictions.c
    found = by_id(connection, sa.select(one.id, one.label, one.reward, one.time), one.id, told)
    before = {row.id: dict(row._asdict()) for row in found}
    apart = {(row.id, row.kind) for row in by_id(connection, sa.select(other.id, other.kind), other.id, told)}
    fresh, changed, split, new = [], [], [], 0
    for name, said_of in told.items():
        known = before.get(name)
        after: dict[str, Any] = dict(known or {"id": name, "label": None, "reward": None, "time": math.inf})
        open_kinds = [kind for kind in KINDS if (name, kind) not in apart]
        torn = [kind for kind in open_kinds if not _agreed(after, kind, said_of)]
        split += [{"id": name, "kind": kind} for kind in torn]
        new += bool(torn) or known is None or any(after[kind] != known[kind] for kind in KINDS)
        after["time"] = min(after["time"], times[name])
        if known is None:
            fresh.append(after)
        elif after != known:
            changed.append({"of": name, **after})
    insert(connection, feedback, fresh)
    insert(connection, contradictions, split)
    if changed:
        connection.execute(sa.update(feedback).where(one.id == sa.bindparam("of")), changed)
    return new


def _agreed(kept: dict[str, Any], kind: Kind, said: set[tuple[Kind, str]]) -> bool:
    """Take in what was said; whether it is all the same. Where it is not, nothing is kept."""
    values = {value for of, value in said if of == kind}
    if kept[kind] is not None:
        values.add(as_json(kind, kept[kind]) or "")
    kept[kind] = None
    if len(values) == 1:
        value = values.pop()
        kept[kind] = value if kind == "label" else float(value)
        return True
    return not values


def _keep_windows(connection: sa.Connection, rows: Sequence[Feedback]) -> int:
    told = [
        {"unit": row.unit, "start": row.start, "end": row.end, "kind": kind, "value": value}
        for row in rows
        for kind, value in _said(row).items()
    ]
    return insert_new(connection, windows, told)


# -- reading ---------------------------------------------------------------------------------------------


def settle(connection: sa.Connection, kind: Kind, known: Sequence[Known]) -> tuple[list[Any], int]:
    """The label or reward of each exposure (None: none), by id and by unit together; and how many windows made void."""
    said, void = [one.value for one in known], 0
    if known and connection.execute(sa.select(windows.c.unit).limit(1)).first() is not None:
        other = contradictions.c
        query = sa.select(other.id).where(other.kind == kind)
        apart = {row.id for row in by_id(connection, query, other.id, {one.id for one in known})}
        about = _windows(connection, kind, known)
        for number, one in enumerate(known):
            values = {value for start, end, value in about.get(one.unit, ()) if start <= one.time < end}
            if one.value is not None:
                values.add(one.value)
            said[number] = next(iter(values)) if len(values) == 1 and one.id not in apart else None
            void += len(values) > 1 and one.id not in apart
    return [None if value is None else msgspec.json.decode(value) for value in said], void


def told(connection: sa.Connection, kind: Kind, exposed: Sequence[tuple[str, str, float]]) -> list[Any]:
    """The label or reward of exposures by (id, unit, time), wherever they are kept; None: none."""
    one, ids = feedback.c, {row[0] for row in exposed}
    said = {row.id: row.said for row in by_id(connection, sa.select(one.id, one[kind].label("said")), one.id, ids)}
    return settle(connection, kind, [Known(*row, as_json(kind, said.get(row[0]))) for row in exposed])[0]


def counts(connection: sa.Connection) -> dict[str, int]:
    """Feedback: ids ``kept``, those of no exposure in the store, ``windows``, and what was ``contradicting``.

    An id that was told different labels counts once there, and once more if its rewards differ too.
    """
    one, other = feedback.c, exposures.c
    unknown = sa.select(sa.func.count()).select_from(feedback).where(~sa.exists().where(other.id == one.id))
    by_ids: int = connection.execute(sa.select(sa.func.count()).select_from(contradictions)).scalar_one()
    return {
        "kept": connection.execute(sa.select(sa.func.count()).select_from(feedback)).scalar_one(),
        "unknown": connection.execute(unknown).scalar_one(),
        "contradicting": by_ids + _denied(connection),
        "windows": connection.execute(sa.select(sa.func.count()).select_from(windows)).scalar_one(),
    }


def _denied(connection: sa.Connection) -> int:
    """Exposures that windows contradict, where their ids alone do not."""
    one, said, other = exposures.c, feedback.c, windows.c
    within = sa.and_(other.unit == one.unit, other.start <= one.time, one.time < other.end)
    query = sa.select(one.id, one.unit, one.time, said.label, said.reward).distinct().where(sa.exists().where(within))
    rows = connection.execute(query.join_from(exposures, feedback, said.id == one.id, isouter=True)).all()
    found = {(row.id, row.unit, row.time): row for row in rows}.values()  # an id's shadows are the same exposure
    return sum(
        settle(
            connection, kind, [Known(row.id, row.unit, row.time, as_json(kind, row._asdict()[kind])) for row in found]
        )[1]
        for kind in KINDS
    )


def as_json(kind: Kind, kept: Any) -> str | None:
    """What the feedback table keeps, as JSON."""
    if kept is None:
        return None
    return str(kept) if kind == "label" else _number(kept)


def _windows(
    connection: sa.Connection, kind: Kind, known: Sequence[Known]
) -> Mapping[str, list[tuple[float, float, str]]]:
    one, times = windows.c, [row.time for row in known]
    query = sa.select(one.unit, one.start, one.end, one.value)
    query = query.where(one.kind == kind, one.start <= max(times), one.end > min(times))
    about: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
    units: Iterable[str] = {row.unit for row in known}
    for row in by_id(connection, query, one.unit, units):
        about[row.unit].append((row.start, row.end, row.value))
    return about


def _number(reward: float) -> str:
    return msgspec.json.encode(float(reward) + 0.0).decode()  # minus zero is zero
