"""The documented example: request-success-rate of at least 99 %, threshold 10."""

from __future__ import annotations

import pytest

from rivals.decide.rules.flagger import Flagger, Range
from rivals.decide.rules.look import Arms, Look, Tally
from rivals.values import Status

PASS, HOLD, FAIL = Status.PASS, Status.INCONCLUSIVE, Status.FAIL


def interval(met: int, bad: int, champion: tuple[int, int] = (1_000, 5)) -> Look:
    return Look(0.05, Arms(Tally(*champion), Tally(met, bad)))


def said(rule: Flagger, looks: list[Look]) -> list[Status]:
    memory, found = rule.begin(), []
    for look in looks:
        memory, status = rule.look(memory, look)
        found.append(status)
    return found


def test_ninety_nine_in_a_hundred_are_enough_and_less_halts() -> None:
    assert said(Flagger(), [interval(100, 1), interval(100, 2), interval(50, 1)]) == [PASS, HOLD, HOLD]


def test_the_tenth_failed_check_rolls_back_though_others_passed_between() -> None:
    looks = [look for _ in range(9) for look in (interval(100, 2), interval(100, 0))]
    assert said(Flagger(), looks) == [HOLD, PASS] * 9
    assert said(Flagger(), [*looks, interval(100, 2)])[-1] is FAIL


def test_no_values_found_counts_as_a_failed_check() -> None:
    assert said(Flagger(threshold=2), [interval(0, 0), interval(0, 0)]) == [HOLD, FAIL]


def test_a_check_is_of_its_whole_interval() -> None:
    # 2 of 100 in the first look, none in the second: 99 % of the 200.
    assert said(Flagger(interval=2), [interval(100, 2), interval(100, 0)]) == [HOLD, PASS]


@pytest.mark.parametrize(("bad", "status"), [(7, PASS), (8, HOLD)])
def test_a_metric_template_may_compare_with_the_champion(bad: int, status: Status) -> None:
    rule = Flagger({"failures": Range(ratio=1.5)})
    assert said(rule, [interval(1_000, bad)]) == [status]  # the champion has 5 of 1,000
