"""From a frame of any kind to rows a model is fitted on: float32 numbers, texts, a target, and what goes with them.

Training and serving see the same numbers, because both cast to float32 first.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from rivals.errors import DataError
from rivals.plugins import nearest
from rivals.spec.project import DataSpec
from rivals.values import Column, Learned, Signature, Task


@dataclass(frozen=True, slots=True)
class Rows:
    """Labelled rows in the order of time (where there is one), ready to be divided.

    ``inputs`` holds the signature's columns: float32, or ``str`` and None. A classifier's ``target`` is the index of
    the label, a regressor's the value. ``ids`` are texts; ``time`` is in seconds since the epoch.
    """

    inputs: pd.DataFrame
    target: NDArray[Any]
    signature: Signature
    ids: NDArray[Any]
    weight: NDArray[np.float64] | None = None
    group: NDArray[Any] | None = None
    time: NDArray[np.float64] | None = None
    learned: Learned | None = None  # where it is more than what the signature answers

    @property
    def task(self) -> Learned:
        """What is learned of these rows."""
        return self.learned or self.signature.task

    def __len__(self) -> int:
        return len(self.target)

    @property
    def labels(self) -> NDArray[Any]:
        """The target as the user has it: labels, or values."""
        if self.signature.task == "regression":
            return self.target
        labels: NDArray[Any] = np.array(self.signature.labels)[self.target]
        return labels


def prepare(frame: pd.DataFrame, data: DataSpec) -> Rows:
    """Cast, order by time, and drop what has no target. Raises ``DataError`` with the column that cannot be used."""
    for role in data.roles:
        if role not in frame.columns and role not in data.ignore:
            raise DataError(f"There is no column {role!r}.{nearest(role, list(map(str, frame.columns)))}")
    names = [str(name) for name in frame.columns if name not in data.roles]
    if not names:
        raise DataError("No column is left as an input: all are named as target, id, time, weight, group or ignored.")
    if len(set(names)) < len(names):
        raise DataError(f"The column {next(n for n in names if names.count(n) > 1)!r} stands twice in the data.")
    # Gaps are looked for in all rows, labelled or not: a request may have what any row had.
    casts = {name: _column(frame[name], name) for name in names}
    inputs = pd.DataFrame(casts, index=frame.index)
    columns = tuple(Column(name, _kind(casts[name]), bool(casts[name].isna().any())) for name in names)
    known = frame[data.target].notna().to_numpy()
    if not known.any():
        raise DataError(f"No row has a {data.target!r}: there is nothing to learn from.")
    time = seconds_of(frame[data.time], data.time)[known] if data.time else None
    target, labels = _target(frame.loc[known, data.target], data.answers, data.target)
    order = np.argsort(time, kind="stable") if time is not None else np.arange(int(known.sum()))
    ids = frame[data.id] if data.id else pd.Series(np.arange(len(frame)))
    return Rows(
        inputs=inputs[known].iloc[order].reset_index(drop=True),
        target=target[order],
        signature=Signature(columns, data.answers, labels),
        ids=ids[known].astype(str).to_numpy(object)[order],
        weight=_weight(frame[data.weight], data.weight)[known][order] if data.weight else None,
        group=frame.loc[known, data.group].astype(str).to_numpy(object)[order] if data.group else None,
        time=time[order] if time is not None else None,
        learned=data.task,
    )


def narrowed(signature: Signature, names: Sequence[str] | None) -> Signature:
    """The signature with the inputs ``names`` alone, in its own order. Raises ``DataError`` on one it does not have."""
    if names is None:
        return signature
    known = [column.name for column in signature.inputs]
    for name in names:
        if name not in known:
            raise DataError(f"There is no input column {name!r}.{nearest(name, known)}")
    return Signature(tuple(c for c in signature.inputs if c.name in set(names)), signature.task, signature.labels)


def digest(columns: Mapping[str, str]) -> str:
    """Name exactly these rows, from the digests of their columns."""
    return hashlib.sha256(msgspec.json.encode(list(columns.items()))).hexdigest()


def fingerprints(frame: pd.DataFrame) -> dict[str, str]:
    """SHA-256 of each column: its type and its values in Arrow's format. Raises ``DataError`` on mixed values."""
    found = {}
    for name in frame.columns:
        try:
            table = pa.Table.from_pandas(frame[[name]], preserve_index=False).replace_schema_metadata(None)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise DataError(f"Column {name!r} holds values of several kinds: {error.args[-1]}.") from error
        whole = hashlib.sha256()
        with pa.ipc.new_stream(pa.PythonFile(_Sink(whole), "w"), table.schema) as writer:
            writer.write_table(table.combine_chunks())
        found[str(name)] = whole.hexdigest()
    return found


