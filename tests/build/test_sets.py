"""Two data sets judged on the same rows, and never taught by what they judge."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivals.build.rows import Rows, prepare
from rivals.build.sets import divide, divided_alike, further
from rivals.spec.load import parse
from rivals.spec.project import ProjectSpec


def spec(by: str, gap: int = 0) -> ProjectSpec:
    split = f"{{test: 20%, folds: 3, by: {by}, gap: {gap}s}}"
    keys = f"source: csv, task: binary, target: y, id: id, time: t, group: g, split: {split}"
    return parse(f"project: p\ndata: {{{keys}}}\nvariants: [{{name: a, family: x}}]\n".encode())


def frame(rows: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    made = pd.DataFrame({"id": np.arange(rows), "t": np.arange(rows) * 1.0, "g": rng.integers(0, 25, rows)})
    return made.assign(a=rng.normal(size=rows), y=rng.integers(0, 2, rows))


def rows_of(some: pd.DataFrame, by: str) -> Rows:
    return prepare(some, spec(by).data)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["time", "random", "group"]), st.integers(0, 300), st.integers(0, 5), st.integers(0, 10))
def test_a_further_set_judges_the_same_rows_and_learns_from_none_of_them(
    by: str, more: int, gap: int, seed: int
) -> None:
    whole = frame(300 + more, seed)
    wish = spec(by, gap)
    main = rows_of(whole.tail(300), by)
    other = rows_of(whole.sample(frac=1, random_state=seed).assign(b=1.0), by)
    division = divide(main, wish)
    alike = divided_alike(main, division, other, wish.data.split.by, wish.data.split.gap)
    assert alike is not None
    assert other.ids[alike.test].tolist() == main.ids[division.test].tolist()
    for (teaching, judged), (_, theirs) in zip(alike.folds, division.folds, strict=True):
        assert other.ids[judged].tolist() == main.ids[theirs].tolist()
        for scored in (judged, alike.test):
            assert not set(teaching) & set(scored)
            if by == "time":
                assert other.time is not None
                assert other.time[teaching].max() < other.time[scored].min() - gap
            if by == "group":
                assert other.group is not None
                assert not set(other.group[teaching]) & set(other.group[scored])
    assert not set(alike.train) & set(alike.test)


@pytest.mark.parametrize("change", ["lacks a judged row", "another target", "an id twice"])
def test_a_set_that_cannot_be_judged_on_the_same_rows_is_divided_by_itself(change: str) -> None:
    wish, whole = spec("time"), frame(300)
    main = rows_of(whole, "time")
    theirs = whole.copy()
    if change == "lacks a judged row":
        theirs = theirs.drop(index=290)
    elif change == "another target":
        theirs.loc[295, "y"] = 1 - theirs.loc[295, "y"]
    else:
        theirs = pd.concat([theirs, theirs.tail(1)], ignore_index=True)
    division, notes = further("winter", main, divide(main, wish), rows_of(theirs, "time"), wish)
    assert notes == [
        "data set winter: it lacks rows that the main source judges on, so its variants are divided and compared by themselves"
    ]
    assert len(division.test)
