"""The quick way to read rows finds what the careful way finds, or leaves it to it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivals.errors import RequestError
from rivals.serve.inputs import Inputs
from rivals.serve.wires import mlflow_wire
from rivals.serve.wires.typed import Typed
from rivals.values import Column, Columns

COLUMNS = (Column("a b", "number"), Column("color", "text"), Column("gap", "number", nullable=True))
INPUTS = Inputs(COLUMNS, beside=frozenset({"user", "t"}), unit="user", time="t")
TYPED = Typed(INPUTS)
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
    quick = TYPED.read(raw)
    if quick is not None:
        slow = careful(raw)
        assert slow is not None
        assert quick.rows == slow.rows
        assert {name: list(of) for name, of in quick.values.items()} == {
            name: list(of) for name, of in slow.values.items()
        }


@pytest.mark.parametrize("row", [GOOD, {**GOOD, "gap": 3}, {**GOOD, "user": 7}, {**GOOD, "user": "u", "t": 5.5}])
def test_common_rows_take_the_quick_way(row: dict[str, Any]) -> None:
    quick = TYPED.read(json.dumps({"dataframe_records": [row, row]}).encode())
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
    assert TYPED.read(raw) is None


def test_without_columns_everything_is_careful() -> None:
    assert Typed(Inputs(())).read(b'{"dataframe_records": [{}]}') is None
