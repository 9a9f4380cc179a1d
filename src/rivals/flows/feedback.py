"""Labels and rewards in bulk, from a file, by exposure id."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from rivals.errors import DataError
from rivals.flows.rollout import clock_of
from rivals.flows.workspace import Workspace
from rivals.values import Feedback


def take_feedback(workspace: Workspace, path: Path) -> dict[str, int]:
    """Keep every row of a JSON-lines, CSV or Parquet file; the same file twice changes nothing.

    Raises ``DataError`` naming the first row that cannot be read; nothing is kept then.
    """
    now = clock_of(workspace)
    rows = [_row(path, number, row, now) for number, row in enumerate(_read(path), start=1)]
    return {"read": len(rows), "new": workspace.store.take(rows)}


def _read(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        match path.suffix.lower():
            case ".csv":
                with path.open(newline="", encoding="utf-8") as stream:
                    yield from ({key: _number(value) for key, value in row.items()} for row in csv.DictReader(stream))
            case ".parquet":
                import pyarrow.parquet as pq  # noqa: PLC0415 -- of the build extra

                yield from pq.read_table(path).to_pylist()
            case _:
                with path.open("rb") as stream:
                    yield from (msgspec.json.decode(line) for line in stream if line.strip())
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file.") from None
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise DataError(f"{path}: cannot be read as {path.suffix or 'JSON lines'}: {error}.") from None


def _number(text: str) -> Any:
    """A CSV cell as what it looks like; an id that looks like a number is turned back by ``_row``."""
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text


def _row(path: Path, number: int, row: Any, now: float) -> Feedback:
    if not isinstance(row, Mapping) or "id" not in row or not ({"label", "reward"} & set(row)):
        raise DataError(f"{path}: row {number} has no id, or neither label nor reward.")
    reward = row.get("reward")
    if reward is not None and not isinstance(reward, int | float):
        raise DataError(f"{path}: row {number}: the reward {reward!r} is not a number.")
    return Feedback(
        str(row["id"]), row.get("label"), None if reward is None else float(reward), float(row.get("time") or now)
    )
