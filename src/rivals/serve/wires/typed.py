"""Bodies of the common sort, read into checked columns by decoders made for an endpoint's inputs.

A decoder that knows the columns, their types and their bounds checks them as it reads. Whatever it refuses is read
again the careful way, which takes more (a truth value for a number) and says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Union

import msgspec
from msgspec import UNSET, Meta, UnsetType, defstruct
from msgspec.structs import astuple

from rivals.serve.inputs import FLOAT32, Inputs
from rivals.values import Column, Columns

Beside = str | int | float | None | UnsetType
Number = Annotated[float, Meta(ge=-FLOAT32, le=FLOAT32)]
Size = Annotated[int, Meta(ge=2)]
Decode = Callable[[bytes], Any]
FLOATS = Literal["FP16", "FP32", "FP64"]
UNREAD = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Typed:
    """Reads bodies for ``inputs``."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        beside = sorted(inputs.beside - inputs.kinds.keys())
        self._names = [*(column.name for column in inputs.columns), *beside]
        self._asked = len(inputs.columns)
        self._records = _records(inputs.columns, beside)
        # One row first: the decoder itself sees then that every column has one value.
        self._tensors = [_tensors(inputs.columns, one=one) for one in (True, False)] if inputs.columns else []

    def records(self, raw: bytes) -> Columns | None:
        """The rows of MLflow's ``dataframe_records``; None: read it the careful way."""
        try:
            rows = self._records(raw).dataframe_records
        except UNREAD:
            return None
        if not rows or not self._asked:
            return None
        if len(rows) == 1:
            found = dict(zip(self._names, zip(astuple(rows[0])), strict=True))
        else:
            found = dict(zip(self._names, zip(*map(astuple, rows), strict=True), strict=True))
        for name in self._names[self._asked :]:
            if UNSET in found[name]:
                if any(value is not UNSET for value in found[name]):
                    return None  # some rows bring it, and others do not
                del found[name]
        return Columns(found, len(rows))

    def tensors(self, raw: bytes) -> tuple[Columns, str] | None:
        """The inputs of the Open Inference Protocol in JSON, and the client's id; None: read it the careful way."""
        for read, kinds in self._tensors:
            try:
                body = read(raw)
            except UNREAD:
                continue
            found = {kinds[type(one)]: one.data for one in body.inputs}
            if len(found) != self._asked or len(body.inputs) != self._asked:
                return None
            rows = body.inputs[0].shape[0]
            if rows != 1 and any(one.shape[0] != rows or len(one.data) != rows for one in body.inputs):
                return None
            return Columns(found, rows), body.id
        return None


def _kind(column: Column) -> Any:
    kind: Any = Number if column.kind == "number" else str
    return kind | None if column.nullable else kind


def _records(columns: Sequence[Column], beside: Sequence[str]) -> Decode:
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    fields += [(f"c{number}", _kind(column)) for number, column in enumerate(columns)]
    fields += [(f"c{len(columns) + number}", Beside, UNSET) for number in range(len(beside))]
    names = [*(column.name for column in columns), *beside]
    rename = {f"c{number}": name for number, name in enumerate(names)}
    row = defstruct("Row", fields, rename=rename, forbid_unknown_fields=True, gc=False)
    body = defstruct("Body", [("dataframe_records", list[row])], forbid_unknown_fields=True, gc=False)  # type: ignore[valid-type]
    return msgspec.json.Decoder(body).decode


def _tensors(columns: Sequence[Column], *, one: bool) -> tuple[Decode, dict[type, str]]:
    """The decoder of one row or of any number; and its type for each column, told apart by the tensor's name."""
    found: dict[type, str] = {}
    for column in columns:
        kind, datatype = _kind(column), FLOATS if column.kind == "number" else Literal["BYTES"]
        shape, data = (tuple[Literal[1]], tuple[kind]) if one else (tuple[Size], list[kind])  # type: ignore[valid-type]
        fields: list[tuple[str, Any]] = [("shape", shape), ("datatype", datatype), ("data", data)]
        options: dict[str, Any] = {"tag_field": "name", "tag": column.name, "gc": False, "forbid_unknown_fields": True}
        found[defstruct("Tensor", fields, **options)] = column.name
    tensor: Any = Union[tuple(found)]  # noqa: UP007 -- made while it runs
    body = defstruct("Body", [("inputs", list[tensor]), ("id", str, "")], forbid_unknown_fields=True, gc=False)
    return msgspec.json.Decoder(body).decode, found
