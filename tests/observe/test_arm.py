"""When an answer is bet on: a unit once, a failure at once, a success when those of its moment are all there."""

from __future__ import annotations

from rivals.observe.arm import RIPE, UNITS, Arm, Units, short
from rivals.statistics.eprocess import FailureArm, on_failure, on_good


def test_a_failure_is_bet_on_at_once_and_a_success_when_it_is_ripe() -> None:
    arm = Arm(FailureArm(), (), (), 0.5)
    arm.take(None, bad=False, challenger=True, share=0.5, time=10.0, closed=10.5)
    arm.take(None, bad=True, challenger=True, share=0.5, time=11.0, closed=11.5)
    failed = on_failure(FailureArm(), challenger=True, share=0.5, margin=0.5, once=True)
    assert (arm.arm, arm.left()) == (failed, ((10.0, 0.5, 0, 1),))
    arm.take(None, bad=False, challenger=False, share=0.5, time=12.0 + RIPE, closed=12.0 + RIPE)
    assert arm.arm == on_good(failed, 0, 1, 0.5)
    assert arm.left() == ((12.0 + RIPE, 0.5, 1, 0),)


def test_a_rival_whose_answers_come_later_is_settled_at_its_own_moment() -> None:
    arm = Arm(FailureArm(), (), (), 0.5)
    arm.take(None, bad=False, challenger=False, share=0.5, time=10.0, closed=10.1)
    arm.take(None, bad=False, challenger=True, share=0.5, time=10.0, closed=59.0)
    arm.take(None, bad=False, challenger=False, share=0.5, time=90.0, closed=90.0)
    assert arm.arm.good == (1, 1)


def test_a_unit_that_comes_again_is_bet_on_at_its_first_failure_only() -> None:
    arm, unit = Arm(FailureArm(), (), (), 0.5), short("u")
    for time in range(200):
        arm.take(unit, bad=time % 2 == 1, challenger=True, share=0.5, time=float(time), closed=float(time))
    assert arm.arm == on_failure(FailureArm(), challenger=True, share=0.5, margin=0.5)
    assert not arm.left()


def test_remembered_units_are_bounded_and_a_unit_that_comes_once_is_always_new() -> None:
    units = Units(range(UNITS), UNITS)
    assert not units.first(UNITS + 1)
    assert units.first(None)
