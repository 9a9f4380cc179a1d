"""Arms in processes of their own: who waits for them waits in time, and nobody else waits at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivals.bundles import MANIFEST, BundleManifest, folder_digest
from rivals.errors import BundleError
from rivals.serve import aside, away
from rivals.serve.aside import Aside
from rivals.serve.asking import Told, tell
from rivals.serve.away import FAILURES, FIRST, LAST, Breaker
from rivals.values import Columns, Outcome

from .stage import ROW, SIGNATURE, bundle, wait_until
from .test_endpoint import Fixture, Model


class There(Aside):
    """A variant in another process, without the process: ``deed`` may sleep or raise."""

    def __init__(self, deed: Callable[[], object] = lambda: None) -> None:
        self.signature, self.deed, self.asked = Model.signature, deed, 0

    def tell(self, parts: Sequence[Columns]) -> list[Told]:
        self.asked += 1
        self.deed()
        return tell(Model(), parts)


@pytest.fixture
def make() -> Iterator[Callable[..., Fixture]]:
    made: list[Fixture] = []

    def build(there: There) -> Fixture:
        made.append(Fixture({"champion": Model(), "away": there}, {"champion": 0.5, "away": 0.5}))  # type: ignore[dict-item]  # a stand-in
        return made[-1]

    yield build
    for one in made:
        one.endpoint.close()


def ask(stage: Fixture, name: str, pin: str = "away", **more: Any) -> Any:
    stage.submit(name, pin=pin, **more)
    stage.run()
    return stage.answers[name]


def outcomes(stage: Fixture) -> list[tuple[str, Outcome]]:
    return [(what[1], Outcome(what[2])) for kind, what in stage.tape.events if kind == "close"]


def test_an_arm_that_is_away_answers_for_itself(make: Callable[..., Fixture]) -> None:
    got = ask(make(There()), "r")
    assert (got.variant, got.degraded, got.outputs) == ("away", False, [[0.75, 0.25]])


def test_the_loop_does_not_wait_for_it(make: Callable[..., Fixture]) -> None:
    gate = threading.Event()
    stage = make(There(gate.wait))
    stage.submit("slow", pin="away")
    stage.tape.turn()
    stage.submit("quick", pin="champion")
    while "quick" not in stage.answers:
        stage.tape.turn()
    assert "slow" not in stage.answers
    gate.set()
    stage.run()
    assert stage.answer("slow").variant == "away"


@pytest.mark.parametrize("deadline", [0.0, 60.0], ids=["ours", "the client's"])
def test_who_is_late_is_replaced_and_its_late_answer_changes_nothing(
    make: Callable[..., Fixture], monkeypatch: pytest.MonkeyPatch, deadline: float
) -> None:
    monkeypatch.setattr(away, "PATIENCE", 0.06)
    gate = threading.Event()
    stage = make(There(gate.wait))
    got = ask(stage, "r", deadline_ms=deadline)
    assert (got.variant, got.degraded) == ("champion", True)
    gate.set()
    wait_until(lambda: bool(stage.tape.todo), 5)
    stage.run()
    assert outcomes(stage) == [("away", Outcome.DEADLINE), ("champion", Outcome.OK)]


def test_who_dies_is_replaced(make: Callable[..., Fixture]) -> None:
    def dies() -> None:
        raise BundleError("Its process ended (exit 3).")

    stage = make(There(dies))
    assert ask(stage, "r").variant == "champion"
    assert outcomes(stage) == [("away", Outcome.ERROR), ("champion", Outcome.OK)]


def test_who_fails_again_and_again_is_left_alone_and_comes_back(
    make: Callable[..., Fixture], monkeypatch: pytest.MonkeyPatch
) -> None:
    ill = [True]

    def deed() -> None:
        if ill[0]:
            raise BundleError("out of luck")

    there = There(deed)
    stage = make(there)
    for number in range(FAILURES + 20):
        assert ask(stage, f"r{number}").degraded
    assert there.asked == FAILURES
    assert outcomes(stage).count(("away", Outcome.SHED)) == 20  # charged to it all the same
    ill[0] = False
    monkeypatch.setattr(away.time, "monotonic", lambda now=time.monotonic: now() + FIRST)
    assert [ask(stage, f"s{number}").variant for number in range(3)] == ["away"] * 3


@given(st.lists(st.tuples(st.floats(0, 5), st.booleans()), max_size=200))
def test_a_breaker_is_closed_by_one_success_and_lets_one_try_in_a_while(steps: list[tuple[float, bool]]) -> None:
    breaker, now, row, last = Breaker(), 0.0, 0, -LAST
    for pause, good in steps:
        now += pause
        if not breaker.admits(now):
            assert row >= FAILURES
            assert now - last < LAST
            continue
        assert row < FAILURES or now - last >= FIRST
        row, last = 0 if good else row + 1, now
        breaker.tell(now, good=good)


def test_what_a_swap_takes_away_is_answered_by_the_champion(make: Callable[..., Fixture]) -> None:
    gate, begun = threading.Event(), threading.Event()
    stage = make(There(lambda: begun.set() or gate.wait()))
    for name in ("asked", "waits"):
        stage.submit(name, pin="away")
        stage.tape.turn()
        assert begun.wait(5)
    stage.endpoint.swap(stage.serving({"champion": Model()}, {"champion": 1.0}, revision=2))
    while "waits" not in stage.answers:
        stage.tape.turn()
    assert stage.answer("waits").variant == "champion"
    gate.set()
    stage.run()
    assert stage.answer("asked").variant == "away"


BAD = """
import sys, time, os
from rivals.serve import aside

class Bad:
    def __init__(self, inner):
        self.signature, self.inner, self.kept = inner.signature, inner, []
    def predict(self, columns):
        if "red" in columns.values["color"]:
            {deed}
        return self.inner.predict(columns)

opened = aside.open_bundle
aside.open_bundle = lambda *args: Bad(opened(*args))
aside.main()
"""


def test_one_that_leaks_ends_and_one_that_floods_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = [Columns({name: [value] for name, value in ROW.items()}, 1)]
    deeds = {
        "self.kept.append(bytearray(os.urandom(1 << 20) * 300)); time.sleep(5)": f"exit {aside.LEAKS}",
        "aside.send = lambda link, _: link.sendall(aside.LENGTH.pack(1 << 30) + bytes(1 << 20))": "ended",
    }
    for number, (deed, told) in enumerate(deeds.items()):
        script = tmp_path / f"bad{number}.py"
        script.write_text(BAD.format(deed=deed))
        monkeypatch.setattr(aside, "COMMAND", (str(script),))
        one = Aside(tmp_path, bundle(tmp_path, 0.5 + number), memory=256)
        with pytest.raises(BundleError, match=told):  # noqa: PT012 -- a flood begins after its first answer
            one.tell(row)
            one.tell(row)


def test_a_bundle_for_a_child_alone_starts_the_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / bundle(tmp_path, 0.5)
    (folder / MANIFEST).write_bytes(msgspec.json.encode(BundleManifest(SIGNATURE, "child", reason="odd")))
    place = tmp_path / folder_digest(folder)
    folder.rename(place)
    monkeypatch.setattr(aside, "CHILD", ("-c", "raise SystemExit(9)"))
    with pytest.raises(BundleError, match="exit 9"):
        Aside(tmp_path, place.name).ready()
