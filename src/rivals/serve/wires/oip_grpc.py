"""The Open Inference Protocol over gRPC: messages to columns, and answers to messages.

The messages are described here as the protocol's ``grpc_predict_v2.proto`` and Triton's ``grpc_service.proto`` have
them (tests hold them against the official client's), in a pool of their own: no generated file, and no clash with a
client in the same process. Inputs come raw, as tritonclient sends them, or as typed contents, as others do; never both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from rivals.errors import RequestError
from rivals.serve.inputs import quote
from rivals.serve.wires import binary, oip
from rivals.values import Answer, RoutingTable, Signature

SERVICE = "inference.GRPCInferenceService"
# A line each: the message, its fields as name=number:type, with * where there are many, {} for a map by text, and ? for
# one of several.
MESSAGES = """
ServerLiveRequest
ServerLiveResponse live=1:bool
ServerReadyRequest
ServerReadyResponse ready=1:bool
ModelReadyRequest name=1:string version=2:string
ModelReadyResponse ready=1:bool
ServerMetadataRequest
ServerMetadataResponse name=1:string version=2:string extensions=3:string*
ModelMetadataRequest name=1:string version=2:string
TensorMetadata name=1:string datatype=2:string shape=3:int64*
ModelMetadataResponse name=1:string versions=2:string* platform=3:string \
    inputs=4:TensorMetadata* outputs=5:TensorMetadata*
InferParameter bool_param=1:bool? int64_param=2:int64? string_param=3:string? \
    double_param=4:double? uint64_param=5:uint64?
InferTensorContents bool_contents=1:bool* int_contents=2:int32* int64_contents=3:int64* uint_contents=4:uint32* \
    uint64_contents=5:uint64* fp32_contents=6:float* fp64_contents=7:double* bytes_contents=8:bytes*
InferInputTensor name=1:string datatype=2:string shape=3:int64* \
    parameters=4:InferParameter{} contents=5:InferTensorContents
InferRequestedOutputTensor name=1:string parameters=2:InferParameter{}
InferOutputTensor name=1:string datatype=2:string shape=3:int64* \
    parameters=4:InferParameter{} contents=5:InferTensorContents
ModelInferRequest model_name=1:string model_version=2:string id=3:string parameters=4:InferParameter{} \
    inputs=5:InferInputTensor* outputs=6:InferRequestedOutputTensor* raw_input_contents=7:bytes*
ModelInferResponse model_name=1:string model_version=2:string id=3:string parameters=4:InferParameter{} \
    outputs=5:InferOutputTensor* raw_output_contents=6:bytes*
RepositoryIndexRequest repository_name=1:string ready=2:bool
ModelIndex name=1:string version=2:string state=3:string reason=4:string
RepositoryIndexResponse models=1:ModelIndex*
ModelStatisticsRequest name=1:string version=2:string
StatisticDuration count=1:uint64 ns=2:uint64
InferStatistics success=1:StatisticDuration fail=2:StatisticDuration
ModelStatistics name=1:string version=2:string last_inference=3:uint64 \
    inference_count=4:uint64 execution_count=5:uint64 inference_stats=6:InferStatistics
ModelStatisticsResponse model_stats=1:ModelStatistics*
"""
CONTENTS: Mapping[str, str] = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}

_Field = descriptor_pb2.FieldDescriptorProto
_FIELD = re.compile(r"(\w+)=(\d+):(\w+)(\*|\{\}|\?)?")


def _described() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="rivals_oip.proto", package="inference", syntax="proto3")
    for line in filter(None, MESSAGES.splitlines()):
        name, *fields = line.split()
        message = file.message_type.add(name=name)
        for number, field in enumerate(fields):
            found = _FIELD.fullmatch(field)
            assert found, field
            _add(message, *found.groups(), first=number == 0)
    return file


def _add(message: Any, name: str, number: str, kind: str, many: str | None, *, first: bool) -> None:
    label = _Field.LABEL_REPEATED if many in {"*", "{}"} else _Field.LABEL_OPTIONAL
    field = message.field.add(name=name, number=int(number), label=label)
    if many == "{}":
        entry = message.nested_type.add(name=f"{name.capitalize()}Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type=_Field.TYPE_STRING, label=_Field.LABEL_OPTIONAL)
        entry.field.add(
            name="value",
            number=2,
            type=_Field.TYPE_MESSAGE,
            type_name=f".inference.{kind}",
            label=_Field.LABEL_OPTIONAL,
        )
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".inference.{message.name}.{entry.name}"
    elif kind[0].isupper():
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".inference.{kind}"
    else:
        field.type = getattr(_Field, f"TYPE_{kind.upper()}")
    if many == "?":
        if first:
            message.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0


_pool = descriptor_pool.DescriptorPool()
_pool.Add(_described())


def message(name: str) -> Any:
    """A message's class."""
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"inference.{name}"))


