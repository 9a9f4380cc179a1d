"""Binary tensors: what one side writes the other reads, and bytes that do not fit are refused with a sentence."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivals.errors import RequestError
from rivals.serve.wires import oip
from rivals.serve.wires.binary import DTYPES, read, written
from rivals.values import Answer, Signature

BINARY = Signature((), "binary", (0, 1))


def body(*tensors: tuple[str, str, list[int], bytes], tail: bytes = b"", **more: Any) -> tuple[bytes, bytes]:
    """A body of binary tensors, and its header."""
    inputs = [
        {"name": name, "datatype": kind, "shape": shape, "parameters": {"binary_data_size": len(raw)}}
        for name, kind, shape, raw in tensors
    ]
    head = json.dumps({"inputs": inputs, **more}).encode()
    return head + b"".join(raw for *_, raw in tensors) + tail, str(len(head)).encode()


def infer(*tensors: tuple[str, str, list[int], bytes], **more: Any) -> oip.Infer:
    raw, length = body(*tensors, **more)
    return oip.infer(raw, BINARY, {}, length)


@pytest.mark.parametrize("datatype", DTYPES)
def test_every_datatype_comes_back_as_it_was_written(datatype: str) -> None:
    values = [True, False] if datatype == "BOOL" else [0, 1, 100]
    assert read("x", datatype, len(values), memoryview(written(values, datatype))) == values


@given(st.lists(st.text(max_size=20), max_size=8))
def test_texts_come_back_as_they_were_written(texts: list[str]) -> None:
    assert read("x", "BYTES", len(texts), memoryview(written(texts, "BYTES"))) == texts


@given(st.binary(max_size=40), st.integers(-2, 6), st.sampled_from([*DTYPES, "BYTES", "BF16"]))
def test_any_bytes_are_so_many_values_or_a_sentence(raw: bytes, rows: int, datatype: str) -> None:
    try:
        found = read("x", datatype, rows, memoryview(raw))
    except RequestError as error:
        assert str(error)
    else:
        assert len(found) == rows


def test_inputs_follow_one_another_and_a_nan_is_a_gap() -> None:
    found = infer(
        ("a", "FP32", [2], np.array([0.5, np.nan], "<f4").tobytes()),
        ("c", "BYTES", [2, 1], written(["rot", "é"], "BYTES")),
    )
    assert found.columns == {"a": [0.5, None], "c": ["rot", "é"]}
    assert found.binary == frozenset()


def test_outputs_come_as_bytes_where_they_are_asked_for() -> None:
    one = ("a", "FP32", [1], b"\0\0\0\0")
    assert infer(one, parameters={"binary_data_output": True}).binary == {"probabilities"}
    wanted = [{"name": "label", "parameters": {"binary_data": True}}, {"name": "probabilities"}]
    found = infer(one, outputs=wanted)
    assert found.binary == {"label"}
    raw, length = oip.answer(Answer("r", "v", 1, [[0.25, 0.75]]), "toy", BINARY, found.outputs, found.binary)
    label, probabilities = json.loads(raw[:length])["outputs"]
    assert (label["parameters"], "data" in label) == ({"binary_data_size": 8}, False)
    assert probabilities["data"] == [0.25, 0.75]
    assert np.frombuffer(raw[length:], "<i8").tolist() == [1]


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ((b"{}", b"3"), "at most the body's 2 bytes"),
        ((b"{}", b"-1"), "is the length of the JSON"),
        ((b"{}", b"9" * 30), "is the length of the JSON"),
        (body(("a", "FP32", [2], b"\0" * 4)), "has 4 bytes, where 2 values of FP32"),
        (body(("a", "FP32", [1, 3], b"\0" * 12)), "has shape"),
        (body(("a", "BF16", [1], b"\0\0")), "'BF16' is none of"),
        (body(("a", "BYTES", [1], b"\xff\xff\xff\xff")), "which are not 1 texts"),
        (body(("a", "BYTES", [1], b"\1\0\0\0\xff")), "not UTF-8"),
        (body(("a", "FP32", [1], b"\0" * 4), tail=b"x"), "1 bytes are left over"),
    ],
)
def test_bytes_that_do_not_fit_are_refused_with_a_sentence(raw: tuple[bytes, bytes], sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        oip.infer(raw[0], BINARY, {}, raw[1])
