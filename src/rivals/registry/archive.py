"""Closed exposures as Parquet by day: ``day=YYYY-MM-DD/<first>-<last>.parquet``, what replay and retraining read.

A file holds the exposures of its day that were closed as number ``first`` to ``last``, and its name is the whole record
of the move: it appears complete or not at all, and only then are its rows deleted from the store. Whoever dies in
between leaves rows that a file has already, and the next move begins with deleting those. Labels and rewards stay in
the store, for they may still come; they are joined when a day is read.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import shutil
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from rivals.registry.erasure import COLUMNS, erase, pseudonym, salt_of
from rivals.registry.heard import Heard, count, drawn, heard, in_order, told
from rivals.registry.ledger import Ledger
from rivals.registry.schema import contradictions, exposures, feedback, inputs, windows
from rivals.registry.store import Store
from rivals.values import Exposure, Outcome, Pair

DAY = 86_400.0
BATCH = 5_000  # exposures of one file, and of one step
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("variant", pa.string()),
        ("shadow", pa.bool_()),
        ("endpoint", pa.string()),
        ("revision", pa.int64()),
        ("time", pa.float64()),
        ("unit", pa.string()),
        ("propensity", pa.string()),  # JSON: share by variant
        ("outcome", pa.string()),
        ("latency_us", pa.int64()),
        ("output", pa.string()),  # JSON: probabilities by label, or one value
        ("slices", pa.string()),  # JSON: the declared slices it fell into
        ("closed_seq", pa.int64()),
        ("inputs", pa.string()),  # JSON: what the row asked, where it was captured
    ]
)


@dataclass(frozen=True, slots=True)
class Archived:
    """An exposure from the archive, what it asked, and what it turned out to mean as far as that is known now."""

    exposure: Exposure
    closed_seq: int
    inputs: Mapping[str, Any] | None
    label: Any
    reward: float | None


@dataclass(frozen=True, slots=True)
class Archive:
    """The closed exposures of an endpoint, by day, under ``folder``."""

    store: Store
    folder: Path
    endpoint: str

    def move(self, before: float, closed_up_to: int | None = None, limit: int = BATCH) -> int:
        """Move some exposures of the oldest day that ended by ``before``; returns how many. Again, until it is 0.

        ``closed_up_to``: those closed later stay. The newest day stays too: it tells the time.
        """
        latest = self.store.latest_time(self.endpoint)
        if latest is None:
            return 0
        end = min(before, latest) // DAY * DAY
        with self._locked():
            one = exposures.c
            movable = sa.and_(one.endpoint == self.endpoint, one.closed_seq.is_not(None), one.time < end)
            if closed_up_to is not None:
                movable = sa.and_(movable, one.closed_seq <= closed_up_to)
            oldest = self.store.rows(sa.select(one.time).where(movable).order_by(one.time).limit(1))
            if not oldest:
                return 0
            start = oldest[0].time // DAY * DAY
            of_day = sa.and_(movable, one.time >= start, one.time < start + DAY)
            folder = self.folder / f"day={day_name(start)}"
            # Left by one who died before it had deleted them.
            moved = sum(self._delete(of_day, *numbers_of(file)) for file in files_of(folder))
            query = sa.select(exposures, inputs.c.body.label("inputs"))
            query = query.join_from(exposures, inputs, inputs.c.id == one.id, isouter=True).where(of_day)
            rows = [dict(row._asdict()) for row in self.store.rows(query.order_by(one.closed_seq).limit(limit))]
            if rows:
                first, last = rows[0]["closed_seq"], rows[-1]["closed_seq"]
                write(folder / f"{first:012d}-{last:012d}.parquet", rows)
                moved += self._delete(of_day, first, last)
        return moved

    def days(self) -> list[str]:
        """The days there are, as ``YYYY-MM-DD``, oldest first."""
        found = [path.name.removeprefix("day=") for path in self.folder.glob("day=*")]
        return sorted(found, key=np.datetime64)

    def read(self, day: str) -> Iterator[Archived]:
        """The exposures of a day in the order in which they were closed, with the labels and rewards known by now."""
        for file in self._files(day):
            yield from self._joined(pq.read_table(file, partitioning=None).to_pylist())

    def captured(self) -> Iterator[Archived]:
        """All closed exposures of which it is kept what they asked: those of the archive, then those of the store."""
        for day in self.days():
            yield from (one for one in self.read(day) if one.inputs is not None)
        query = sa.select(exposures, inputs.c.body.label("inputs"))
        query = query.join_from(exposures, inputs, inputs.c.id == exposures.c.id)
        closed = sa.and_(exposures.c.endpoint == self.endpoint, exposures.c.closed_seq.is_not(None))
        rows = self.store.rows(query.where(closed).order_by(exposures.c.closed_seq))
        yield from self._joined([dict(row._asdict()) for row in rows])

    def between(self, start: float, end: float) -> Iterator[Archived]:
        """Closed exposures of the time [start, end), of the archive and the store together."""
        for day in self.days():
            if start < _start(day) + DAY and _start(day) < end:
                yield from (one for one in self.read(day) if start <= one.exposure.time < end)
        for number, exposure, label, reward, asked in self.store.closed(self.endpoint, start, end):
            yield Archived(exposure, number, asked, label, reward)

    def _joined(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[Archived]:
        known = [(row["id"], row["unit"], row["time"]) for row in rows]
        labels, rewards = self.store.told(known, "label"), self.store.told(known, "reward")
        for row, label, reward in zip(rows, labels, rewards, strict=True):
            asked = None if row["inputs"] is None else msgspec.json.decode(row["inputs"])
            yield Archived(_exposure(row), row["closed_seq"], asked, label, reward)

    def history(self, variants: Sequence[str], after: int = 0) -> Iterator[tuple[int, Exposure]]:
        """Closed exposures from the archive and then the store, in the order in which they were closed, after a number.

        What ``Store.exposures_since`` gave while they were there; days overlap in that order, a few files at a time.
        """
        waiting = deque(sorted((*numbers_of(file), file) for day in self.days() for file in self._files(day)))
        stored = self._stored(variants, after)
        heap: list[tuple[int, Exposure]] = []
        following = next(stored, None)
        while waiting or heap or following:
            least = min([*heap[:1], *([following] if following else [])], key=_number, default=None)
            if waiting and (least is None or waiting[0][0] <= least[0]):
                for row in _table(waiting.popleft()[2], variants, after):
                    heapq.heappush(heap, (row["closed_seq"], _exposure(row)))
            elif heap and least is heap[0]:
                yield heapq.heappop(heap)
            elif following:
                yield following
                following = next(stored, None)

    def pairs(self, champion: str, challenger: str, start: float, end: float) -> list[Pair]:
        """What ``Store.pairs`` gives, of the archive and the store together."""
        both, one = (champion, challenger), exposures.c
        within = sa.and_(one.endpoint == self.endpoint, one.time >= start, one.time < end, one.variant.in_(both))
        days = [day for day in self.days() if start < _start(day) + DAY and _start(day) < end]
        rows = [row for day in days for file in self._files(day) for row in _table(file, both)]
        rows += [dict(row._asdict()) for row in self.store.rows(sa.select(exposures).where(within))]
        ok = [row for row in rows if row["outcome"] == Outcome.OK.value and start <= row["time"] < end]
        outputs = {(row["id"], row["variant"]): tuple(msgspec.json.decode(row["output"])) for row in ok}
        found = sorted(
            (row["time"], row["id"], row["unit"], row["slices"])
            for row in ok
            if row["variant"] == champion and (row["id"], challenger) in outputs
        )
        labels = self.store.told([(name, unit, time) for time, name, unit, _ in found], "label")
        return [
            Pair(
                name,
                time,
                outputs[name, champion],
                outputs[name, challenger],
                label,
                tuple(msgspec.json.decode(slices)),
            )
            for (time, name, _, slices), label in zip(found, labels, strict=True)
        ]

    def heard(self, start: float, end: float, most: int) -> list[Heard]:
        """What ``heard`` gives, of the archive and the store together."""
        days = [day for day in self.days() if start < _start(day) + DAY and _start(day) < end]
        rows = []
        for file in (file for day in days for file in self._files(day)):
            table = pq.read_table(file, partitioning=None)
            within = pc.and_(pc.greater_equal(table["time"], start), pc.less(table["time"], end))
            rows += table.filter(pc.and_(within, pc.equal(table["outcome"], Outcome.OK.value))).to_pylist()
        every = len(rows) + count(self.store, self.endpoint, start, end)
        found = heard(self.store, self.endpoint, start, end, most, beside=len(rows))
        return in_order([*found, *told(self.store, [row for row in rows if drawn(row["id"], every, most)])])

    def drop(self, before: float) -> list[str]:
        """Delete the days that ended by ``before``, and feedback of that time that no exposure waits for any more."""
        gone = [day for day in self.days() if _start(day) + DAY <= before]
        if not gone:
            return []
        with self._locked():
            for day in gone:
                shutil.rmtree(self.folder / f"day={day}")
            waits = sa.exists().where(exposures.c.id == feedback.c.id)
            with self.store.transaction() as tx:
                past = sa.and_(exposures.c.endpoint == self.endpoint, exposures.c.time < before // DAY * DAY)
                tx.connection.execute(sa.delete(exposures).where(past, exposures.c.closed_seq.is_(None)))
                tx.connection.execute(sa.delete(feedback).where(feedback.c.time < before, ~waits))
                kept = sa.exists().where(feedback.c.id == contradictions.c.id)
                tx.connection.execute(sa.delete(contradictions).where(~kept))
                tx.connection.execute(sa.delete(windows).where(windows.c.end <= before))
                asked = sa.exists().where(exposures.c.id == inputs.c.id)
                tx.connection.execute(sa.delete(inputs).where(~asked))
        return gone

    def forget(self, unit: str, now: float) -> int:
        """Erase a unit from the store and from every file; returns how many exposures there were of it.

        The ledger says so first. Who dies in between repeats it: what is erased already is not found again.
        """
        with self._locked():
            files = [file for day in self.days() for file in self._files(day)]
            found = {file: rows for file in files if (rows := _rows(file, unit))}
            archived = [{name: row[name] for name in COLUMNS} for rows in found.values() for row in rows]
            salt = salt_of(self.store)
            with self.store.transaction() as tx:
                if many := erase(tx, salt, unit, archived):
                    body = {"unit": pseudonym(salt, unit), "exposures": many, "archived": len(archived)}
                    Ledger(self.store).append(tx, self.endpoint, "unit.erased", now, body)
            for file in found:
                table = pq.read_table(file, partitioning=None)
                write(file, table.filter(pc.not_equal(table["unit"], unit)).to_pylist())
            self.store.scrub()
        return many

    def _files(self, day: str) -> list[Path]:
        return files_of(self.folder / f"day={day}")

    def _stored(self, variants: Sequence[str], after: int) -> Iterator[tuple[int, Exposure]]:
        while some := self.store.exposures_since(self.endpoint, after, BATCH, variants):
            yield from some
            after = some[-1][0]

    def _delete(self, of_day: sa.ColumnElement[bool], first: int, last: int) -> int:
        one = exposures.c
        gone = sa.and_(of_day, one.closed_seq >= first, one.closed_seq <= last)
        with self.store.transaction() as tx:
            names, others = sa.select(one.id).where(gone).scalar_subquery(), exposures.alias().c
            stay = sa.exists().where(
                others.id == inputs.c.id, sa.or_(others.closed_seq.is_(None), others.closed_seq > last)
            )
            tx.connection.execute(sa.delete(inputs).where(inputs.c.id.in_(names), ~stay))
            return tx.connection.execute(sa.delete(exposures).where(gone)).rowcount

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One at a time: nothing is moved while a unit is being forgotten."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for torn in self.folder.glob("day=*/*.begun"):
                torn.unlink()
            yield
        finally:
            os.close(lock)


def day_name(start: float) -> str:
    """A day as ``YYYY-MM-DD``, in UTC."""
    return str(np.datetime64(int(start // DAY), "D"))


def files_of(day: Path) -> list[Path]:
    """The files of a day, in the order in which their exposures were closed."""
    return sorted(day.glob("*.parquet"))


def numbers_of(file: Path) -> tuple[int, int]:
    """The numbers of a file's first and last exposure in the order of closing."""
    first, last = file.stem.split("-")
    return int(first), int(last)


