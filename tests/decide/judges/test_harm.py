"""How much more traffic a challenger may get."""

from __future__ import annotations

import pytest

from rivals.decide.judges.harm import SLACK, Harm
from rivals.errors import SpecError
from rivals.values import Counts, Evidence, Status


def found(ours: Counts, theirs: Counts, age: float = 100.0) -> Evidence:
    return Evidence("e", "old", "new", 0.0, {"old": ours, "new": theirs}, estimates={"age": age})


def test_before_the_first_answer_every_one_may_fail() -> None:
    verdict = Harm(20).judge(found(Counts(asked=500), Counts()))
    assert verdict.status is Status.PASS
    assert verdict.figures == {"left": 20.0, "rate": 5.0}


def test_answers_without_a_failure_let_more_through_and_failures_less() -> None:
    many = Counts(requests=10_000, asked=10_000, failures=10)
    left = [Harm(20).judge(found(many, Counts(100, n))).figures["left"] for n in (0, 5, 50)]
    assert left[0] > 200 > left[1] > left[2] == 0.0


def test_one_that_fails_less_for_sure_is_not_bounded() -> None:
    verdict = Harm(20).judge(found(Counts(10_000, 5_000, 10_000), Counts(10_000, 1)))
    assert verdict.figures["left"] == SLACK


@pytest.mark.parametrize("age", [0.0, float("nan")])
def test_without_traffic_or_time_nothing_is_known(age: float) -> None:
    assert Harm(20).judge(found(Counts(asked=5), Counts(), age)).status is Status.INCONCLUSIVE
    assert Harm(20).judge(found(Counts(), Counts())).status is Status.INCONCLUSIVE


@pytest.mark.parametrize("most", [0, -1, float("nan"), float("inf"), "20"])
def test_a_bound_is_a_number_of_failures(most: float) -> None:
    with pytest.raises(SpecError, match="from 1 up"):
        Harm(most)
