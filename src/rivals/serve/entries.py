"""What journals hold, and how it is read: from the cursors on, oldest first; what is shipped is deleted."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from rivals.serve.logfile import DamagedError, frames
from rivals.values import Exposure, Feedback, Outcome

log = logging.getLogger("rivals.journal")

Close = tuple[str, str, Outcome, int, tuple[float, ...]]  # id, variant, outcome, latency_us, output


# -- what is written: array-like, for these two are most of the bytes --------------------------------------


class Opened(msgspec.Struct, array_like=True, gc=False):
    """A request put to a variant: one exposure for each of its rows."""

    id: str
    rows: int
    variant: str
    shadow: bool
    revision: int
    time: float
    unit: str
    propensity: Mapping[str, float]
    inputs: Mapping[str, Sequence[Any]] | None = None  # by column, where they are captured
    slices: Sequence[tuple[str, ...]] = ()  # by row; none where none are declared
    trace: str = ""  # its traceparent, where traces are wanted


class Closed(msgspec.Struct, array_like=True, gc=False):
    """How it ended; ``outputs`` by row, and none where there is no answer."""

    id: str
    rows: int
    variant: str
    outcome: Outcome
    latency_us: int
    outputs: Sequence[Sequence[float]] = ()


class Turn(msgspec.Struct, array_like=True):
    """What one turn of the loop opened and closed."""

    endpoint: str
    opened: Sequence[Opened]
    closed: Sequence[Closed]


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries of one file, up to the cursor ``seq``; shipping them twice must change nothing."""

    file: str
    seq: int
    opens: list[Exposure]
    closes: list[Close]
    feedback: list[Feedback]
    inputs: list[tuple[str, bytes]]  # by exposure id: the row as JSON
    turns: list[Turn] = field(default_factory=list)  # as they were written


# -- reading ---------------------------------------------------------------------------------------------


def read(run_dir: Path, cursors: Mapping[str, int], limit: int) -> list[Batch]:
    """What was written after the cursors (by file name), oldest first, about ``limit`` exposures a worker slot.

    A slot's later file is not read before its earlier ones are, so that no close comes before its open.
    """
    batches, unfinished = [], set[tuple[int, str]]()
    for name in files(folder(run_dir)):
        if (name.slot, name.kind) in unfinished:
            continue
        try:
            batch, finished = _read_file(name, cursors.get(name.path.name, 0), limit)
        except (DamagedError, msgspec.MsgspecError) as error:
            # A machine that lost power may leave this. It is kept for a person, and holds up nobody.
            log.warning("journal.damaged file=%s reason=%s", name.path.name, error)
            name.path.rename(name.path.with_suffix(".damaged"))
            continue
        if not finished:
            unfinished.add((name.slot, name.kind))
        if batch:
            batches.append(batch)
    return batches


def forget(run_dir: Path, cursors: Mapping[str, int]) -> None:
    """Delete files that are shipped to their end and no longer written to."""
    names = list(files(folder(run_dir)))
    newest = {(name.slot, name.kind): name.number for name in names}
    for name in names:
        if name.number < newest[name.slot, name.kind] and _shipped(name.path, cursors.get(name.path.name, 0)):
            name.path.unlink()


def folder(run_dir: Path) -> Path:
    """Where the journals are; made on first use, for this user's eyes only."""
    path = run_dir / "journal"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """A journal file, by its worker slot, what it holds and which one it is."""

    slot: int
    kind: str
    number: int
    path: Path


def files(journal: Path, slot: int | None = None, kind: str | None = None) -> list[Name]:
    """The journal's files, those of one slot first, oldest first."""
    found = []
    for path in journal.glob("*-*-*-*.log"):
        of, named, number, _ = path.stem.split("-")
        if slot in {None, int(of)} and kind in {None, named}:
            found.append(Name(int(of), named, int(number), path))
    return sorted(found)


def _read_file(name: Name, after: int, limit: int) -> tuple[Batch | None, bool]:
    batch, seq, size = Batch(name.path.name, after, [], [], [], []), after, 0
    for cursor, payload in _good(name.path, after):
        if size >= limit:
            return replace(batch, seq=seq), False
        seq = cursor
        if name.kind == "feedback":
            batch.feedback.extend(msgspec.msgpack.decode(payload, type=list[Feedback]))
        else:
            turn = msgspec.msgpack.decode(payload, type=Turn)
            batch.turns.append(turn)
            for one in turn.opened:
                batch.opens.extend(_exposures(turn.endpoint, one))
                batch.inputs.extend(_inputs(one))
            for end in turn.closed:
                batch.closes.extend(_closes(end))
        size = len(batch.opens) + len(batch.closes) + len(batch.feedback)
    return replace(batch, seq=seq) if seq > after else None, True


def _exposures(endpoint: str, one: Opened) -> Iterator[Exposure]:
    for row in range(one.rows):
        yield Exposure(
            id=f"{one.id}/{row}",
            variant=one.variant,
            shadow=one.shadow,
            endpoint=endpoint,
            revision=one.revision,
            time=one.time,
            unit=one.unit,
            propensity=one.propensity,
            slices=one.slices[row] if one.slices else (),
        )


def _inputs(one: Opened) -> Iterator[tuple[str, bytes]]:
    for row in range(one.rows if one.inputs is not None else 0):
        values = {name: column[row] for name, column in (one.inputs or {}).items()}
        yield f"{one.id}/{row}", msgspec.json.encode(values)


def _closes(end: Closed) -> Iterator[Close]:
    for row in range(end.rows):
        output = tuple(end.outputs[row]) if end.outputs else ()
        yield f"{end.id}/{row}", end.variant, end.outcome, end.latency_us, output


def _shipped(path: Path, cursor: int) -> bool:
    """Whether nothing is left behind the cursor."""
    try:
        return not any(frames(path, cursor))
    except DamagedError:
        return False  # whoever reads it next sets it aside


def _good(path: Path, after: int) -> Iterator[tuple[int, bytes]]:
    """The frames up to where a file is damaged; ``DamagedError`` only where there is none."""
    seen = False
    try:
        for found in frames(path, after):
            seen = True
            yield found
    except DamagedError:
        if not seen:
            raise
