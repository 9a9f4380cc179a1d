"""The documented examples: success rate of 95 % with failureLimit 3; conditions that leave a gap."""

from __future__ import annotations

from rivals.decide.rules.argo import Argo, Conditions
from rivals.decide.rules.look import Arms, Look, Tally
from rivals.values import Status

PASS, HOLD, FAIL = Status.PASS, Status.INCONCLUSIVE, Status.FAIL


def measured(met: int, bad: int) -> Look:
    return Look(0.2, Arms(Tally(1_000, 5), Tally(met, bad)))


def said(rule: Argo, looks: list[Look]) -> list[Status]:
    memory, found = rule.begin(), []
    for look in looks:
        memory, status = rule.look(memory, look)
        found.append(status)
    return found


def test_three_failed_measurements_are_allowed_and_the_fourth_aborts() -> None:
    assert said(Argo(), [measured(100, 6)] * 4) == [PASS, PASS, PASS, FAIL]


def test_ninety_five_percent_is_a_success_and_so_is_no_traffic() -> None:
    assert said(Argo(failure_limit=0), [measured(100, 5), measured(0, 0)]) == [PASS, PASS]


def test_a_failed_run_stays_failed() -> None:
    assert said(Argo(failure_limit=0), [measured(100, 6), measured(100, 0)]) == [FAIL, FAIL]


def test_between_both_conditions_is_inconclusive_and_pauses_for_good() -> None:
    gap = Conditions(lambda _, challenger: challenger.rate <= 0.1, lambda _, challenger: challenger.rate > 0.5)
    rule = Argo({"failures": gap}, failure_limit=0)
    assert said(rule, [measured(100, 10), measured(100, 30), measured(100, 0)]) == [PASS, HOLD, HOLD]
    assert said(rule, [measured(100, 51)]) == [FAIL]


def test_a_measurement_is_of_its_whole_interval() -> None:
    assert said(Argo(failure_limit=0, interval=2), [measured(100, 9), measured(100, 1)]) == [PASS, PASS]
