"""What the data looked like when it was first built on: inferred, kept, and compared with what comes later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

MOST = 50  # different texts that are still categories
ROOM = 0.5  # of the range seen, that values may lie outside of it
GAPS = 0.1  # more of a column may be missing than was


@dataclass(frozen=True, slots=True)
class ColumnSchema:
    """One column: its kind, the share that is missing, its range or its categories (None: any)."""

    name: str
    kind: str  # number, text, time, flag
    missing: float
    low: float | None = None
    high: float | None = None
    categories: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class DataSchema:
    """The columns of a source."""

    columns: tuple[ColumnSchema, ...]


def infer(frame: pd.DataFrame, names: Sequence[str] | None = None) -> DataSchema:
    """The schema of these columns; of all if none are named."""
    return DataSchema(tuple(_column(frame[name]) for name in (names or list(frame.columns))))


def breaks(schema: DataSchema, frame: pd.DataFrame) -> list[str]:
    """What is no longer as it was, a sentence each; empty: everything is. Columns that are new break nothing."""
    found = []
    for was in schema.columns:
        if was.name not in frame.columns:
            found.append(f"column {was.name!r} is gone")
            continue
        now = _column(frame[was.name])
        if now.missing < 1 and now.kind != was.kind:
            found.append(f"column {was.name!r} holds {now.kind}s, it held {was.kind}s")
        else:
            found += _broken(was, now)
    return found


def script(schemas: Mapping[str, DataSchema]) -> str:
    """The same as Python that makes pandera schemas, for the user to own and to change.

    Run ``schema.validate(frame)`` of what it defines. https://pandera.readthedocs.io
    """
    lines = ['"""Written by `rivals export schema`; yours from here on."""', "", "import pandera.pandas as pa", ""]
    for name, schema in schemas.items():
        lines += ["", f"{name} = pa.DataFrameSchema(", "    {"]
        lines += [f"        {one.name!r}: {_pandera(one)}," for one in schema.columns]
        lines += ["    }", ")"]
    return "\n".join(lines) + "\n"


def _column(values: pd.Series) -> ColumnSchema:
    name, missing = str(values.name), float(values.isna().mean()) if len(values) else 0.0
    if values.dtype.kind == "b":
        return ColumnSchema(name, "flag", missing)
    if values.dtype.kind in "iuf":
        known = values.to_numpy(np.float64, na_value=np.nan)
        known = known[np.isfinite(known)]
        ends = (float(known.min()), float(known.max())) if len(known) else (None, None)
        return ColumnSchema(name, "number", missing, *ends)
    if values.dtype.kind == "M":
        return ColumnSchema(name, "time", missing)
    different = values.dropna().astype(str).unique()
    categories = tuple(sorted(different)) if len(different) <= MOST else None
    return ColumnSchema(name, "text", missing, categories=categories)


def _broken(was: ColumnSchema, now: ColumnSchema) -> list[str]:
    found = []
    if now.missing > was.missing + GAPS:
        found.append(f"column {was.name!r} is missing in {now.missing:.0%} of the rows, it was in {was.missing:.0%}")
    if was.low is not None and was.high is not None and now.low is not None and now.high is not None:
        room = (
            ROOM * max(was.high - was.low, abs(was.high), abs(was.low))
            if was.high == was.low
            else ROOM * (was.high - was.low)
        )
        if now.low < was.low - room or now.high > was.high + room:
            found.append(
                f"column {was.name!r} runs from {now.low:g} to {now.high:g}, it ran from {was.low:g} to {was.high:g}"
            )
    if was.categories is not None and was.kind == "text":
        new = sorted(set(now.categories or ()) - set(was.categories)) if now.categories is not None else None
        if new is None:
            found.append(f"column {was.name!r} has more than {MOST} different texts, it had {len(was.categories)}")
        elif new:
            found.append(f"column {was.name!r} has texts it did not have: {', '.join(map(repr, new[:5]))}")
    return found


def _pandera(one: ColumnSchema) -> str:
    kinds = {"number": "float", "text": "str", "time": "'datetime64[ns]'", "flag": "bool"}
    checks = []
    if one.low is not None and one.high is not None:
        room = ROOM * (one.high - one.low)
        checks.append(f"pa.Check.in_range({one.low - room!r}, {one.high + room!r})")
    if one.categories is not None:
        checks.append(f"pa.Check.isin({list(one.categories)!r})")
    told = f", checks=[{', '.join(checks)}]" if checks else ""
    return f"pa.Column({kinds[one.kind]}{told}, nullable={one.missing > 0}, coerce=True)"
