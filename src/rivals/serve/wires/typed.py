"""``dataframe_records`` of the common sort, read into checked columns by a decoder made for an endpoint's inputs.

A decoder that knows the columns and their types checks them as it reads. Whatever it refuses is read again the careful
way, which takes more (a truth value for a number) and says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType, defstruct
from msgspec.structs import astuple

from rivals.serve.inputs import FLOAT32, Inputs
from rivals.values import Columns

Beside = str | int | float | None | UnsetType


class Typed:
    """Reads bodies for ``inputs``."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        numbers = [column for column in inputs.columns if column.kind == "number"]
        texts = [column for column in inputs.columns if column.kind == "text"]
        beside = sorted(inputs.beside - inputs.kinds.keys())
        self._numbers, self._gaps = len(numbers), any(column.nullable for column in numbers)
        self._names = [*(column.name for column in (*numbers, *texts)), *beside]
        self._asked = len(numbers) + len(texts)
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
        for number, column in enumerate((*numbers, *texts)):
            kind: Any = float if column.kind == "number" else str
            fields.append((f"c{number}", kind | None if column.nullable else kind))
        fields += [(f"c{self._asked + number}", Beside, UNSET) for number in range(len(beside))]
        rename = {f"c{number}": name for number, name in enumerate(self._names)}
        row = defstruct("Row", fields, rename=rename, forbid_unknown_fields=True, gc=False)
        body = defstruct("Body", [("dataframe_records", list[row])], forbid_unknown_fields=True, gc=False)  # type: ignore[valid-type]
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(body).decode

    def read(self, raw: bytes) -> Columns | None:
        """A body's rows; None: read it the careful way."""
        try:
            rows = [astuple(row) for row in self._decode(raw).dataframe_records]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        if not rows or not self._asked:
            return None
        columns = list(zip(*rows, strict=True))
        for values in columns[: self._numbers]:
            known = [value for value in values if value is not None] if self._gaps else values
            if known and (min(known) < -FLOAT32 or max(known) > FLOAT32):
                return None
        found = dict(zip(self._names, columns, strict=True))
        for name in self._names[self._asked :]:
            if UNSET in found[name]:
                if any(value is not UNSET for value in found[name]):
                    return None  # some rows bring it, and others do not
                del found[name]
        return Columns(found, len(rows))
