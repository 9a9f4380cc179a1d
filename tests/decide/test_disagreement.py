"""Where two rivals differ, and who is right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivals.decide.disagreement import disagreement
from rivals.values import Pair

ROWS = [
    Pair("a/0", 1.0, (0.9, 0.1), (0.8, 0.2), 0, ("carrier=AA",)),
    Pair("b/0", 2.0, (0.9, 0.1), (0.3, 0.7), 1, ("carrier=UA",)),
    Pair("c/0", 3.0, (0.6, 0.4), (0.4, 0.6), 0, ("carrier=UA",)),
    Pair("d/0", 4.0, (0.6, 0.4), (0.4, 0.6), None, ("carrier=UA",)),
]


def test_rows_that_differ_are_counted_by_slice_and_by_who_is_right() -> None:
    found = disagreement("old", "new", ROWS, task="binary", labels=(0, 1))
    whole, worst, best = found.parts
    assert (whole.where, whole.rows, whole.differ, whole.labelled) == ("all", 4, 3, 2)
    assert (whole.champion_right, whole.challenger_right) == (1, 1)
    assert (worst.where, worst.share, best.where, best.share) == ("carrier=UA", 1.0, "carrier=AA", 0.0)
    assert whole.largest == pytest.approx(0.6)
    assert [pair.id for pair in found.farthest] == ["b/0", "c/0", "d/0", "a/0"]


def test_regressors_agree_within_the_tolerance_and_the_closer_one_is_right() -> None:
    rows = [Pair("a/0", 1.0, (1.0,), (1.05,), 1.0), Pair("b/0", 1.0, (1.0,), (2.0,), 1.9)]
    whole = disagreement("old", "new", rows, task="regression", tolerance=0.1).parts[0]
    assert (whole.differ, whole.champion_right, whole.challenger_right) == (1, 0, 1)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.sampled_from([0, 1, None])), max_size=30))
def test_a_rival_never_differs_from_itself_and_sides_can_be_swapped(
    rows: list[tuple[float, float, int | None]],
) -> None:
    pairs = [Pair(f"{i}/0", i, (1 - p, p), (1 - q, q), label) for i, (p, q, label) in enumerate(rows)]
    turned = [Pair(one.id, one.time, one.challenger, one.champion, one.label) for one in pairs]
    here = disagreement("a", "b", pairs, task="binary", labels=(0, 1)).parts[0]
    there = disagreement("b", "a", turned, task="binary", labels=(0, 1)).parts[0]
    assert (here.differ, here.champion_right, here.challenger_right) == (
        there.differ,
        there.challenger_right,
        there.champion_right,
    )
    same = [Pair(one.id, one.time, one.champion, one.champion) for one in pairs]
    assert disagreement("a", "a", same, task="binary").parts[0].differ == 0
