"""Labels, rewards and ratings in bulk, from a file: by exposure id, or by unit and time."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from rivals.bundles import read_manifest
from rivals.errors import DataError, RequestError, RivalsError
from rivals.flows.begin import clock_of
from rivals.flows.workspace import Workspace
from rivals.serve.wires.feedback import ABOUT, SAYS, Terms, statement
from rivals.values import Feedback

AT_ONCE = 10_000  # rows in memory, and in one transaction
NAMES = ("id", "unit")  # texts, whatever they look like
TRUTHS = {"true": True, "false": False}


def take_feedback(workspace: Workspace, path: Path) -> dict[str, int]:
    """Keep every row of a JSON-lines, CSV or Parquet file of any size; the same file twice changes nothing.

    The whole file is read and checked before its first row is kept. Rows that say nothing yet are passed over.
    Raises ``DataError`` naming the first row that cannot be read; nothing is kept then.
    """
    now, terms = clock_of(workspace), _terms(workspace)
    read = sum(1 for _ in _rows(path, now, terms))
    kept, new = _rows(path, now, terms), 0
    while batch := list(islice(kept, AT_ONCE)):
        new += workspace.store.take([one for one in batch if one is not None])
    return {"read": read, "new": new, **workspace.store.feedback_counts()}


def _rows(path: Path, now: float, terms: Terms) -> Iterator[Feedback | None]:
    for number, row in enumerate(_read(path, terms), start=1):
        where = f"{path}: row {number}"
        if not isinstance(row, Mapping) or not (set(row) & set(SAYS)):
            raise DataError(f"{where} has neither label nor reward.")
        said = {name: value for name, value in row.items() if name in {*ABOUT, *SAYS} and not _gap(value)}
        if all(said.get(name) is None for name in SAYS):
            yield None
            continue
        try:
            yield statement(where, said, now, terms)
        except RequestError as error:
            raise DataError(str(error)) from None


def _read(path: Path, terms: Terms) -> Iterator[Mapping[str, Any]]:
    try:
        match path.suffix.lower():
            case ".csv":
                with path.open(newline="", encoding="utf-8") as stream:
                    for row in csv.DictReader(stream):
                        yield {name: _cell(name, value, terms) for name, value in row.items()}
            case ".parquet":
                import pyarrow.parquet as pq  # noqa: PLC0415 -- of the build extra

                with pq.ParquetFile(path) as file:
                    wanted = [name for name in file.schema_arrow.names if name in {*ABOUT, *SAYS}]
                    for batch in file.iter_batches(AT_ONCE, columns=wanted):
                        yield from (_named(row) for row in batch.to_pylist())
            case _:
                with path.open("rb") as stream:
                    yield from (_named(msgspec.json.decode(line)) for line in stream if line.strip())
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file.") from None
    except (OSError, ValueError, csv.Error, msgspec.DecodeError) as error:
        raise DataError(f"{path}: cannot be read as {path.suffix or 'JSON lines'}: {error}.") from None


def _gap(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _named(row: Any) -> Any:
    """A row whose ids and units are texts; numbers are as their digits."""
    if isinstance(row, dict):
        for name in NAMES:
            if type(row.get(name)) is int:
                row[name] = str(row[name])
    return row


def _cell(name: str | None, text: Any, terms: Terms) -> Any:
    """A CSV cell as what its column holds; empty: a gap. Labels are texts where the endpoint's are."""
    if not isinstance(text, str) or not text:
        return None
    if name in NAMES or (name == "label" and any(isinstance(one, str) for one in terms.labels or ())):
        return text
    if name == "label" and text.lower() in TRUTHS:
        return TRUTHS[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _terms(workspace: Workspace) -> Terms:
    endpoint = workspace.endpoint
    try:
        table = workspace.table()
        digest = next(arm.digest for arm in table.arms if arm.variant == table.champion)
        labels: tuple[Any, ...] | None = read_manifest(workspace.blobs.path(digest)).signature.labels
    except RivalsError:  # never served yet; what is told may come before what is asked
        labels = None
    return Terms(labels, endpoint.feedback.rating, own_time=True)
