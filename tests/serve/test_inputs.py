"""What may reach a model, and what is said about the rest."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivals.errors import RequestError
from rivals.serve.inputs import Inputs, merged, printable
from rivals.values import Column, Columns, Signature

INPUTS = Inputs(
    (
        Column("a", "number"),
        Column("b", "number", nullable=True),
        Column("color", "text"),
        Column("shape", "text", True),
    ),
    beside=frozenset({"t", "user"}),
    time="t",
    unit="user",
)
GOOD = {"a": [1.5, 2], "b": [None, True], "color": ["red", ""], "shape": [None, "round"]}


def test_what_is_right_goes_through_as_it_is() -> None:
    assert INPUTS.check(GOOD) == Columns(GOOD, 2)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"a": ["1.5", 2]}, "Column 'a' takes numbers, not '1.5'"),
        ({"a": [None, 2]}, "Column 'a' takes no null"),
        ({"a": [[1.0], 2]}, r"Column 'a' takes numbers, not \[1.0\]"),
        ({"a": [math.nan, 2]}, "Column 'a' takes numbers up to"),
        ({"a": [math.inf, 2]}, "Column 'a' takes numbers up to"),
        ({"a": [1e39, 2]}, "up to 3.4e38 in size, not 1e[+]39"),
        ({"a": [10**5000, 2]}, "up to 3.4e38 in size"),
        ({"color": [5, "red"]}, "Column 'color' takes texts, not 5"),
        ({"color": [10**5000, "red"]}, "Column 'color' takes texts"),
        ({"color": [None, "red"]}, "Column 'color' takes no null"),
        ({"color": ["red"]}, "Column 'color' has 1 rows, where others have 2"),
        ({"zebra": [1, 2]}, "There is no column 'zebra'"),
        ({"colour": ["red", "red"]}, "There is no column 'colour'. Did you mean 'color'?"),
        ({"user": [{}, 2]}, "Column 'user' takes numbers and texts"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(change: dict[str, list[Any]], sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence) as caught:
        INPUTS.check({**GOOD, **change})
    assert caught.value.status == 400
    assert len(str(caught.value)) < 300


def test_all_that_is_missing_is_named() -> None:
    with pytest.raises(RequestError, match="'b' is missing; 2 missing in all: b, shape"):
        INPUTS.check({"a": [1], "color": ["red"]})


@pytest.mark.parametrize("nothing", [{}, {"a": []}])
def test_no_rows_are_refused(nothing: dict[str, list[Any]]) -> None:
    with pytest.raises(RequestError, match=r"no columns|no rows"):
        INPUTS.check(nothing)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from(["a", "b", "color", "shape", "t", "user", "x"]), st.lists(JSON, max_size=3)))
def test_whatever_comes_it_is_rows_or_a_request_error(given_in: dict[str, list[Any]]) -> None:
    try:
        columns = INPUTS.check(given_in)
        INPUTS.time_of(columns)
        INPUTS.unit_of(columns)
    except RequestError:
        return
    assert all(isinstance(value, (float, int)) and abs(value) < 3.5e38 for value in columns.values["a"])
    assert all(isinstance(value, str) for value in columns.values["color"])


@pytest.mark.parametrize(
    ("users", "unit"),
    [
        ([7, 7], "7"),
        ([7.0, 7], "7"),
        (["7", "7"], "7"),
        ([None, None], ""),
        ([1.5, 1.5], "1.5"),
        (["a b", "a b"], "a b"),
    ],
)
def test_the_unit_is_what_the_rows_say(users: list[Any], unit: str) -> None:
    assert INPUTS.unit_of(INPUTS.check({**GOOD, "user": users})) == unit


@pytest.mark.parametrize("users", [["a", "b"], ["a", None], [None, 1]])
def test_rows_of_one_request_that_differ_in_their_unit_are_refused(users: list[Any]) -> None:
    with pytest.raises(RequestError, match="send them apart"):
        INPUTS.unit_of(INPUTS.check({**GOOD, "user": users}))


@pytest.mark.parametrize("users", [["a\nb"] * 2, ["x" * 257] * 2, [10**400] * 2])
def test_a_unit_is_short_and_printable(users: list[Any]) -> None:
    with pytest.raises(RequestError):
        INPUTS.unit_of(INPUTS.check({**GOOD, "user": users}))


def test_the_time_of_a_request_is_its_latest() -> None:
    assert INPUTS.time_of(INPUTS.check({**GOOD, "t": [5, 7.5]})) == 7.5


@pytest.mark.parametrize("times", [["noon", 1], [None, 1], [1.7e12, 1], [math.nan, 1]])
def test_a_time_is_in_seconds(times: list[Any]) -> None:
    with pytest.raises(RequestError, match="seconds since the epoch"):
        INPUTS.time_of(INPUTS.check({**GOOD, "t": times}))


def test_without_its_time_a_replay_cannot_go_on() -> None:
    with pytest.raises(RequestError, match="bring the column 't'"):
        INPUTS.time_of(INPUTS.check(GOOD))


def signature(*columns: Column) -> Signature:
    return Signature(columns, "binary", (0, 1))


def test_requests_bring_what_any_loaded_variant_needs_and_what_was_promised() -> None:
    signatures = {"one": signature(Column("a", "number")), "two": signature(Column("b", "text"))}
    columns = merged(signatures, "one", [Column("c", "number", nullable=True), Column("a", "number", nullable=True)])
    assert [column.name for column in columns] == ["a", "b", "c"]


@pytest.mark.parametrize("champion", ["strict", "lax"])
def test_whether_a_gap_is_taken_is_the_champions_word(champion: str) -> None:
    signatures = {"strict": signature(Column("a", "number")), "lax": signature(Column("a", "number", nullable=True))}
    assert merged(signatures, champion, [])[0].nullable is (champion == "lax")


def test_a_column_that_is_two_things_is_refused() -> None:
    signatures = {"one": signature(Column("a", "number")), "two": signature(Column("a", "text"))}
    with pytest.raises(RequestError, match="a number to one variant and a text to another"):
        merged(signatures, "one", [])


@pytest.mark.parametrize("text", ["a\r\nX: y", "\x00", "x" * 257])
def test_ids_are_short_and_printable(text: str) -> None:
    with pytest.raises(RequestError, match="at most 256 printable characters"):
        printable("An id", text)


def test_rows_fall_into_declared_slices() -> None:
    inputs = Inputs(INPUTS.columns, slices=("color", "a", "away"))
    assert inputs.slices_of(Columns({"color": ["red", ""], "a": [7.0, 7]}, 2)) == [
        ("color=red", "a=7", "away=(none)"),
        ("color=(none)", "a=7", "away=(none)"),
    ]
    assert len(inputs.slices_of(Columns({"color": ["x" * 500]}, 1))[0][0]) < 80
    assert INPUTS.slices_of(Columns(GOOD, 2)) == []