class _Sink(io.RawIOBase):
    """A file whose bytes are hashed and forgotten."""

    def __init__(self, whole: Any) -> None:
        super().__init__()
        self._whole = whole

    def writable(self) -> bool:
        return True

    def write(self, raw: Any) -> int:
        self._whole.update(raw)
        return len(raw)


# -- columns ----------------------------------------------------------------------------------------


def _column(values: pd.Series[Any], name: str) -> pd.Series[Any]:
    """A column as float32, or as texts and None."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    if pd.api.types.is_datetime64_any_dtype(values) or pd.api.types.is_timedelta64_dtype(values):
        raise DataError(
            f"Column {name!r} holds dates; make numbers of them (hour, weekday), name it as time, or ignore it."
        )
    if not (pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values)):
        present = values.dropna()
        if present.empty:
            raise DataError(f"Column {name!r} has no value at all; ignore it (data.ignore).")
        if all(isinstance(value, str) for value in present):
            return values.astype(object).where(values.notna(), None)
        if not all(isinstance(value, (bool, int, float, np.number, np.bool_)) for value in present):
            kinds = ", ".join(sorted({type(value).__name__ for value in present}))
            raise DataError(f"Column {name!r} holds {kinds}; an input is numbers or texts. Convert it, or ignore it.")
    if pd.api.types.is_complex_dtype(values):
        raise DataError(f"Column {name!r} holds complex numbers; split them into two columns.")
    with np.errstate(over="ignore"):
        numbers = values.astype("Float64" if values.dtype == object else values.dtype).to_numpy(
            np.float32, na_value=np.nan
        )
    if np.isinf(numbers).any():
        raise DataError(
            f"Column {name!r} holds infinite numbers, or some beyond 3e38; nobody can send those. Clip them."
        )
    if np.isnan(numbers).all():
        raise DataError(f"Column {name!r} has no value at all; ignore it (data.ignore).")
    return pd.Series(numbers, index=values.index)


def _kind(values: pd.Series[Any]) -> Any:
    return "text" if values.dtype == object else "number"


def _target(values: pd.Series[Any], task: Task, name: str) -> tuple[NDArray[Any], tuple[Any, ...]]:
    if task == "regression":
        numbers = pd.to_numeric(values, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        if not np.isfinite(numbers).all():
            raise DataError(f"The target {name!r} holds what is no finite number; a regression needs numbers.")
        return numbers, ()
    values = values.infer_objects()  # True, False and gaps are bools now that the gaps are gone
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        plain = values.to_numpy(np.float64)
        # A column of 0, 1 and gaps is read as floats; its labels are whole numbers all the same.
        found, target = np.unique(
            plain.astype(np.int64) if (plain == np.floor(plain)).all() else plain, return_inverse=True
        )
    else:
        found, target = np.unique(values.astype(str).to_numpy(object), return_inverse=True)
    labels = tuple(found.tolist())
    if task == "binary" and len(labels) != 2:  # noqa: PLR2004 -- that is what binary means
        raise DataError(
            f"The target {name!r} has {len(labels)} labels ({', '.join(map(str, labels[:5]))}); binary has two."
        )
    if len(labels) < 2:  # noqa: PLR2004 -- one label is nothing to tell apart
        raise DataError(f"The target {name!r} is always {labels[0]!r}; there is nothing to tell apart.")
    return target.astype(np.int64), labels


def seconds_of(values: pd.Series[Any], name: str) -> NDArray[np.float64]:
    """A time column in seconds since the epoch; dates without a zone are UTC. Raises ``DataError`` naming it."""
    """Seconds since the epoch; dates without a zone are taken as UTC."""
    if pd.api.types.is_datetime64_any_dtype(values):
        zoned = values.dt.tz_localize("UTC") if values.dt.tz is None else values
        seconds: NDArray[Any] = (zoned - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy(np.float64)
    elif pd.api.types.is_numeric_dtype(values):
        seconds = values.to_numpy(np.float64, na_value=np.nan)
    else:
        raise DataError(f"The time {name!r} is neither dates nor seconds since the epoch; convert it in the source.")
    if not np.isfinite(seconds).all():
        raise DataError(
            f"The time {name!r} is missing in {int((~np.isfinite(seconds)).sum())} rows; every row needs one."
        )
    return seconds.astype(np.float64)


def _weight(values: pd.Series[Any], name: str) -> NDArray[np.float64]:
    weight = pd.to_numeric(values, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.any()):
        raise DataError(f"The weight {name!r} must be a number from 0 up in every row, and above 0 somewhere.")
    return weight
