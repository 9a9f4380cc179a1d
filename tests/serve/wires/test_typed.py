"""The quick way to read rows finds what the careful way finds, or leaves it to it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivals.errors import RequestError
from rivals.serve.inputs import Inputs
from rivals.serve.wires import mlflow_wire, oip
from rivals.serve.wires.typed import Typed
from rivals.values import Column, Columns, Signature

COLUMNS = (Column("a b", "number"), Column("color", "text"), Column("gap", "number", nullable=True))
INPUTS = Inputs(COLUMNS, beside=frozenset({"user", "t"}), unit="user", time="t")
TYPED = Typed(INPUTS)
BINARY = Signature(COLUMNS, "binary", (0, 1))
GOOD = {"a b": 1.5, "color": "red", "gap": None}

values = st.one_of(
    st.floats(allow_nan=False),
    st.integers(),
    st.text(max_size=3),
    st.none(),
    st.booleans(),
    st.lists(st.integers(), max_size=1),
)
rows = st.dictionaries(st.sampled_from(["a b", "color", "gap", "user", "t", "other"]), values, max_size=6)


def careful(raw: bytes) -> Columns | None:
    try:
        return INPUTS.check(mlflow_wire.invocations(raw))
    except RequestError:
        return None


@given(st.lists(rows.map(lambda row: {**GOOD, **row}) | rows, max_size=3))
def test_what_it_reads_is_what_the_careful_way_reads(some: list[dict[str, Any]]) -> None:
    raw = json.dumps({"dataframe_records": some}).encode()
    quick = TYPED.records(raw)
    if quick is not None:
        slow = careful(raw)
        assert slow is not None
        assert quick.rows == slow.rows
        assert {name: list(of) for name, of in quick.values.items()} == {
            name: list(of) for name, of in slow.values.items()
        }


@pytest.mark.parametrize("row", [GOOD, {**GOOD, "gap": 3}, {**GOOD, "user": 7}, {**GOOD, "user": "u", "t": 5.5}])
def test_common_rows_take_the_quick_way(row: dict[str, Any]) -> None:
    quick = TYPED.records(json.dumps({"dataframe_records": [row, row]}).encode())
    assert quick is not None
    assert quick.rows == 2
    assert {name: of[1] for name, of in quick.values.items()} == row


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b'{"dataframe_records": []}', b'{"dataframe_records": [{}]}', b'{"instances": [[1, "red", 2]]}', b"\xff",
        json.dumps({"dataframe_records": [{**GOOD, "a b": 1e39}]}).encode(),
        json.dumps({"dataframe_records": [{**GOOD, "a b": None}]}).encode(),
        json.dumps({"dataframe_records": [{**GOOD, "other": 1}]}).encode(),
        json.dumps({"dataframe_records": [GOOD, {**GOOD, "user": 1}]}).encode(),
        json.dumps({"dataframe_records": [GOOD], "params": {}}).encode(),
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_anything_else_is_left_to_the_careful_way(raw: bytes) -> None:
    assert TYPED.records(raw) is None


def test_without_columns_everything_is_careful() -> None:
    assert Typed(Inputs(())).records(b'{"dataframe_records": [{}]}') is None


# -- the same for tensors ------------------------------------------------------------------------------

KINDS = {"a b": "FP64", "color": "BYTES", "gap": "FP32", "user": "INT64"}
tensor = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["a b", "color", "gap", "user", "other"]),
        "shape": st.sampled_from([[1], [2], [1, 1], [2, 1], []]),
        "datatype": st.sampled_from(["FP64", "FP32", "BYTES", "INT64", "BOOL", "odd"]),
        "data": st.lists(values, max_size=2),
    }
)


def tensors(*some: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "shape": [len(some)], "datatype": KINDS[name], "data": [row[name] for row in some]}
        for name in some[0]
    ]


@given(st.lists(tensor, max_size=2), st.sampled_from([tensors(GOOD), tensors(GOOD, GOOD)]), st.integers(0, 3))
def test_tensors_it_reads_are_what_the_careful_way_reads(
    odd: list[dict[str, Any]], good: list[dict[str, Any]], kept: int
) -> None:
    raw = json.dumps({"inputs": good[:kept] + odd, "id": "r"}).encode()
    quick = TYPED.tensors(raw)
    if quick is not None:
        slow = INPUTS.check(oip.infer(raw, BINARY, INPUTS.kinds).columns)
        assert (quick[0].rows, quick[1]) == (slow.rows, "r")
        assert {name: list(of) for name, of in quick[0].values.items()} == {
            name: list(of) for name, of in slow.values.items()
        }


@pytest.mark.parametrize("some", [[GOOD], [GOOD, {**GOOD, "gap": 3}], [GOOD] * 40])
def test_common_tensors_take_the_quick_way_in_any_order(some: list[dict[str, Any]]) -> None:
    quick = TYPED.tensors(json.dumps({"inputs": tensors(*some)[::-1]}).encode())
    assert quick is not None
    assert [dict(zip(quick[0].values, row, strict=True)) for row in zip(*quick[0].values.values(), strict=True)] == some


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": []},
        {"inputs": tensors(GOOD)[:2]},
        {"inputs": tensors(GOOD)[:2] * 2},
        {"inputs": tensors({**GOOD, "user": 7})},  # a column beside the inputs
        {"inputs": tensors({**GOOD, "a b": 1e39})},
        {"inputs": tensors(GOOD), "outputs": [{"name": "label"}]},
        {"inputs": [*tensors(GOOD)[:2], *tensors(GOOD, GOOD)[2:]]},
    ],
)
def test_other_tensors_are_left_to_the_careful_way(body: Any) -> None:
    assert TYPED.tensors(json.dumps(body).encode()) is None
