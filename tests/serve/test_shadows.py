"""A shadow that sleeps, crashes, floods or answers rubbish is its own trouble only."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from rivals.serve import shadows
from rivals.serve.shadows import BYTES, ROWS

from .test_endpoint import Fixture, Model


@pytest.fixture
def bring() -> Iterator[Callable[..., Fixture]]:
    """An endpoint of champion `a` with these shadows; what sleeps is woken at the end."""
    made: list[Fixture] = []

    def build(**models: Model) -> Fixture:
        made.append(Fixture({"a": Model(), **models}, {"a": 1.0}, list(models)))
        return made[-1]

    yield build
    for one in made:
        for model in one.models.values():
            getattr(model, "gate", threading.Event()).set()
        one.endpoint.close()


class Sleeper(Model):
    """Answers nobody until its gate opens."""

    def __init__(self) -> None:
        super().__init__(self.wait)
        self.gate, self.entered = threading.Event(), threading.Event()

    def wait(self, _: Sequence[float]) -> None:
        self.entered.set()
        self.gate.wait(30)


def answers(stage: Fixture, count: int, rows: int = 1) -> None:
    """Ask so often, one turn after the other, until all clients have their answer."""
    before = len(stage.answers)
    for number in range(before, before + count):
        stage.submit(f"r{number}", *([0.25] * rows))
        while f"r{number}" not in stage.answers:
            stage.tape.turn()
    assert all(stage.answer(f"r{n}").variant == "a" for n in range(before, before + count))


def closed(stage: Fixture, variant: str) -> list[str]:
    return [told[2] for kind, told in stage.tape.events if kind == "close" and told[1] == variant]


def test_a_shadow_that_sleeps_holds_up_neither_answers_nor_other_shadows(bring: Any) -> None:
    sleeper, awake = Sleeper(), Model()
    stage = bring(b=sleeper, c=awake)
    answers(stage, 50)
    deadline = time.monotonic() + 10
    while len(closed(stage, "c")) < 50:
        stage.tape.turn()
        assert time.monotonic() < deadline
    assert closed(stage, "b") == []


def test_what_finds_no_room_is_shed_in_the_journal_and_counted(bring: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadows, "ROWS", 10)
    stage = bring(b=Sleeper())
    answers(stage, 30)
    assert closed(stage, "b") == ["shed"] * 20
    assert stage.tape.counts["shadow", "shed"] == 20
    assert stage.tape.counts["shed", "shadow"] == 20
    # Every pair is on record, so that evidence knows how many are missing.
    assert sum(one.variant == "b" for one in stage.tape.opened) == 30


def test_room_is_counted_in_rows_and_in_bytes_and_comes_back(bring: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeper = Sleeper()
    stage = bring(b=sleeper)
    answers(stage, 1, rows=ROWS + 1)  # one alone has room, however large
    answers(stage, 1)
    assert closed(stage, "b") == ["shed"]
    sleeper.gate.set()
    stage.run()
    answers(stage, 1)
    stage.run()
    assert closed(stage, "b") == ["shed", "ok", "ok"]
    monkeypatch.setattr(shadows, "BYTES", 100)
    sleeper.gate.clear()
    answers(stage, 3)
    assert closed(stage, "b")[3:] == ["shed", "shed"]
    assert BYTES > 100


def test_closing_waits_for_no_sleeper_and_leaves_nothing_open(bring: Any) -> None:
    sleeper = Sleeper()
    stage = bring(b=sleeper)
    answers(stage, 1)
    assert sleeper.entered.wait(10)
    answers(stage, 4)
    started = time.monotonic()
    stage.endpoint.close()
    assert time.monotonic() - started < 5  # of the thirty it sleeps
    assert closed(stage, "b") == ["shed"] * 5
    sleeper.gate.set()
    for thread in threading.enumerate():
        if thread.name == "shadow b":
            thread.join(10)
    stage.tape.turn()  # what came back too late is nobody's
    assert closed(stage, "b") == ["shed"] * 5


RUBBISH = {
    "raises": lambda xs: 1 / 0,
    "exits": lambda xs: exec("raise SystemExit(3)"),
    "interrupts": lambda xs: exec("raise KeyboardInterrupt"),
    "nan": lambda xs: np.full((len(xs), 2), np.nan),
    "infinite": lambda xs: np.full((len(xs), 2), np.inf),
    "too few rows": lambda xs: np.zeros((0, 2)),
    "too many columns": lambda xs: np.zeros((len(xs), 1_000)),
    "flat": lambda xs: np.zeros(len(xs)),
    "a list": lambda xs: [[0.5, 0.5]] * len(xs),
    "texts": lambda xs: np.array([["a", "b"]] * len(xs)),
    "objects": lambda xs: np.array([[None, {}]] * len(xs)),
    "complex": lambda xs: np.full((len(xs), 2), 1j),
}


@pytest.mark.parametrize("kind", RUBBISH)
def test_a_shadow_that_crashes_or_answers_rubbish_fails_alone_and_goes_on(bring: Any, kind: str) -> None:
    stage, healthy = bring(b=Model(RUBBISH[kind]), c=Model()), 20
    answers(stage, healthy)
    stage.run()
    assert closed(stage, "a") == closed(stage, "c") == ["ok"] * healthy
    assert closed(stage, "b") == ["error"] * healthy
    assert not any(stage.answer(f"r{n}").degraded for n in range(healthy))


def test_a_lane_ends_with_its_variant_and_what_waits_in_it_is_shed(bring: Any) -> None:
    sleeper = Sleeper()
    stage = bring(b=sleeper, c=Model())
    answers(stage, 1)
    assert sleeper.entered.wait(10)
    answers(stage, 3)
    stage.endpoint.swap(stage.serving({"a": Model(), "c": Model()}, {"a": 1.0}, ["c"], revision=2))
    sleeper.gate.set()
    stage.run()
    assert closed(stage, "b") == ["shed"] * 3 + ["ok"]
    assert closed(stage, "c") == ["ok"] * 4
    deadline = time.monotonic() + 10
    while any(thread.name == "shadow b" and thread.is_alive() for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.001)
