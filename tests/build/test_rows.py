from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivals.build.rows import digest, fingerprints, narrowed, prepare
from rivals.errors import DataError
from rivals.spec.project import DataSpec
from rivals.values import Column


def data(**keys: Any) -> DataSpec:
    return DataSpec.model_validate({"source": "toy", "task": "binary", "target": "y", **keys})


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(
        {"a": [1.0, None, 3.0, 4.0], "color": ["red", None, "grün", "red"], "y": [0, 1, 1, 0], **columns}
    )


def test_numbers_are_float32_and_texts_str_or_none() -> None:
    rows = prepare(frame(flag=[True, False, True, None], kind=pd.Categorical(["x", "y", None, "x"])), data())
    assert rows.inputs["a"].dtype == np.float32
    assert rows.inputs["flag"].dtype == np.float32
    assert rows.inputs["color"].tolist() == ["red", None, "grün", "red"]
    assert rows.inputs["kind"].tolist() == ["x", "y", None, "x"]
    assert rows.signature.inputs == (
        Column("a", "number", nullable=True),
        Column("color", "text", nullable=True),
        Column("flag", "number", nullable=True),
        Column("kind", "text", nullable=True),
    )


def test_roles_and_ignored_columns_are_no_inputs() -> None:
    full = frame(id=[9, 8, 7, 6], t=[4, 3, 2, 1], w=[1, 2, 3, 4], g=["p", "p", "q", "q"], due=[1, 2, 3, 4])
    rows = prepare(full, data(id="id", time="t", weight="w", group="g", ignore=["due", "not there"]))
    assert [column.name for column in rows.signature.inputs] == ["a", "color"]
    assert rows.ids.tolist() == ["6", "7", "8", "9"]
    assert rows.time is not None
    assert rows.time.tolist() == [1, 2, 3, 4]
    assert rows.weight is not None
    assert rows.weight.tolist() == [4, 3, 2, 1]
    assert rows.group is not None
    assert rows.group.tolist() == ["q", "q", "p", "p"]
    assert rows.labels.tolist() == [0, 1, 1, 0]


def test_rows_without_a_target_are_dropped_and_their_gaps_remembered() -> None:
    rows = prepare(frame(y=[0, 1, None, 1]).assign(b=[1.0, 2.0, None, 3.0]), data())
    assert len(rows) == 3
    assert rows.ids.tolist() == ["0", "1", "3"]
    assert rows.signature.inputs[2] == Column("b", "number", nullable=True)
    assert rows.signature.labels == (0, 1)


@pytest.mark.parametrize(
    ("values", "labels", "target"),
    [
        ([True, False, True, False], (0, 1), [1, 0, 1, 0]),
        ([1.0, 2.0, None, 1.0], (1, 2), [0, 1, 0]),
        ([True, None, False, True], (0, 1), [1, 0, 1]),
        (["no", "yes", "yes", "no"], ("no", "yes"), [0, 1, 1, 0]),
        (pd.Categorical(["b", "a", "b", "a"]), ("a", "b"), [1, 0, 1, 0]),
        ([0.5, 1.5, 0.5, 1.5], (0.5, 1.5), [0, 1, 0, 1]),
    ],
)
def test_labels_are_plain_values_in_order(values: Any, labels: tuple[Any, ...], target: list[int]) -> None:
    rows = prepare(frame(y=values), data())
    assert rows.signature.labels == labels
    assert [type(label) for label in rows.signature.labels] == [type(label) for label in labels]
    assert rows.target.tolist() == target


def test_dates_become_seconds() -> None:
    stamps = pd.to_datetime(["2013-01-02", "2013-01-01", "2013-01-03", "2013-01-04"])
    for values in (stamps, stamps.tz_localize("America/New_York")):
        rows = prepare(frame(t=values), data(time="t"))
        assert rows.time is not None
        assert rows.time[0] == values.sort_values()[0].timestamp()
        assert rows.inputs["a"].iloc[0] is not None
        assert np.isnan(rows.inputs["a"].iloc[0])


@pytest.mark.parametrize(
    ("columns", "keys", "says"),
    [
        ({}, {"target": "yy"}, "no column 'yy'. Did you mean 'y'"),
        ({"y": [0, 1, 2, 0]}, {}, "has 3 labels (0, 1, 2); binary has two"),
        ({"y": [1, 1, 1, 1]}, {"task": "multiclass"}, "always 1"),
        ({"y": [None] * 4}, {}, "nothing to learn from"),
        ({"y": ["a", "b", "c", "d"]}, {"task": "regression"}, "regression needs numbers"),
        ({"b": [None] * 4}, {}, "'b' has no value at all"),
        ({"b": [np.inf, 1, 2, 3]}, {}, "'b' holds infinite numbers"),
        ({"b": [1e300, 1, 2, 3]}, {}, "beyond 3e38"),
        ({"b": [{}, 1, 2, 3]}, {}, "'b' holds dict, int"),
        ({"b": [1j, 1, 2, 3]}, {}, "complex"),
        ({"b": pd.to_datetime(["2013-01-01"] * 4)}, {}, "'b' holds dates"),
        ({"t": [1, None, 2, 3]}, {"time": "t"}, "missing in 1 rows"),
        ({"t": ["a"] * 4}, {"time": "t"}, "neither dates nor seconds"),
        ({"w": [1, -1, 1, 1]}, {"weight": "w"}, "'w' must be a number from 0 up"),
        ({}, {"ignore": ["a", "color"]}, "No column is left"),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_column(columns: Any, keys: Any, says: str) -> None:
    with pytest.raises(DataError) as caught:
        prepare(frame(**columns), data(**keys))
    assert says in str(caught.value)


def test_columns_are_narrowed_in_their_own_order() -> None:
    signature = prepare(frame(b=[1, 2, 3, 4]), data()).signature
    assert [column.name for column in narrowed(signature, ("b", "a")).inputs] == ["a", "b"]
    assert narrowed(signature, None) is signature
    with pytest.raises(DataError, match=r"'colour'\. Did you mean 'color'"):
        narrowed(signature, ("colour",))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_other_rows_have_another_digest_and_the_same_have_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({"n": rng.normal(size=9), "t": rng.choice(["a", "b", None], 9), "k": rng.integers(0, 9, 9)})
    assert fingerprints(rows) == fingerprints(rows.copy())
    where, column = int(rng.integers(9)), str(rng.choice(["n", "t", "k"]))
    other = rows.copy()
    other[column] = other[column].astype(object)
    other.loc[where, column] = "z" if column == "t" else rows[column][where] + 1
    other = other.astype({"n": float, "k": np.int64})
    assert digest(fingerprints(other)) != digest(fingerprints(rows))
    assert {name for name in rows if fingerprints(other)[name] != fingerprints(rows)[name]} == {column}
    assert digest(fingerprints(rows.rename(columns={"n": "m"}))) != digest(fingerprints(rows))
    assert fingerprints(rows.iloc[::-1]) != fingerprints(rows)


def test_the_digest_of_a_part_is_that_of_a_copy_of_it() -> None:
    rows = pd.DataFrame({"n": np.arange(10.0), "t": list("abcdefghij")})
    assert fingerprints(rows.iloc[3:6]) == fingerprints(rows.iloc[3:6].copy().reset_index(drop=True))


def test_a_digest_of_mixed_values_is_refused() -> None:
    with pytest.raises(DataError, match="several kinds"):
        fingerprints(pd.DataFrame({"a": [1, "x"]}))
