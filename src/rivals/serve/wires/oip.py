"""The Open Inference Protocol (v2) over REST, in JSON and in binary tensors: bytes to columns, and answers to bytes.

One tensor per input column, of shape [rows] or [rows, 1]. Classifiers answer ``probabilities`` (FP64, [rows, labels]),
regressors ``prediction`` (FP64, [rows, 1]); ``label`` (the likeliest one, [rows]) comes where it is asked for under
``outputs``.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from rivals import __version__
from rivals.errors import RequestError
from rivals.plugins import nearest
from rivals.serve.inputs import quote
from rivals.serve.question import digests
from rivals.serve.wires import binary
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


class Infer(msgspec.Struct, frozen=True, gc=False):
    """An inference request as read: columns, the client's id for it, and the outputs it asks for."""

    columns: Mapping[str, Sequence[Any]]
    id: str
    outputs: tuple[str, ...]
    binary: frozenset[str] = frozenset()  # outputs that are to come as bytes


def infer(raw: bytes, signature: Signature, kinds: Mapping[str, str], length: bytes = b"") -> Infer:
    """Read the body of an inference request. Raises ``RequestError`` with a sentence.

    ``kinds`` are those of the columns whose values are looked at later, and need not be here; ``length`` is the header
    of the binary extension, empty where all of the body is JSON.
    """
    tail = memoryview(b"")
    if length:
        raw, tail = binary.parted(raw, length)
    try:
        body = _decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"The body is not an inference request: {reason(error)}.") from None
    columns = None if length else _plain(body.inputs, kinds)
    if columns is None:
        columns = _careful(body.inputs, kinds, tail)
    if not (body.outputs or body.parameters):
        return Infer(columns, body.id, wanted((), signature))
    every = bool((body.parameters or {}).get("binary_data_output"))
    names = wanted([output.name for output in body.outputs], signature)
    asked = {one.name: (one.parameters or {}).get("binary_data", every) for one in body.outputs}
    return Infer(columns, body.id, names, frozenset(name for name in names if asked.get(name, every)))


def _plain(tensors: Sequence[Tensor], kinds: Mapping[str, str]) -> dict[str, Sequence[Any]] | None:
    """The columns where all tensors are of the common sort, as nearly all are; None: look at each."""
    names, lists = [one.name for one in tensors], [one.data for one in tensors if one.data is not None]
    columns: dict[str, Sequence[Any]] = dict(zip(names, lists, strict=False))
    if len(columns) != len(tensors) or not lists:
        return None
    shape = [len(lists[0])]  # of all: whether the columns are as long is seen later
    known = [kinds.get(name, "") for name in names]
    if [one.shape for one in tensors] != [shape] * len(tensors) or [
        KINDS.get(one.datatype) for one in tensors
    ] != known:
        return None
    return columns


def _careful(tensors: Sequence[Tensor], kinds: Mapping[str, str], tail: memoryview) -> dict[str, Sequence[Any]]:
    """The columns, tensor by tensor. Raises ``RequestError``."""
    columns: dict[str, Sequence[Any]] = {}
    for tensor in tensors:
        name, data = tensor.name, tensor.data
        if name in columns:
            raise RequestError(f"There are two inputs called {quote(name)}.")
        if data is None and (size := binary.size_of(name, tensor.parameters)) is not None:
            columns[name] = binary.read(name, tensor.datatype, _rows(tensor), tail[:size])
            tail = tail[size:]
        elif data is not None and tensor.shape == [len(data)] and kinds.get(name, "") == KINDS.get(tensor.datatype):
            columns[name] = data  # its values are looked at later, once
        else:
            columns[name] = _column(tensor)
    if tail:
        raise RequestError(f"{len(tail)} bytes are left over behind the last input.")
    return columns


