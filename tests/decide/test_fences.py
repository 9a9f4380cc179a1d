"""What holds a rollout, and what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivals.decide.fences import (
    DOUBLINGS,
    HELD,
    WAITS,
    Fences,
    Standing,
    grows,
    growth,
    hold,
    passed,
    promotion,
    refusal,
    shared_cause,
    span,
)
from rivals.values import Notify, Phase, Promote, RollBack, Rollout, SetRoutes, Version

HOUR, DAY = 3600.0, 86400.0


def a_rollout(**changes: object) -> Rollout:
    base = Rollout("r", "e", Version("old", "0" * 64), Version("new", "1" * 64), (0.1, 0.5), 60.0, DAY, 0.0, 0.0)
    return replace(base, **changes)  # type: ignore[arg-type]


def rolled_back(at: float, variant: str = "new") -> Rollout:
    return a_rollout(challenger=Version(variant, "1" * 64), phase=Phase.ROLLED_BACK, changed=at)


def test_a_variant_that_was_rolled_back_rests_twice_as_long_each_time() -> None:
    for times in range(1, 10):
        ended = [rolled_back(100.0 * n) for n in range(times)]
        rest = HOUR * 2 ** min(times - 1, DOUBLINGS)
        last = ended[-1].changed
        assert "rests for another" in refusal(Fences(), "new", ended, last + rest - 1, HOUR, force=False)
        assert refusal(Fences(), "new", ended, last + rest, HOUR, force=False) == ""
    assert refusal(Fences(), "other", [rolled_back(0.0)], 1.0, HOUR, force=False) == ""


def test_force_lifts_the_rest_and_no_quarantine() -> None:
    assert refusal(Fences(), "new", [rolled_back(0.0)], 1.0, HOUR, force=True) == ""
    shut = Fences(quarantined={"new": "ann"})
    assert "since ann put it there" in refusal(shut, "new", [], 1.0, HOUR, force=True)


def test_growth_is_held_by_a_freeze_a_shared_cause_and_a_closed_window() -> None:
    assert growth(Standing()) == ""
    assert "frozen by ann" in growth(Standing(Fences(frozen="ann")))
    assert "shared" in growth(Standing(shared="a shared cause"))
    assert "mon 09:00-10:00" in growth(Standing(windows=("mon 09:00-10:00",), open=False))


def test_promotions_are_capped_over_the_time_the_project_says() -> None:
    standing = Standing(promoted=(0.0, 5 * DAY, 6 * DAY), per=7 * DAY, most=2)
    assert "as many as the project allows" in promotion(standing, a_rollout(), 6.5 * DAY)
    assert promotion(standing, a_rollout(), 12.5 * DAY) == ""
    assert promotion(replace(standing, most=0), a_rollout(), 99 * DAY) != ""
    assert promotion(replace(standing, most=None), a_rollout(), 6.5 * DAY) == ""


def test_an_approval_is_of_one_rollout() -> None:
    waits = Standing(approval=True)
    assert promotion(waits, a_rollout(), 1.0) == WAITS
    assert promotion(replace(waits, fences=Fences(approved="r")), a_rollout(), 1.0) == ""
    assert promotion(replace(waits, fences=Fences(approved="another")), a_rollout(), 1.0) == WAITS


def test_what_is_held_says_so_once_and_ends_at_the_deadline() -> None:
    held, told = hold(a_rollout(), "why", 1.0)
    assert held.reason == HELD + "why"
    assert told == [Notify(held.reason)]
    assert hold(held, "why", 2.0) == (held, [])
    ended, done = hold(held, "why", DAY)
    assert ended.phase is Phase.HELD
    assert isinstance(done[0], RollBack)
    assert passed(held).reason == ""


def test_three_endpoints_within_ten_minutes_have_a_shared_cause() -> None:
    assert shared_cause({"a": 0.0, "b": 300.0, "c": 600.0}, 600.0).startswith("3 endpoints (a, b, c)")
    assert shared_cause({"a": 0.0, "b": 300.0, "c": 601.0}, 601.0) == ""
    assert shared_cause({"a": 0.0, "b": 1.0}, 1.0) == ""


@given(st.floats(0, 0.5), st.sampled_from([Promote(), RollBack("x"), Notify("x"), SetRoutes(0.5), SetRoutes(0.0)]))
@settings(max_examples=50)
def test_a_rollback_never_counts_as_growth(share: float, instruction: object) -> None:
    before = a_rollout(steps=(share,), phase=Phase.CANARY, step=0) if share else a_rollout()
    more = isinstance(instruction, Promote) or (isinstance(instruction, SetRoutes) and instruction.share > share)
    assert grows(before, [instruction]) is more  # type: ignore[list-item]


@pytest.mark.parametrize(("seconds", "said"), [(30.0, "30 s"), (90.0, "1.5 min"), (HOUR, "1 h"), (7 * DAY, "7 d")])
def test_times_are_said_as_a_person_says_them(seconds: float, said: str) -> None:
    assert span(seconds) == said
