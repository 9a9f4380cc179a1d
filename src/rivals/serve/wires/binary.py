"""The Open Inference Protocol's binary tensor extension: tensors as bytes behind the JSON, little-endian, row by row.

The header Inference-Header-Content-Length says how long the JSON is; each binary input says its ``binary_data_size``
under ``parameters``, and their bytes follow in the order of the inputs. Texts are a length of four bytes and UTF-8
each. An output comes as bytes where it, or the request, asks for that. A NaN is a gap, as null is in JSON.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rivals.errors import RequestError

LENGTH = "Inference-Header-Content-Length"
SIZE = "binary_data_size"
DTYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
}


def parted(raw: bytes, header: bytes) -> tuple[bytes, memoryview]:
    """The JSON of a body, and the bytes behind it. Raises ``RequestError`` where the header is no such length."""
    length = int(header) if header.isdigit() and len(header) < 12 else -1  # noqa: PLR2004 -- digits of a size
    if not 0 <= length <= len(raw):
        raise RequestError(f"{LENGTH} is the length of the JSON, at most the body's {len(raw)} bytes.")
    return raw[:length], memoryview(raw)[length:]


def size_of(name: str, parameters: Mapping[str, Any] | None) -> int | None:
    """How many bytes an input says it has; None: it has none of them. Raises ``RequestError``."""
    if not parameters or SIZE not in parameters:
        return None
    size = parameters[SIZE]
    if type(size) is not int or size < 0:
        raise RequestError(f"Input {name!r}: {SIZE} is a number of bytes.")
    return size


def read(name: str, datatype: str, rows: int, raw: memoryview) -> list[Any]:
    """A column of ``rows`` values. Raises ``RequestError`` where the bytes are not so many values."""
    if datatype == "BYTES":
        return _texts(name, rows, raw)
    dtype = DTYPES.get(datatype)
    if dtype is None:
        raise RequestError(f"Input {name!r}: datatype {datatype[:20]!r} is none of BYTES, {', '.join(DTYPES)}.")
    if len(raw) != rows * dtype.itemsize:
        raise RequestError(
            f"Input {name!r} has {len(raw)} bytes, where {rows} values of {datatype} take another number."
        )
    array = np.frombuffer(raw, dtype)
    values: list[Any] = array.tolist()
    if dtype.kind == "f" and np.isnan(array).any():
        return [None if value != value else value for value in values]  # noqa: PLR0124 -- NaN alone is not itself
    return values


def written(values: Sequence[Any], datatype: str) -> bytes:
    """A tensor's values, flat, as bytes."""
    if datatype == "BYTES":
        texts = [str(value).encode() for value in values]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    return np.asarray(values, DTYPES[datatype]).tobytes()


def _texts(name: str, rows: int, raw: memoryview) -> list[Any]:
    found, place, whole = list[bytes](), 0, bytes(raw)
    while len(found) < rows and place + 4 <= len(whole):
        (length,) = struct.unpack_from("<I", whole, place)
        found.append(whole[place + 4 : place + 4 + length])
        place += 4 + length
    if len(found) != rows or place != len(whole):
        raise RequestError(f"Input {name!r} has {len(whole)} bytes, which are not {rows} texts behind their lengths.")
    try:
        return [text.decode() for text in found]
    except UnicodeDecodeError:
        raise RequestError(f"Input {name!r} holds texts that are not UTF-8.") from None
