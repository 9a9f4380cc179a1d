from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivals.build.folds import Split, split
from rivals.errors import DataError


def try_split(rows: int, **keys: Any) -> Split | None:
    """The split, or None where it says that the rows are too few."""
    with contextlib.suppress(DataError):
        return split(rows, **keys)
    return None


def apart(found: Split) -> None:
    """Nobody judges what it learned from, and every training row is judged at most once."""
    seen = np.concatenate([valid for _, valid in found.folds])
    assert len(set(seen)) == len(seen)
    for train, valid in found.folds:
        assert not set(train) & set(valid)
        assert set(train) <= set(found.train)
        assert set(valid) <= set(found.train)
    assert not set(found.train) & set(found.test)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.1, 0.2, 0.5]),
    st.sampled_from([0.0, 1.0, 5.0]),
    st.booleans(),
)
def test_in_time_whatever_is_judged_is_later_than_all_that_taught_plus_the_gap(
    seed: int, folds: int, test: float, gap: float, coarse: bool
) -> None:
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(20, 300))
    time = rng.uniform(0, 100, rows)
    time = np.floor(time / 4) if coarse else time  # many rows at one moment
    found = try_split(rows, by="time", folds=folds, test=test, gap=gap, time=time)
    if found is None:
        return
    apart(found)
    for train, valid in found.folds:
        assert time[train].max() + gap < time[valid].min() or (gap == 0 and time[train].max() < time[valid].min())
    if test:
        assert time[found.train].max() + gap < time[found.test].min()
        assert time[found.test].max() == time.max()
    ends = [time[train].max() for train, _ in found.folds]
    assert ends == sorted(ends)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.sampled_from([0.0, 0.2]))
def test_a_group_is_never_on_both_sides(seed: int, folds: int, test: float) -> None:
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(20, 200))
    group = rng.integers(0, int(rng.integers(2, 40)), rows).astype(str).astype(object)
    found = try_split(rows, by="group", folds=folds, test=test, group=group, seed=seed)
    if found is None:
        return
    apart(found)
    for train, valid in [*found.folds, (found.train, found.test)]:
        assert not set(group[train]) & set(group[valid])


@pytest.mark.parametrize("folds", [1, 2, 5])
def test_at_random_every_row_is_used(folds: int) -> None:
    found = split(1000, folds=folds, test=0.2, seed=3)
    apart(found)
    assert abs(len(found.test) - 200) <= 1
    assert len(found.train) + len(found.test) == 1000
    if folds > 1:
        assert set(np.concatenate([valid for _, valid in found.folds])) == set(found.train)
    assert (split(1000, folds=folds, test=0.2, seed=3).test == found.test).all()
    assert (split(1000, folds=folds, test=0.2, seed=4).test != found.test).any()


def test_the_test_is_the_last_fifth_and_folds_expand() -> None:
    found = split(100, by="time", folds=3, test=0.2, time=np.arange(100.0))
    assert found.test.tolist() == list(range(80, 100))
    assert [(len(train), valid.min(), valid.max()) for train, valid in found.folds] == [
        (20, 20, 39),
        (40, 40, 59),
        (60, 60, 79),
    ]


def test_without_a_test_everything_teaches() -> None:
    found = split(100, by="time", folds=3, test=0.0, time=np.arange(100.0))
    assert len(found.train) == 100
    assert len(found.test) == 0


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"by": "time", "time": np.zeros(50)}, "too few"),
        ({"by": "time", "time": np.arange(50.0), "gap": 1000}, "smaller gap"),
        ({"by": "time"}, "data.time"),
        ({"by": "group"}, "data.group"),
    ],
)
def test_an_empty_part_is_refused(keys: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        split(50, **keys)
