"""When a training may be asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivals.decide.triggers import DAY, Past, Terms, begun, by_hand, consider, ended
from rivals.values import Cause, Notify, Retrain, Trouble

WORLD = Cause(Trouble.WORLD, "every variant got worse", ("old",), ("hour",))
CALM = Cause(Trouble.NOTHING, "nothing drifted")
TERMS, FRESH = Terms(), Past(trained=0.0, rows=100)


def asked(terms: Terms, past: Past, cause: Cause, day: float, rows: int = 0) -> object:
    found = consider(terms, past, cause, day * DAY, rows=rows)[1]
    return found[0] if found else None


@pytest.mark.parametrize("trouble", [one for one in Trouble if one not in {Trouble.WORLD, Trouble.INPUTS}])
def test_one_bad_variant_a_broken_column_or_late_labels_are_no_reason_to_train(trouble: Trouble) -> None:
    assert asked(TERMS, FRESH, Cause(trouble, "told", (), ("hour",)), 300) is None


def test_a_changed_world_asks_for_the_rows_that_end_now() -> None:
    told = "every variant got worse"
    assert asked(Terms(window=90 * DAY), FRESH, WORLD, 100) == Retrain("quality", 10 * DAY, told)
    assert asked(TERMS, FRESH, WORLD, 100) == Retrain("quality", None, told)  # everything so far
    assert asked(Terms(on=("drift",)), FRESH, WORLD, 100) == Retrain("drift", None, told)
    assert asked(Terms(on=("drift",)), FRESH, replace(WORLD, columns=()), 100) is None


def test_drift_that_made_nobody_worse_asks_only_where_drift_is_named() -> None:
    inputs = replace(WORLD, trouble=Trouble.INPUTS)
    assert isinstance(asked(TERMS, FRESH, inputs, 100), Retrain)
    assert asked(Terms(on=("quality",)), FRESH, inputs, 100) is None


def test_a_person_is_told_once_what_holds_a_training() -> None:
    past, said = consider(TERMS, FRESH, WORLD, 44 * DAY)
    assert isinstance(said[0], Notify)
    assert "rest 45 days" in said[0].message
    assert consider(TERMS, past, WORLD, 44.5 * DAY) == (past, [])
    assert isinstance(asked(TERMS, past, WORLD, 45), Retrain)


def test_a_schedule_and_new_data_ask_by_themselves() -> None:
    monthly, more = Terms(on=("schedule",), every=60 * DAY), Terms(on=("data",), grown=0.5)
    assert asked(monthly, FRESH, CALM, 59) is None
    assert isinstance(asked(monthly, FRESH, CALM, 60), Retrain)
    assert asked(more, FRESH, CALM, 60, rows=149) is None
    assert isinstance(asked(more, FRESH, CALM, 60, rows=150), Retrain)


def test_failures_in_a_row_stop_all_but_a_person() -> None:
    past = FRESH
    for _ in range(TERMS.failures):
        past = ended(past, good=False)
    held = asked(TERMS, past, WORLD, 300)
    assert isinstance(held, Notify)
    assert "by hand" in held.message
    after, wish = by_hand(TERMS, past, 300 * DAY)
    assert wish.why == "hand"
    assert isinstance(asked(TERMS, ended(after, good=True), WORLD, 400), Retrain)


@given(st.lists(st.floats(0, 30), max_size=120), st.integers(1, 5), st.floats(0, 100))
def test_no_budget_is_overdrawn_and_no_cooldown_cut_short(gaps: list[float], most: int, cooldown: float) -> None:
    terms = Terms(most=most, cooldown=cooldown * DAY, per=100 * DAY)
    past, now, times = FRESH, 0.0, [0.0]
    for gap in gaps:
        now += gap * DAY
        past, found = consider(terms, past, WORLD, now)
        times += [now for one in found if isinstance(one, Retrain)]
    trained = times[1:]
    assert all(later >= earlier + terms.cooldown for earlier, later in zip(times, trained, strict=False))
    assert all(sum(one - terms.per < other <= one for other in trained) <= most for one in trained)


def test_a_training_that_began_is_remembered_with_its_rows() -> None:
    assert begun(FRESH, DAY, 7) == Past(DAY, 7, (DAY,))
    assert begun(FRESH, DAY).rows == 100
