"""MLflow's scoring server protocol: every body that ``/invocations`` takes, and its answer.

``dataframe_split``, ``dataframe_records``, ``inputs`` (columns by name, or records), ``instances`` (records, or columns
by name), and CSV with a header. Predictions are what the bundle's pyfunc gives: a list of probabilities or of one value
for each row.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from rivals.errors import RequestError
from rivals.serve.wires.oip import reason
from rivals.values import Answer, Column

FORMATS = ("dataframe_split", "dataframe_records", "inputs", "instances")

_encode = msgspec.json.Encoder().encode


def invocations(raw: bytes) -> Mapping[str, Sequence[Any]]:
    """Read a JSON body as columns. Raises ``RequestError`` with a sentence."""
    body = _decoded(raw)
    given = [name for name in FORMATS if isinstance(body, dict) and name in body]
    if len(given) != 1 or set(body) - {given[0], "params"}:
        raise RequestError(f"The body is an object with one of these keys: {', '.join(FORMATS)}.")
    name, rows = given[0], body[given[0]]
    if name == "dataframe_split":
        return _split(rows)
    if isinstance(rows, list):
        return _records(name, rows)
    if name == "dataframe_records" or not isinstance(rows, dict):
        raise RequestError(f"{name!r} is a list with an object for each row.")
    return {column: _flat(column, values) for column, values in rows.items()}


def instances(raw: bytes, columns: Sequence[Column]) -> Mapping[str, Sequence[Any]]:
    """Read the body of KServe's v1 ``:predict``: rows as objects, or as lists in the order of the inputs."""
    body = _decoded(raw)
    rows = body.get("instances") if isinstance(body, dict) else None
    if not isinstance(rows, list) or set(body) - {"instances", "parameters"}:
        raise RequestError("The body is an object with 'instances', a list of rows.")
    if rows and all(isinstance(row, list) for row in rows):
        return _split({"columns": [column.name for column in columns], "data": rows})
    return _records("instances", rows)


def csv_rows(raw: bytes, columns: Sequence[Column]) -> Mapping[str, Sequence[Any]]:
    """Read CSV with a header as columns; an empty cell is a gap. Raises ``RequestError`` with a sentence."""
    try:
        header, *lines = csv.reader(io.StringIO(raw.decode(), newline=""), strict=True)
    except (UnicodeDecodeError, csv.Error) as error:
        raise RequestError(f"The body is not CSV: {error}.") from None
    except ValueError:
        raise RequestError("The body is empty; CSV begins with the names of its columns.") from None
    kinds = {column.name: column.kind for column in columns}
    rows = _split({"columns": header, "data": [line for line in lines if line]})
    return {name: [_cell(name, value, kinds.get(name)) for value in values] for name, values in rows.items()}


def predictions(given: Answer) -> bytes:
    """An answer as the body of a response."""
    return _encode({"predictions": given.outputs})


def _decoded(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"The body is not JSON: {reason(error)}.") from None


def _split(body: Any) -> Mapping[str, Sequence[Any]]:
    names: Any = body.get("columns") if isinstance(body, dict) else None
    rows: Any = body.get("data") if isinstance(body, dict) else None
    if not _names(names) or not isinstance(rows, list) or set(body) - {"columns", "data", "index"}:
        raise RequestError(
            "'dataframe_split' is an object with 'columns', a list of names, and 'data', a list of rows."
        )
    if len(set(names)) != len(names):
        raise RequestError("A column is named twice.")
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            raise RequestError(f"Row {number} is not a list of {len(names)} values, one for each column.")
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)) if rows else {name: [] for name in names}


def _records(name: str, rows: list[Any]) -> Mapping[str, Sequence[Any]]:
    if not rows:
        raise RequestError("There are no rows in it.")
    if len(rows) == 1 and isinstance(rows[0], dict):
        return dict(zip(rows[0], zip(rows[0].values(), strict=True), strict=True))
    names = list(rows[0]) if isinstance(rows[0], dict) else []
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise RequestError(f"{name!r}: row {number} is not an object with a value for each column.")
        if row.keys() != rows[0].keys():
            raise RequestError(f"Row {number} has other columns than row 0.")
    return {column: [row[column] for row in rows] for column in names}


def _flat(column: str, values: Any) -> Sequence[Any]:
    """A column as a list; [[1], [2]] and a lone value are columns too, as MLflow has it."""
    if not isinstance(values, list):
        return [values]
    if all(isinstance(value, list) and len(value) == 1 for value in values):
        return [value[0] for value in values]
    if any(isinstance(value, list) for value in values):
        raise RequestError(f"Column {column!r} holds lists; it takes one value for each row.")
    return values


def _cell(name: str, text: str, kind: str | None) -> Any:
    if not text:
        return None
    if kind != "number":
        return text
    try:
        return float(text)
    except ValueError:
        raise RequestError(f"Column {name!r} takes numbers, not {text[:40]!r}.") from None


def _names(names: Any) -> bool:
    return isinstance(names, list) and all(isinstance(name, str) for name in names)
