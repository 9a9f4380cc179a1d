"""One part of a batch: rows in, scores out, in a process of its own; the file is there whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import csv

from rivals.bundles import BundleManifest
from rivals.errors import DataError
from rivals.protocols import Predictor
from rivals.serve.runtimes import open_bundle
from rivals.values import Column, Columns, Signature

BATCH = 65_536  # rows that are in memory at a time


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a file: some of its row groups, or all of it where it has none; ``out`` is where its scores go."""

    file: str
    groups: tuple[int, ...]
    first: int  # row of the file it begins with
    out: str


@dataclass(frozen=True, slots=True)
class Scoring:
    """A part, and who answers: bundles by variant. ``keep`` are columns that go into the output as they came."""

    part: Part
    bundles: str
    variants: Mapping[str, str]
    keep: tuple[str, ...] = ()


def score_part(asked: Scoring) -> int:
    """Score a part and write it; how many rows it has. Raises ``DataError`` with file, row and column."""
    part, folder = asked.part, Path(asked.bundles)
    opened = {name: _open(folder, digest) for name, digest in asked.variants.items()}
    signatures = [one.signature for one in opened.values()]
    needed = list(dict.fromkeys([*asked.keep, *(column.name for one in signatures for column in one.inputs)]))
    out = Path(part.out)
    draft, row = out.with_name(f".{out.name}"), part.first
    writer: pq.ParquetWriter | None = None
    try:
        for table in _batches(part, needed):
            where = f"{Path(part.file).name}, rows {row} to {row + table.num_rows - 1}"
            made = _scored(table, opened, asked.keep, row, where)
            writer = writer or _writer(draft, made.schema, asked.keep)
            writer.write_table(made, row_group_size=BATCH)
            row += table.num_rows
        if writer is None:
            empty = _scored(_empty(part.file, needed), opened, asked.keep, row, Path(part.file).name)
            writer = _writer(draft, empty.schema, asked.keep)
    finally:
        if writer is not None:
            writer.close()
    with draft.open("rb") as stream:
        os.fsync(stream.fileno())
    draft.replace(out)
    return row - part.first


def schema_of(file: Path) -> pa.Schema:
    """The columns of a file. Raises ``DataError`` where it cannot be read."""
    try:
        if file.suffix == ".parquet":
            return pq.read_schema(file)
        with csv.open_csv(file) as reader:
            return reader.schema
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{file.name} cannot be read: {error}.") from error


def _writer(draft: Path, schema: pa.Schema, keep: Sequence[str]) -> pq.ParquetWriter:
    """Scores are rarely the same twice: looking for those that are takes longer than writing them down."""
    return pq.ParquetWriter(draft, schema, compression="zstd", use_dictionary=list(keep))


@lru_cache(maxsize=64)  # as many as a process meets: the parts of one batch name the same bundles
def _open(folder: Path, digest: str) -> Predictor:
    return open_bundle(folder / digest, lambda one: folder / one, alone=_pipeline)


def _pipeline(folder: Path, manifest: BundleManifest) -> Predictor:
    """What no graph answers: this is a process of its own already."""
    from rivals.build.child import PipelinePredictor  # noqa: PLC0415 -- only where a variant needs scikit-learn

    return PipelinePredictor(folder, manifest)


def _batches(part: Part, needed: Sequence[str]) -> Iterator[pa.Table]:
    file = Path(part.file)
    if missing := [name for name in needed if name not in schema_of(file).names]:
        raise DataError(f"{file.name} has no column {missing[0]!r}, which the variants need.")
    try:
        if part.groups:
            with pq.ParquetFile(file) as opened:
                for batch in opened.iter_batches(BATCH, row_groups=list(part.groups), columns=list(needed)):
                    yield pa.Table.from_batches([batch])
            return
        if file.suffix == ".parquet":  # without a single row group
            return
        options = csv.ConvertOptions(include_columns=list(needed), strings_can_be_null=True)
        with csv.open_csv(file, csv.ReadOptions(block_size=8 << 20), convert_options=options) as reader:
            for batch in reader:
                yield pa.Table.from_batches([batch])
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{file.name} cannot be read: {error}.") from error


def _empty(file: str, needed: Sequence[str]) -> pa.Table:
    return schema_of(Path(file)).empty_table().select(list(needed))


def _scored(table: pa.Table, opened: Mapping[str, Predictor], keep: Sequence[str], row: int, where: str) -> pa.Table:
    """The kept columns, the row's number in its file, and what every variant says."""
    made: dict[str, Any] = {name: table.column(name) for name in keep}
    made["row"] = pa.array(np.arange(row, row + table.num_rows))
    known: dict[Column, NDArray[Any]] = {}
    for name, predictor in opened.items():
        signature = predictor.signature
        for column in signature.inputs:
            if column not in known:
                known[column] = _column(table, column, where)
        values: dict[str, Any] = {column.name: known[column] for column in signature.inputs}
        values |= {name: [None] * table.num_rows for name in getattr(predictor, "beside", ())}  # no request, no headers
        said = (
            predictor.predict(Columns(values, table.num_rows))
            if table.num_rows
            else np.empty((0, len(signature.labels) or 1))
        )
        made |= _named(name, signature, said)
    return pa.table(made)


def _named(name: str, signature: Signature, said: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """By column of the output: a value, the probability of the second of two labels, or of each of many."""
    if len(signature.labels) <= 2:  # noqa: PLR2004 -- labels
        return {name: said[:, -1]}
    return {f"{name}:{label}": said[:, place] for place, label in enumerate(signature.labels)}


def _column(table: pa.Table, column: Column, where: str) -> NDArray[Any]:
    """One input as the models take it: float32 with NaN for gaps, or texts with None for them."""
    found = table.column(column.name)
    kind = found.type
    if found.null_count and not column.nullable:
        raise DataError(f"{where}: {column.name!r} has gaps, and training had none.")
    if column.kind == "number":
        if pa.types.is_null(kind):
            return np.full(len(found), np.nan, np.float32)
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
            raise DataError(f"{where}: {column.name!r} is of type {kind}; the variants take a number.")
        numbers: NDArray[np.float32] = (
            pc.cast(found, pa.float32(), safe=False).to_numpy().astype(np.float32, copy=False)
        )
        if not column.nullable and np.isnan(numbers).any():
            raise DataError(f"{where}: {column.name!r} has gaps, and training had none.")
        return numbers
    if pa.types.is_null(kind):
        return np.full(len(found), None, object)
    if pa.types.is_dictionary(kind):
        found = pc.cast(found, kind.value_type)
        kind = found.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise DataError(f"{where}: {column.name!r} is of type {kind}; the variants take a text.")
    # Each text is made once, however many rows have it.
    coded = pc.dictionary_encode(found).combine_chunks()
    words = np.array([*coded.dictionary.to_pylist(), None], object)
    return np.asarray(words[pc.fill_null(coded.indices, len(words) - 1).to_numpy()])
