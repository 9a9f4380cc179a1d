"""The Open Inference Protocol (v2) over REST, in JSON: bytes to columns, and answers to bytes.

One tensor per input column, of shape [rows] or [rows, 1]. Classifiers answer ``probabilities`` (FP64, [rows, labels]),
regressors ``prediction`` (FP64, [rows, 1]); ``label`` (the likeliest one, [rows]) comes where it is asked for under
``outputs``. Tensors in the binary extension are not read yet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from rivals import __version__
from rivals.errors import RequestError
from rivals.plugins import nearest
from rivals.serve.inputs import quote
from rivals.serve.question import digests
from rivals.values import Answer, Column, RoutingTable, Signature

INTEGERS = {
    **{f"INT{bits}": (-(1 << bits - 1), (1 << bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": (0, (1 << bits) - 1) for bits in (8, 16, 32, 64)},
}  # fmt: skip
TYPES: Mapping[str, frozenset[type]] = {
    "BOOL": frozenset({bool}),
    **dict.fromkeys(INTEGERS, frozenset({int, float})),
    **dict.fromkeys(("FP16", "FP32", "FP64"), frozenset({int, float})),
    "BYTES": frozenset({str}),
}
KINDS = {"FP16": "number", "FP32": "number", "FP64": "number", "BYTES": "text"}  # what needs no look of its own


class Tensor(msgspec.Struct, gc=False):
    """One input of a request."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class Wanted(msgspec.Struct, gc=False):
    """One output a request asks for."""

    name: str
    parameters: dict[str, Any] | None = None


class Body(msgspec.Struct, gc=False):
    """The body of an inference request."""

    inputs: list[Tensor]
    id: str = ""
    outputs: list[Wanted] = []
    parameters: dict[str, Any] | None = None


_decoder = msgspec.json.Decoder(Body)
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Infer:
    """An inference request as read: columns, the client's id for it, and the outputs it asks for."""

    columns: Mapping[str, Sequence[Any]]
    id: str
    outputs: tuple[str, ...]


def infer(raw: bytes, signature: Signature, kinds: Mapping[str, str]) -> Infer:
    """Read the body of an inference request. Raises ``RequestError`` with a sentence.

    ``kinds`` are those of the columns whose values are looked at later, and need not be here.
    """
    try:
        body = _decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"The body is not an inference request: {reason(error)}.") from None
    columns: dict[str, Sequence[Any]] = {}
    for tensor in body.inputs:
        name, data = tensor.name, tensor.data
        if name in columns:
            raise RequestError(f"There are two inputs called {quote(name)}.")
        if data is not None and tensor.shape == [len(data)] and kinds.get(name, "") == KINDS.get(tensor.datatype):
            columns[name] = data  # nearly all tensors are so; their values are looked at later, once
        else:
            columns[name] = _column(tensor)
    if not body.outputs:
        return Infer(columns, body.id, ("prediction" if signature.task == "regression" else "probabilities",))
    wanted, known = tuple(output.name for output in body.outputs), list(outputs_of(signature))
    for name in wanted:
        if name not in known:
            raise RequestError(f"There is no output {quote(name)}.{nearest(name, known)} There is: {', '.join(known)}.")
    return Infer(columns, body.id, wanted)


def answer(given: Answer, endpoint: str, signature: Signature, outputs: Sequence[str]) -> bytes:
    """An answer as the body of a response."""
    tensors = [_output(name, given.outputs, signature) for name in outputs]
    return _encode({"model_name": endpoint, "model_version": given.variant, "id": given.id, "outputs": tensors})


def server() -> dict[str, Any]:
    """What ``GET /v2`` says."""
    return {"name": "rivals", "version": __version__, "extensions": []}


def model(table: RoutingTable, inputs: Sequence[Column], signature: Signature, variant: str = "") -> dict[str, Any]:
    """What ``GET /v2/models/{endpoint}[/versions/{variant}]`` says."""
    columns = [
        {"name": column.name, "datatype": "BYTES" if column.kind == "text" else "FP64", "shape": [-1]}
        for column in inputs
    ]
    outputs = [
        {"name": name, "datatype": datatype, "shape": [-1, *shape]}
        for name, (datatype, shape) in outputs_of(signature).items()
    ]
    told = {"champion": table.champion, "revision": table.revision, "task": signature.task, "labels": signature.labels}
    return {
        "name": table.endpoint,
        "versions": [variant] if variant else list(digests(table)),
        "platform": "rivals",
        "inputs": columns,
        "outputs": outputs,
        "parameters": told,
    }


def outputs_of(signature: Signature) -> dict[str, tuple[str, list[int]]]:
    """Every output there is, with its datatype and the shape of a row; the first one is what everybody gets."""
    if signature.task == "regression":
        return {"prediction": ("FP64", [1])}
    kinds = {type(label) for label in signature.labels}
    label = {frozenset({str}): "BYTES", frozenset({int}): "INT64", frozenset({bool}): "BOOL"}.get(
        frozenset(kinds), "FP64"
    )
    return {"probabilities": ("FP64", [len(signature.labels)]), "label": (label, [])}


def reason(error: Exception) -> str:
    """Why something is not JSON, or not the JSON that was asked for, as half a sentence."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return str(error).rstrip(".")


def _column(tensor: Tensor) -> Sequence[Any]:
    """A tensor's values as a column; its shape and datatype are believed only where they fit."""
    data, types = tensor.data, TYPES.get(tensor.datatype)
    if types is None:
        raise RequestError(f"Input {tensor.name!r}: datatype {tensor.datatype[:20]!r} is none of {', '.join(TYPES)}.")
    if data is None:
        raise RequestError(f"Input {tensor.name!r} has no 'data': send tensors as JSON, with binary_data off.")
    if len(tensor.shape) == 2 and tensor.shape[1] == 1:  # noqa: PLR2004 -- [rows, 1]
        data = [one[0] if type(one) is list and len(one) == 1 else one for one in data]
    elif len(tensor.shape) != 1:
        raise RequestError(f"Input {tensor.name!r} has shape {tensor.shape}; a column has [rows] or [rows, 1].")
    if len(data) != tensor.shape[0]:
        raise RequestError(f"Input {tensor.name!r} has shape {tensor.shape} and {len(data)} values.")
    bounds = INTEGERS.get(tensor.datatype)
    for value in data:
        if value is not None and type(value) not in types:
            raise RequestError(f"Input {tensor.name!r} is said to be {tensor.datatype}, but holds {quote(value)}.")
        if bounds and value is not None and not (bounds[0] <= value <= bounds[1] and value == math.floor(value)):
            raise RequestError(f"Input {tensor.name!r} is said to be {tensor.datatype}, but holds another number.")
    return data


def _output(name: str, rows: Sequence[Sequence[float]], signature: Signature) -> dict[str, Any]:
    if name == "label":
        likeliest = [signature.labels[row.index(max(row))] for row in rows]
        return {"name": name, "datatype": outputs_of(signature)[name][0], "shape": [len(rows)], "data": likeliest}
    data = [value for row in rows for value in row] if len(rows) > 1 else rows[0]
    return {"name": name, "datatype": "FP64", "shape": [len(rows), len(rows[0])], "data": data}
