"""gRPC messages: the official client's own, and what is wrong with others'."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tritonclient import grpc as triton
from tritonclient.grpc import service_pb2

from rivals.errors import RequestError
from rivals.serve.wires import oip_grpc
from rivals.values import Answer, Column, Signature

SIGNATURE = Signature((Column("a", "number", nullable=True), Column("color", "text")), "binary", ("no", "yes"))
ANSWER = Answer("r", "boosted", 7, [[0.25, 0.75], [0.5, 0.5]])
Request = oip_grpc.message("ModelInferRequest")


def official(name: str) -> Any:
    found = service_pb2.DESCRIPTOR.message_types_by_name
    for one in found.values():
        if name in one.nested_types_by_name:
            return one.nested_types_by_name[name]
    return found[name]


@pytest.mark.parametrize("name", [line.split()[0] for line in oip_grpc.MESSAGES.splitlines() if line])
def test_every_message_is_the_official_one(name: str) -> None:
    ours, theirs = oip_grpc.message(name).DESCRIPTOR, official(name)
    known = {field.name: (field.number, field.type, field.is_repeated) for field in theirs.fields}
    for field in ours.fields:
        assert known[field.name] == (field.number, field.type, field.is_repeated)
        assert bool(field.containing_oneof) == bool(theirs.fields_by_name[field.name].containing_oneof)


def sent(**change: Any) -> Any:
    """A request as tritonclient makes it."""
    inputs = [triton.InferInput("a", [2], "FP64"), triton.InferInput("color", [2], "BYTES")]
    inputs[0].set_data_from_numpy(np.array([0.5, np.nan]))
    inputs[1].set_data_from_numpy(np.array(["red", "grün"], dtype=object))
    made = triton._utils._get_inference_request(
        inputs=inputs, model_name="toy", model_version="", request_id="r", outputs=None, sequence_id=0,
        sequence_start=False, sequence_end=False, priority=0, timeout=None, parameters=None,
    )  # fmt: skip
    request = Request.FromString(made.SerializeToString())
    for name, value in change.items():
        setattr(request, name, value)
    return request


def test_what_the_official_client_sends_is_read_and_answered_raw() -> None:
    asked = oip_grpc.infer(sent(), SIGNATURE)
    assert asked.columns == {"a": [0.5, None], "color": ["red", "grün"]}
    assert (asked.id, asked.outputs) == ("r", ("probabilities",))
    raw = oip_grpc.answer(ANSWER, "toy", SIGNATURE, asked).SerializeToString()
    result = triton.InferResult(service_pb2.ModelInferResponse.FromString(raw))
    assert result.as_numpy("probabilities").tolist() == ANSWER.outputs
    assert result.get_response().model_version == "boosted"


def test_typed_contents_are_read_and_answered_typed() -> None:
    request = Request(model_name="toy", outputs=[{"name": "label"}, {"name": "probabilities"}])
    request.inputs.add(name="a", datatype="FP32", shape=[2, 1]).contents.fp32_contents.extend([0.5, float("nan")])
    request.inputs.add(name="color", datatype="BYTES", shape=[2]).contents.bytes_contents.extend([b"red", b"blue"])
    asked = oip_grpc.infer(request, SIGNATURE)
    assert asked.columns == {"a": [0.5, None], "color": ["red", "blue"]}
    answer = oip_grpc.answer(ANSWER, "toy", SIGNATURE, asked)
    assert [list(one.contents.bytes_contents) for one in answer.outputs] == [[b"yes", b"no"], []]
    assert list(answer.outputs[1].contents.fp64_contents) == [0.25, 0.75, 0.5, 0.5]
    assert not answer.raw_output_contents


def broken(how: str) -> Any:
    request = sent()
    match how:
        case "fewer":
            del request.raw_input_contents[1]
        case "both":
            request.inputs[0].contents.fp64_contents.append(1.0)
        case "short":
            request.raw_input_contents[0] = b"1234"
        case "text":
            request.raw_input_contents[1] = b"\xff\x00\x00\x00red"
        case "twice":
            request.inputs[1].name = "a"
        case "shape":
            request.inputs[0].shape.append(3)
        case "negative":
            request.inputs[0].shape[0] = -2
        case "kind":
            request.inputs[0].datatype = "FP8"
        case "output":
            request.outputs.add(name="labl")
        case "typed":
            del request.raw_input_contents[:]
            request.inputs[0].contents.int_contents.append(1)
        case "count":
            del request.raw_input_contents[:]
            request.inputs[0].contents.fp64_contents.append(1.0)
        case "utf8":
            del request.raw_input_contents[:]
            request.inputs[0].contents.fp64_contents.extend([1.0, 2.0])
            request.inputs[1].contents.bytes_contents.extend([b"\xff", b"a"])
        case "half":
            del request.raw_input_contents[:]
            request.inputs[0].datatype = "FP16"
    return request


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("fewer", "1 raw contents for 2 inputs"),
        ("both", "all inputs come raw, or all as contents"),
        ("short", "has 4 bytes, where 2 values of FP64"),
        ("text", "are not 2 texts"),
        ("twice", "two inputs called 'a'"),
        ("shape", r"a column has \[rows\]"),
        ("negative", "values of FP64"),
        ("kind", "datatype 'FP8' is none of"),
        ("output", "no output 'labl'"),
        ("typed", "comes in fp64_contents, not int_contents"),
        ("count", r"shape \[2\] and 1 values"),
        ("utf8", "not UTF-8"),
        ("half", "'FP16' has no typed contents"),
    ],
)
def test_what_is_wrong_is_refused_by_a_sentence(how: str, sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        oip_grpc.infer(broken(how), SIGNATURE)
