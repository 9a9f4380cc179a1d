"""What no other trial beats in loss, time and size."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from rivals.tune.front import cheaper, dominates, front, score
from rivals.tune.search import Tried

BESIDE = ("latency_ms", "size_mb")
few = st.integers(1, 4).map(float)
tried = st.lists(st.tuples(few, few, few), min_size=1, max_size=12).map(
    lambda all_: [Tried({"n": n}, a, 1.0, 3, number=n, latency_ms=b, size_mb=c) for n, (a, b, c) in enumerate(all_)]
)


@given(tried)
def test_nobody_on_the_front_is_dominated_and_everybody_else_is_by_one_of_it(all_: list[Tried]) -> None:
    best = front(all_, BESIDE)
    assert best
    for one in all_:
        assert any(dominates(other, one, BESIDE) for other in best) == (one not in best)


@given(tried)
def test_who_dominates_is_told_to_the_tuner_as_better(all_: list[Tried]) -> None:
    for one in all_:
        for other in all_:
            if dominates(one, other, BESIDE):
                assert score(one, all_, BESIDE) < score(other, all_, BESIDE)


def test_without_other_objectives_the_score_is_the_loss() -> None:
    assert score(Tried({}, 0.5, 1.0, 3), [], ()) == 0.5
    assert math.isnan(score(Tried({}, math.nan, 1.0, 0, error="no"), [], BESIDE))


def test_of_costs_that_are_not_known_nothing_is_said() -> None:
    known, unknown = Tried({}, 1.0, 1.0, 3, latency_ms=1.0, size_mb=1.0), Tried({"a": 1}, 2.0, 1.0, 3)
    assert not dominates(known, unknown, BESIDE)
    assert not cheaper(unknown, (1.0, 1.0), BESIDE)
    assert cheaper(known, (1.0, 1.0), BESIDE)