def write(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a file of the archive whole, or not at all, and to the disk."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    begun = file.with_suffix(".begun")
    columns = {name: [row[name] for row in rows] for name in SCHEMA.names}
    pq.write_table(pa.table(columns, schema=SCHEMA), begun, compression="zstd")
    _sync(begun)
    begun.replace(file)
    _sync(file.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _table(file: Path, variants: Sequence[str], after: int = 0) -> list[dict[str, Any]]:
    if numbers_of(file)[1] <= after:
        return []
    table = pq.read_table(file, partitioning=None)
    wanted = pc.and_(pc.is_in(table["variant"], pa.array(variants)), pc.greater(table["closed_seq"], after))
    rows: list[dict[str, Any]] = table.filter(wanted).to_pylist()
    return rows


def _start(day: str) -> float:
    return float(np.datetime64(day, "D").astype(np.int64)) * DAY


def _number(one: tuple[int, Exposure]) -> int:
    return one[0]


def _rows(file: Path, unit: str) -> list[dict[str, Any]]:
    if not pc.any(pc.equal(pq.read_table(file, columns=["unit"], partitioning=None)["unit"], unit)).as_py():
        return []
    table = pq.read_table(file, partitioning=None)
    found: list[dict[str, Any]] = table.filter(pc.equal(table["unit"], unit)).to_pylist()
    return found


def _exposure(row: Mapping[str, Any]) -> Exposure:
    return Exposure(
        id=row["id"],
        variant=row["variant"],
        shadow=row["shadow"],
        endpoint=row["endpoint"],
        revision=row["revision"],
        time=row["time"],
        unit=row["unit"],
        propensity=msgspec.json.decode(row["propensity"]),
        outcome=Outcome(row["outcome"]),
        latency_us=row["latency_us"],
        output=tuple(msgspec.json.decode(row["output"])),
        slices=tuple(msgspec.json.decode(row["slices"])),
    )
