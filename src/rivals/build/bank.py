"""The prediction bank: what a variant said of rows it was not fitted on, kept so that nobody needs to fit again.

One Parquet file a variant: ``row`` (its id), ``fold`` (-1: held out of everything, by the final model), ``target`` (the
index of the label, or the value), ``weight``, ``time``, ``group`` (null where the project names none) and ``p0``,
``p1``, ... or ``value``, in float64.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rivals.errors import DataError
from rivals.values import Learned

FILE = "bank.parquet"
HELD_OUT = -1


@dataclass(frozen=True, slots=True)
class Bank:
    """Rows with their truth and one variant's answers, float64 (rows, labels) or (rows, 1)."""

    ids: NDArray[Any]
    fold: NDArray[np.int64]
    target: NDArray[Any]
    outputs: NDArray[np.float64]
    task: Learned
    labels: tuple[Any, ...] = ()
    weight: NDArray[np.float64] | None = None
    time: NDArray[np.float64] | None = None
    group: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.target)

    def where(self, kept: NDArray[np.bool_] | NDArray[np.intp]) -> Bank:
        """Some of the rows."""
        arrays = ("ids", "fold", "target", "outputs", "weight", "time", "group")
        present: dict[str, Any] = {name: getattr(self, name) for name in arrays if getattr(self, name) is not None}
        return replace(self, **{name: values[kept] for name, values in present.items()})

    @property
    def judged(self) -> Bank:
        """The rows to compare on: all that count, out of fold and held out alike, for no model was fitted on them."""
        return self if self.weight is None else self.where(self.weight > 0)


def write(folder: Path, bank: Bank) -> Path:
    """Write ``folder/bank.parquet``, all of it or nothing."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    columns: dict[str, Any] = {"row": bank.ids.astype(str), "fold": bank.fold, "target": bank.target}
    for name in ("weight", "time", "group"):
        values = getattr(bank, name)
        kind = pa.string() if name == "group" else pa.float64()
        columns[name] = pa.nulls(len(bank), kind) if values is None else pa.array(values, kind)
    for index, name in enumerate(_names(bank)):
        columns[name] = bank.outputs[:, index]
    about = msgspec.json.encode({"task": bank.task, "labels": bank.labels})
    table = pa.table(columns).replace_schema_metadata({b"rivals": about})
    draft = folder / f".{FILE}.{os.getpid()}"
    pq.write_table(table, draft)
    draft.rename(folder / FILE)
    return folder / FILE


def read(folder: Path) -> Bank:
    """Read what ``write`` wrote. Raises ``DataError`` where it is missing or damaged."""
    try:
        table = pq.read_table(folder / FILE)
        about = msgspec.json.decode(table.schema.metadata[b"rivals"])
        outputs = [c for c in table.column_names if c == "value" or (c[0] == "p" and c[1:].isdigit())]
        optional: dict[str, Any] = {name: table[name] for name in ("weight", "time", "group")}
        return Bank(
            ids=table["row"].to_numpy().astype(object),
            fold=table["fold"].to_numpy(),
            target=table["target"].to_numpy(),
            outputs=np.column_stack([table[name].to_numpy() for name in outputs]),
            task=about["task"],
            labels=tuple(about["labels"]),
            **{name: None if values.null_count else values.to_numpy() for name, values in optional.items()},
        )
    except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"The predictions in {folder.name} cannot be read ({error}); `rivals train` makes them again."
        ) from error


def _names(bank: Bank) -> list[str]:
    return ["value"] if not bank.labels else [f"p{index}" for index in range(bank.outputs.shape[1])]