_Response, _Output = message("ModelInferResponse"), message("InferOutputTensor")


def infer(request: Any, signature: Signature) -> oip.Infer:
    """Read a ``ModelInferRequest``. Raises ``RequestError`` with a sentence."""
    raws = request.raw_input_contents
    if raws and (len(raws) != len(request.inputs) or any(one.HasField("contents") for one in request.inputs)):
        told = f"{len(raws)} raw contents for {len(request.inputs)} inputs"
        raise RequestError(f"There are {told}: all inputs come raw, or all as contents.")
    columns: dict[str, Sequence[Any]] = {}
    for number, given in enumerate(request.inputs):
        if given.name in columns:
            raise RequestError(f"There are two inputs called {quote(given.name)}.")
        data = None if raws else _contents(given)
        tensor = oip.Tensor(given.name, list(given.shape), given.datatype, data)
        columns[given.name] = oip.column(tensor, memoryview(raws[number]) if raws else None)
    wanted = oip.wanted([one.name for one in request.outputs], signature)
    return oip.Infer(columns, request.id, wanted, frozenset(wanted if raws else ()))


def answer(given: Answer, endpoint: str, signature: Signature, asked: oip.Infer) -> Any:
    """An answer as a ``ModelInferResponse``: raw where the inputs were."""
    response = _Response(model_name=endpoint, model_version=given.variant, id=given.id)
    for name in asked.outputs:
        tensor = oip.output(name, given.outputs, signature)
        made = _Output(name=name, datatype=tensor["datatype"], shape=tensor["shape"])
        if name in asked.binary:
            response.raw_output_contents.append(binary.written(tensor["data"], tensor["datatype"]))
        else:
            texts = tensor["datatype"] == "BYTES"
            data = [one.encode() for one in tensor["data"]] if texts else tensor["data"]
            getattr(made.contents, CONTENTS[tensor["datatype"]]).extend(data)
        response.outputs.append(made)
    return response


def metadata(table: RoutingTable, inputs: Any, signature: Signature, variant: str = "") -> Any:
    """A ``ModelMetadataResponse``."""
    told = oip.model(table, inputs, signature, variant)
    known = {key: told[key] for key in ("name", "versions", "platform", "inputs", "outputs")}
    return message("ModelMetadataResponse")(**known)


def _contents(given: Any) -> list[Any]:
    """A tensor's typed contents. Raises ``RequestError``."""
    name = CONTENTS.get(given.datatype)
    if name is None:
        known = ", ".join(CONTENTS)
        raise RequestError(
            f"Input {given.name!r}: datatype {given.datatype[:20]!r} has no typed contents; these have: {known}."
        )
    filled = [field.name for field, _ in given.contents.ListFields()]
    if filled and filled != [name]:
        raise RequestError(
            f"Input {given.name!r} is said to be {given.datatype}, which comes in {name}, not {filled[0]}."
        )
    data = list(getattr(given.contents, name))
    if given.datatype == "BYTES":
        try:
            return [one.decode() for one in data]
        except UnicodeDecodeError:
            raise RequestError(f"Input {given.name!r} holds texts that are not UTF-8.") from None
    return [None if value != value else value for value in data]  # noqa: PLR0124 -- NaN, a gap
