"""Open Inference Protocol: bodies to columns, answers to bodies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rivals.errors import RequestError
from rivals.serve.wires import oip
from rivals.values import Answer, Signature

BINARY = Signature((), "binary", (0, 1))
TEXTS = Signature((), "multiclass", ("early", "late", "on time"))
REGRESSION = Signature((), "regression")
KINDS = {"a": "number", "color": "text"}


def tensor(name: str = "a", data: Any = (1.0,), datatype: str = "FP64", shape: Any = None) -> dict[str, Any]:
    shape = [len(data)] if shape is None else shape
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def read(*tensors: dict[str, Any], **more: Any) -> oip.Infer:
    return oip.infer(json.dumps({"inputs": list(tensors), **more}).encode(), BINARY, KINDS)


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("FP16", [1.5, 2]),
        ("FP32", [1.5, None]),
        ("FP64", [1.5, 2]),
        ("INT8", [-128, 127]),
        ("UINT8", [0, 255]),
        ("INT64", [-(2**63), 2**63 - 1]),
        ("UINT64", [0, 2**64 - 1]),
        ("INT32", [1.0, 2.0]),
        ("BOOL", [True, False]),
        ("BYTES", ["red", "é"]),
    ],
)
def test_every_datatype_is_read(datatype: str, data: list[Any]) -> None:
    assert read(tensor("x", data, datatype)).columns == {"x": data}


def test_both_shapes_of_a_column_are_read() -> None:
    assert read(tensor("a", [1, 2], shape=[2, 1]), tensor("b", [[1], [2]], shape=[2, 1])).columns == {
        "a": [1, 2],
        "b": [1, 2],
    }


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "not an inference request"),
        (b"{", "not an inference request"),
        (b"\xff", "not an inference request"),
        (b'{"inputs": "\xff"}', "not UTF-8|not an inference request"),
        (b"[" * 100_000, "not an inference request"),
        (b'{"inputs":' + b"[" * 100_000, "nested too deeply|not an inference request"),
        (b"[]", r"Expected `object`, got `array`"),
        (b"{}", "missing required field `inputs`"),
        (b'{"inputs": 7}', r"Expected `array`, got `int` - at `\$.inputs`"),
        (b'{"inputs": [{"name": "a", "shape": [1], "datatype": "FP64", "data": [NaN]}]}', "malformed"),
        (b'{"inputs": [{"name": "a", "shape": [1], "datatype": "FP64", "data": [Infinity]}]}', "malformed"),
        (b'{"inputs": [{"name": "a", "shape": [1], "datatype": "FP64", "data": [1e999]}]}', "out of range"),
        (b'{"inputs": [{"name": "a", "shape": [1.5], "datatype": "FP64", "data": [1]}]}', "Expected `int`"),
        (b'{"inputs": [], "id": 5}', "Expected `str`"),
    ],
)
def test_what_is_no_request_is_said_in_a_sentence(body: bytes, sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        oip.infer(body, BINARY, KINDS)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (tensor(datatype="FP8"), "datatype 'FP8' is none of BOOL"),
        (tensor(shape=[2]), r"shape \[2\] and 1 values"),
        (tensor(shape=[1, 2]), r"a column has \[rows\]"),
        (tensor(shape=[]), r"a column has \[rows\]"),
        (tensor(shape=[-1]), r"shape \[-1\] and 1 values"),
        ({**tensor(), "data": None}, "neither .data. nor a binary_data_size"),
        (tensor("x", ["a"]), "said to be FP64, but holds 'a'"),
        (tensor("a", ["a"], "INT8"), "said to be INT8, but holds 'a'"),
        (tensor("color", ["a"], "FP64"), "said to be FP64, but holds 'a'"),
        (tensor("a", [1], "BYTES"), "said to be BYTES, but holds 1"),
        (tensor("a", [10**4000], "BYTES"), "a number of that size"),
        (tensor("a", [128], "INT8"), "holds another number"),
        (tensor("a", [1.5], "INT64"), "holds another number"),
        (tensor("a", [-1], "UINT8"), "holds another number"),
        (tensor("a", [True], "FP32", shape=[1, 1, 1]), "a column has"),
        (tensor("x", [1], "BOOL"), "said to be BOOL, but holds 1"),
        (tensor("x", [[1, 2]], "FP64", shape=[1, 1]), "said to be FP64"),
    ],
)
def test_a_tensor_that_does_not_hold_what_it_says_is_refused(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        read(wrong)


def test_an_input_given_twice_is_refused() -> None:
    with pytest.raises(RequestError, match="two inputs called 'a'"):
        read(tensor(), tensor())


def test_outputs_are_what_was_asked_for() -> None:
    assert read(tensor()).outputs == ("probabilities",)
    asked = [{"name": "label", "parameters": {"binary_data": False}}, {"name": "probabilities"}]
    assert read(tensor(), outputs=asked).outputs == ("label", "probabilities")
    with pytest.raises(RequestError, match=r"There is no output 'lable'.* 'label'"):
        read(tensor(), outputs=[{"name": "lable"}])


def test_probabilities_are_flat_with_their_shape() -> None:
    answer = Answer("r", "v", 3, [[0.25, 0.75], [1 / 3, 2 / 3]])
    told = json.loads(oip.answer(answer, "toy", BINARY, ["probabilities", "label"])[0])
    assert told == {
        "model_name": "toy",
        "model_version": "v",
        "id": "r",
        "outputs": [
            {"name": "probabilities", "datatype": "FP64", "shape": [2, 2], "data": [0.25, 0.75, 1 / 3, 2 / 3]},
            {"name": "label", "datatype": "INT64", "shape": [2], "data": [1, 1]},
        ],
    }


def test_labels_that_are_texts_are_bytes() -> None:
    (label,) = json.loads(oip.answer(Answer("r", "v", 3, [[0.1, 0.2, 0.7]]), "toy", TEXTS, ["label"])[0])["outputs"]
    assert label == {"name": "label", "datatype": "BYTES", "shape": [1], "data": ["on time"]}


def test_a_regressor_answers_one_value_a_row() -> None:
    assert oip.infer(json.dumps({"inputs": [tensor()]}).encode(), REGRESSION, KINDS).outputs == ("prediction",)
    (told,) = json.loads(oip.answer(Answer("r", "v", 3, [[2.5]]), "toy", REGRESSION, ["prediction"])[0])["outputs"]
    assert told == {"name": "prediction", "datatype": "FP64", "shape": [1, 1], "data": [2.5]}
