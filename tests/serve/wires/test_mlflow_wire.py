"""MLflow's bodies: all of them are the same columns."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivals.errors import RequestError
from rivals.serve.wires.mlflow_wire import csv_rows, invocations, predictions
from rivals.values import Answer, Column

COLUMNS = {"a": [1.5, None], "color": ["red", "é"]}
RECORDS = [{"a": 1.5, "color": "red"}, {"color": "é", "a": None}]
SPLIT = {"columns": ["a", "color"], "data": [[1.5, "red"], [None, "é"]]}


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": SPLIT},
        {"dataframe_split": {**SPLIT, "index": [0, 1]}},
        {"dataframe_records": RECORDS},
        {"inputs": COLUMNS},
        {"inputs": RECORDS},
        {"inputs": {name: [[value] for value in values] for name, values in COLUMNS.items()}},
        {"instances": RECORDS, "params": {}},
        {"instances": COLUMNS},
    ],
)
def test_every_body_is_the_same_columns(body: Any) -> None:
    assert invocations(json.dumps(body).encode()) == COLUMNS


def test_a_lone_value_is_a_column_of_one_row() -> None:
    assert invocations(b'{"inputs": {"a": 1, "color": "red"}}') == {"a": [1], "color": ["red"]}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"NaN", "not JSON"),
        (b"[]", "an object with one of these keys"),
        (b"7", "an object with one of these keys"),
        (b'{"something": 1}', "an object with one of these keys"),
        (b'{"inputs": [], "instances": []}', "an object with one of these keys"),
        (b'{"inputs": [], "more": 1}', "an object with one of these keys"),
        (b'{"dataframe_split": 7}', "'dataframe_split' is an object"),
        (b'{"dataframe_split": {"columns": "ab", "data": []}}', "'dataframe_split' is an object"),
        (b'{"dataframe_split": {"columns": [1], "data": []}}', "'dataframe_split' is an object"),
        (b'{"dataframe_split": {"columns": ["a"]}}', "'dataframe_split' is an object"),
        (b'{"dataframe_split": {"columns": ["a", "a"], "data": []}}', "named twice"),
        (b'{"dataframe_split": {"columns": ["a"], "data": [[1], [1, 2]]}}', "Row 1 is not a list of 1 values"),
        (b'{"dataframe_split": {"columns": ["a"], "data": [7]}}', "Row 0 is not a list"),
        (b'{"dataframe_records": []}', "no rows"),
        (b'{"dataframe_records": {}}', "a list with an object for each row"),
        (b'{"dataframe_records": [1]}', "row 0 is not an object"),
        (b'{"dataframe_records": [{"a": 1}, {"b": 2}]}', "Row 1 has other columns"),
        (b'{"instances": [[1, 2]]}', "row 0 is not an object"),
        (b'{"inputs": 7}', "a list with an object for each row"),
        (b'{"inputs": {"a": [[1, 2]]}}', "one value for each row"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(body: bytes, sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        invocations(body)


KINDS = (Column("a", "number", nullable=True), Column("color", "text"))


def test_csv_has_a_header_and_gaps() -> None:
    assert csv_rows('a,color\r\n1.5,red\r\n,"é"\r\n'.encode(), KINDS) == COLUMNS


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "The body is empty"),
        (b"\xff", "not CSV"),
        (b'a\n"unfinished', "not CSV"),
        (b"a,color\n1\n", "Row 0 is not a list of 2 values"),
        (b"a,color\none,red\n", "Column 'a' takes numbers, not 'one'"),
    ],
)
def test_csv_that_is_wrong_is_said_in_a_sentence(body: bytes, sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        csv_rows(body, KINDS)


@settings(max_examples=150)
@given(st.binary(max_size=80) | st.text(alphabet='{}[]",:ainputsc0\n', max_size=40).map(str.encode))
def test_any_bytes_are_columns_or_a_request_error(raw: bytes) -> None:
    for read in (invocations, lambda body: csv_rows(body, KINDS)):
        try:
            columns = read(raw)
        except RequestError:
            continue
        assert all(isinstance(name, str) and isinstance(values, list) for name, values in columns.items())


def test_predictions_are_rows() -> None:
    assert predictions(Answer("r", "v", 1, [[0.25, 0.75]])) == b'{"predictions":[[0.25,0.75]]}'
