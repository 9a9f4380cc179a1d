"""The rollout's machine: by table, and by property."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivals.decide import rollout as machine
from rivals.decide.rollout import abort, advance, pause, promote, resume, rollback, start
from rivals.errors import RolloutError
from rivals.values import (
    Instruction,
    Notify,
    Phase,
    Promote,
    RollBack,
    Rollout,
    SetRoutes,
    Status,
    Verdict,
    Version,
)

STEPS = (0.01, 0.05, 0.25, 0.5)
OLD, NEW = Version("old", "a" * 64), Version("new", "b" * 64)
VERDICTS = {status: Verdict("analysis", status, f"because {status.value}") for status in Status}


def begun(**changes: Any) -> Rollout:
    wish: dict[str, Any] = {
        "endpoint": "e", "champion": OLD, "challenger": NEW, "steps": STEPS, "every": 10.0, "deadline": 100.0,
        "autonomy": "act", "now": 0.0, "base_revision": 3, **changes,
    }  # fmt: skip
    return start(**wish)


def on(step: int, changed: float = 0.0, **more: Any) -> Rollout:
    return replace(begun(), phase=Phase.CANARY, step=step, changed=changed, **more)


def test_a_rollout_starts_in_the_shadow_with_a_name_of_its_own() -> None:
    rollout = begun()
    assert (rollout.phase, rollout.share, rollout.id) == (Phase.SHADOW, 0.0, "e-3-new")
    assert begun(base_revision=4).id != rollout.id


@pytest.mark.parametrize(
    "changes", [{"challenger": OLD}, {"steps": ()}, {"steps": (0.5, 0.1)}, {"steps": (0.5, 1.0)}, {"steps": (0.0, 0.1)}]
)
def test_a_rollout_that_cannot_end_well_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(RolloutError):
        begun(**changes)


@pytest.mark.parametrize(
    ("before", "status", "now", "phase", "share", "does"),
    [
        (begun(), Status.INCONCLUSIVE, 99.0, Phase.SHADOW, 0.0, []),
        (begun(), Status.ERROR, 99.0, Phase.SHADOW, 0.0, []),
        (begun(), Status.PASS, 1.0, Phase.CANARY, 0.01, [SetRoutes(0.01)]),
        (begun(), Status.FAIL, 1.0, Phase.ROLLED_BACK, 0.0, [RollBack("because fail")]),
        (on(0), Status.PASS, 9.9, Phase.CANARY, 0.01, []),
        (on(0), Status.PASS, 10.0, Phase.CANARY, 0.05, [SetRoutes(0.05)]),
        (on(0), Status.INCONCLUSIVE, 50.0, Phase.CANARY, 0.01, []),
        (on(2), Status.FAIL, 0.1, Phase.ROLLED_BACK, 0.0, [RollBack("because fail")]),
        (on(3), Status.PASS, 9.9, Phase.CANARY, 0.5, []),
        (on(3), Status.PASS, 10.0, Phase.PROMOTED, 0.0, [Promote()]),
        (on(1), Status.PASS, 120.0, Phase.CANARY, 0.25, [SetRoutes(0.25)]),
    ],
)
def test_a_verdict_moves_the_rollout(
    before: Rollout, status: Status, now: float, phase: Phase, share: float, does: list[Instruction]
) -> None:
    after, instructions = advance(before, VERDICTS[status], now)
    assert (after.phase, after.share, instructions) == (phase, share, does)
    assert after.changed == (now if does else before.changed)


@pytest.mark.parametrize("status", [Status.INCONCLUSIVE, Status.ERROR])
@pytest.mark.parametrize("before", [begun(), on(2)])
def test_without_proof_it_is_held_at_the_deadline_and_says_what_was_missing(before: Rollout, status: Status) -> None:
    after, instructions = advance(before, VERDICTS[status], 100.0)
    assert after.phase is Phase.HELD
    assert after.reason == f"not enough evidence at the deadline; the champion stays: because {status.value}"
    assert instructions == [RollBack(after.reason)]


def test_recommend_ends_harm_by_itself_and_asks_before_it_grows() -> None:
    before = begun(autonomy="recommend")
    assert advance(before, VERDICTS[Status.FAIL], 1.0)[0].phase is Phase.ROLLED_BACK
    asked, instructions = advance(before, VERDICTS[Status.PASS], 1.0)
    assert (asked.phase, asked.share) == (Phase.SHADOW, 0.0)
    assert instructions == [Notify("new passed every judge; `rivals rollout promote` makes it the champion")]
    assert advance(asked, VERDICTS[Status.PASS], 2.0) == (asked, [])  # said once
    assert promote(asked, 3.0)[0].phase is Phase.PROMOTED
    unheard, _ = advance(asked, VERDICTS[Status.PASS], 100.0)
    assert (unheard.phase, "nobody promoted it" in unheard.reason) == (Phase.HELD, True)


def test_observe_only_tells() -> None:
    before = begun(autonomy="observe")
    for status in (Status.PASS, Status.FAIL):
        told, instructions = advance(before, VERDICTS[status], 1.0)
        assert told.phase is Phase.SHADOW
        assert [type(one) for one in instructions] == [Notify]
    for status in Status:
        assert advance(before, VERDICTS[status], 100.0)[0].phase is Phase.HELD


def test_a_pause_takes_the_traffic_and_the_clock_and_resume_gives_both_back() -> None:
    paused, instructions = pause(on(2, changed=20.0), 30.0)
    assert (paused.share, instructions) == (0.0, [SetRoutes(0.0, paired=False)])
    assert advance(paused, VERDICTS[Status.PASS], 500.0) == (paused, [])
    back, instructions = resume(paused, 530.0)
    assert (back.phase, back.share, back.deadline, back.changed) == (Phase.CANARY, 0.25, 600.0, 530.0)
    assert instructions == [SetRoutes(0.25)]
    assert advance(back, VERDICTS[Status.PASS], 539.0)[0].step == 2  # the dwell began anew


def test_a_person_may_promote_roll_back_and_abort() -> None:
    promoted, instructions = promote(begun(), 5.0)
    assert (promoted.phase, instructions) == (Phase.PROMOTED, [Promote()])
    for command, phase in ((rollback, Phase.ROLLED_BACK), (abort, Phase.ABORTED)):
        ended, instructions = command(on(1), 5.0)
        assert (ended.phase, ended.share) == (phase, 0.0)
        assert instructions == [RollBack(ended.reason)]


def test_a_promoted_challenger_can_be_rolled_back() -> None:
    promoted, _ = promote(begun(), 5.0)
    assert rollback(promoted, 6.0)[0].phase is Phase.ROLLED_BACK


@pytest.mark.parametrize(
    ("phase", "command"),
    [
        (phase, command)
        for phase in Phase
        for command in (pause, resume, promote, rollback, abort)
        if phase.final and not (phase is Phase.PROMOTED and command is rollback)
    ],
)
def test_what_has_ended_takes_no_more_commands(phase: Phase, command: Callable[..., Any]) -> None:
    with pytest.raises(RolloutError, match=r"has ended .* begins a new one"):
        command(replace(begun(), phase=phase), 1.0)


def test_pause_and_resume_refuse_what_does_not_fit() -> None:
    with pytest.raises(RolloutError, match="is paused already"):
        pause(pause(begun(), 1.0)[0], 2.0)
    with pytest.raises(RolloutError, match="not paused"):
        resume(begun(), 1.0)


COMMANDS = ("pause", "resume", "promote", "rollback", "abort")
EVENTS = st.lists(
    st.tuples(st.one_of(st.sampled_from(list(Status)), st.sampled_from(COMMANDS)), st.floats(0, 30)), max_size=40
)


@given(EVENTS, st.sampled_from(["act", "recommend", "observe"]))
@settings(max_examples=200)
def test_whatever_happens_the_share_climbs_by_proof_step_by_step_and_the_end_is_the_end(
    events: list[tuple[Status | str, float]], autonomy: str
) -> None:
    rollout, now = begun(autonomy=autonomy), 0.0
    for event, wait in events:
        now += wait
        before = rollout
        if isinstance(event, Status):
            rollout, does = advance(before, VERDICTS[event], now)
            grew = rollout.share > before.share or rollout.phase is Phase.PROMOTED is not before.phase
            assert not grew or (event is Status.PASS and autonomy == "act")
            assert rollout.step in {before.step, before.step + 1}
            if grew and before.phase is Phase.CANARY:
                assert now - before.changed >= before.every
            if event is Status.FAIL and autonomy != "observe":
                assert rollout.share == 0.0
        else:
            try:
                rollout, does = getattr(machine, event)(before, now)
            except RolloutError:
                continue
        if before.phase.final:
            assert (rollout, does) == (before, []) or event == "rollback"
        assert any(isinstance(one, SetRoutes) and one.share == rollout.share for one in does) or (
            rollout.share == before.share or rollout.phase.final
        )
        assert rollout.phase is before.phase or rollout.changed == now
    assert msgspec.json.decode(msgspec.json.encode(rollout), type=Rollout) == rollout