def wanted(names: Sequence[str], signature: Signature) -> tuple[str, ...]:
    """The outputs to give: those asked for by name, else the first there is. Raises ``RequestError``."""
    if not names:
        return ("prediction",) if signature.task == "regression" else ("probabilities",)
    known = list(outputs_of(signature))
    for name in names:
        if name not in known:
            raise RequestError(f"There is no output {quote(name)}.{nearest(name, known)} There is: {', '.join(known)}.")
    return tuple(names)


def column(tensor: Tensor, raw: memoryview | None = None) -> Sequence[Any]:
    """A tensor as a column, from its bytes or its data. Raises ``RequestError``."""
    return _column(tensor) if raw is None else binary.read(tensor.name, tensor.datatype, _rows(tensor), raw)


def answer(
    given: Answer, endpoint: str, signature: Signature, outputs: Sequence[str], raw: Collection[str] = ()
) -> tuple[bytes, int]:
    """An answer as a body, and how much of it is JSON: 0 where all is. Outputs in ``raw`` come as bytes."""
    if not raw and len(outputs) == 1 and outputs[0] != "label":  # as nearly always
        rows = given.outputs
        data = rows[0] if len(rows) == 1 else [value for row in rows for value in row]
        told = _around(endpoint, given.variant, outputs[0])
        return told % (_encode(given.id), len(rows), len(rows[0]), _encode(data)), 0
    tensors = [output(name, given.outputs, signature) for name in outputs]
    tail = []
    for tensor in tensors:
        if tensor["name"] in raw:
            tail.append(binary.written(tensor.pop("data"), tensor["datatype"]))
            tensor["parameters"] = {binary.SIZE: len(tail[-1])}
    head = _encode({"model_name": endpoint, "model_version": given.variant, "id": given.id, "outputs": tensors})
    return (b"".join([head, *tail]), len(head)) if tail else (head, 0)


@lru_cache(1_024)
def _around(endpoint: str, variant: str, name: str) -> bytes:
    """The body of an answer with one tensor of numbers, but for its id, its shape and its data."""
    head = {"model_name": endpoint, "model_version": variant}
    tensor = _encode({"name": name, "datatype": "FP64"})[:-1].replace(b"%", b"%%")
    told = _encode(head)[:-1].replace(b"%", b"%%")
    return told + b',"id":%b,"outputs":[' + tensor + b',"shape":[%d,%d],"data":%b}]}'


def server() -> dict[str, Any]:
    """What ``GET /v2`` says."""
    return {
        "name": "rivals",
        "version": __version__,
        "extensions": ["binary_tensor_data", "model_repository", "statistics"],
    }


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


def _rows(tensor: Tensor) -> int:
    """How many values a tensor has, as a column. Raises ``RequestError``."""
    if len(tensor.shape) == 1 or (len(tensor.shape) == 2 and tensor.shape[1] == 1):  # noqa: PLR2004 -- [rows, 1]
        return tensor.shape[0]
    raise RequestError(f"Input {tensor.name!r} has shape {tensor.shape}; a column has [rows] or [rows, 1].")


def _column(tensor: Tensor) -> Sequence[Any]:
    """A tensor's values as a column; its shape and datatype are believed only where they fit."""
    data, types = tensor.data, TYPES.get(tensor.datatype)
    if types is None:
        raise RequestError(f"Input {tensor.name!r}: datatype {tensor.datatype[:20]!r} is none of {', '.join(TYPES)}.")
    if data is None:
        raise RequestError(f"Input {tensor.name!r} has neither 'data' nor a {binary.SIZE} under 'parameters'.")
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


def output(name: str, rows: Sequence[Sequence[float]], signature: Signature) -> dict[str, Any]:
    """An output as a tensor, its values flat."""
    if name == "label":
        likeliest = [signature.labels[row.index(max(row))] for row in rows]
        return {"name": name, "datatype": outputs_of(signature)[name][0], "shape": [len(rows)], "data": likeliest}
    data = [value for row in rows for value in row] if len(rows) > 1 else rows[0]
    return {"name": name, "datatype": "FP64", "shape": [len(rows), len(rows[0])], "data": data}
