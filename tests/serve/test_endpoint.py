"""The heart, turned by hand: what is on record when, who is asked, and who answers."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rivals.errors import Overloaded, RequestError
from rivals.serve.away import Timer
from rivals.serve.endpoint import PENDING, Endpoint
from rivals.serve.entries import Closed, Opened
from rivals.serve.inputs import Inputs
from rivals.serve.policies.split import Split
from rivals.serve.question import Serving
from rivals.statistics.assignment import slots
from rivals.values import (
    Answer,
    Arm,
    Choice,
    Column,
    Columns,
    Outcome,
    Request,
    RoutingTable,
    Shadow,
    Signature,
)

SIGNATURE = Signature((Column("x", "number"),), "binary", (0, 1))


class Model:
    """Answers (1 - x, x), and remembers what it was asked; ``trouble`` may raise or change the answer."""

    signature = SIGNATURE

    def __init__(self, trouble: Callable[[Sequence[float]], Any] | None = None) -> None:
        self.asked: list[list[float]] = []
        self.trouble = trouble

    def predict(self, columns: Columns) -> NDArray[np.float64]:
        values = list(columns.values["x"])
        self.asked.append(values)
        changed = self.trouble(values) if self.trouble else None
        return np.array([[1 - x, x] for x in values]) if changed is None else changed


class Tape:
    """A journal, a tally and a loop in one: everything that happens, in its order."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []
        self.todo: list[Callable[[], None]] = []
        self.writable = True
        self.counts: Counter[tuple[str, ...]] = Counter()

    def commit(self, opened: Sequence[Opened], closed: Sequence[Closed]) -> bool:
        self.events += [("open", (one.id, one.variant)) for one in opened]
        self.events += [("close", (end.id, end.variant, end.outcome.value)) for end in closed]
        self.opened = [*getattr(self, "opened", []), *opened]
        return self.writable

    def request(self, variant: str, outcome: Outcome, seconds: float, about: str = "") -> None:
        self.counts["request", variant, outcome.value] += 1
        assert seconds >= 0

    def shadow(self, variant: str, outcome: Outcome) -> None:
        self.counts["shadow", outcome.value] += 1

    def degraded(self, variant: str, reason: str) -> None:
        self.counts["degraded", variant, reason] += 1

    def shed(self, reason: str) -> None:
        self.counts["shed", reason] += 1

    def soon(self, function: Callable[[], None]) -> None:
        self.todo.append(function)

    def later(self, _seconds: float, function: Callable[[], None]) -> Timer:
        timer = threading.Timer(_seconds, lambda: self.todo.append(function))
        timer.daemon = True
        timer.start()
        return timer

    def turn(self) -> None:
        """One round of the loop."""
        todo, self.todo = self.todo, []
        for function in todo:
            function()


class Fixture:
    """An endpoint over stand-in models; ``weights`` name the arms, the first is the champion."""

    def __init__(self, models: dict[str, Model], weights: dict[str, float], shadows: Sequence[str] = ()) -> None:
        self.tape, self.models = Tape(), models
        serving = self.serving(models, weights, shadows)
        self.endpoint = Endpoint(
            serving, self.tape, self.tape, self.tape.soon, self.tape.soon, self.tape.later, Random(1)
        )
        self.endpoint.lease_until = math.inf
        self.answers: dict[str, Answer | RequestError] = {}

    def serving(
        self, models: dict[str, Model], weights: dict[str, float], shadows: Sequence[str] = (), revision: int = 1
    ) -> Serving:
        arms = tuple(Arm(name, name * 8, weight) for name, weight in weights.items())
        pairs = tuple(Shadow(name, name * 8) for name in shadows)
        table = RoutingTable("toy", revision, arms[0].variant, arms, "s", slots(list(weights.values())), pairs)
        return Serving(table, models, Split(), Inputs(SIGNATURE.inputs))

    def submit(self, name: str, *xs: float, **more: Any) -> None:
        request = Request(name, Columns({"x": list(xs or [0.25])}, len(xs) or 1), more.pop("unit", name), 5.0, **more)

        def done(answer: Answer | RequestError) -> None:
            self.tape.events.append(("leave", name))
            self.answers[name] = answer

        self.endpoint.submit(request, time.monotonic(), done)

    def run(self) -> None:
        """Turn until nothing is left to do, shadows included."""
        deadline = time.monotonic() + 10
        while self.tape.todo or not self.endpoint.idle:
            self.tape.turn()
            assert time.monotonic() < deadline

    def answer(self, name: str) -> Answer:
        found = self.answers[name]
        assert isinstance(found, Answer)
        return found


@pytest.fixture
def make() -> Any:
    """Make endpoints; their threads end with the test."""
    made: list[Fixture] = []

    def build(*args: Any, **more: Any) -> Fixture:
        made.append(Fixture(*args, **more))
        return made[-1]

    yield build
    for one in made:
        one.endpoint.close()


def test_an_exposure_is_opened_before_the_call_and_closed_before_the_answer_leaves(make: Any) -> None:
    tape: list[Tape] = []
    model = Model(lambda _: tape[0].events.append(("asked", None)))
    stage = make({"a": model}, {"a": 1.0})
    tape.append(stage.tape)
    stage.submit("r")
    stage.run()
    assert [kind for kind, _ in stage.tape.events] == ["open", "asked", "close", "leave"]
    assert stage.answer("r").outputs == [[0.75, 0.25]]


def test_what_arrives_together_is_one_call_and_each_gets_its_own_rows(make: Any) -> None:
    model = Model()
    stage = make({"a": model}, {"a": 1.0})
    stage.submit("one", 0.1)
    stage.submit("two", 0.2, 0.3)
    stage.submit("three", 0.4)
    stage.run()
    assert model.asked == [[0.1, 0.2, 0.3, 0.4]]
    assert stage.answer("two").outputs == [[0.8, 0.2], [0.7, 0.3]]
    assert stage.answer("three").outputs == [[0.6, 0.4]]
    assert [one.rows for one in stage.tape.opened] == [1, 2, 1]


def test_one_turn_makes_one_commit(make: Any) -> None:
    stage = make({"a": Model()}, {"a": 1.0})
    commits: list[tuple[int, int]] = []
    inner = stage.tape.commit

    def commit(opened: Sequence[Opened], closed: Sequence[Closed]) -> bool:
        commits.append((len(opened), len(closed)))
        return bool(inner(opened, closed))

    stage.tape.commit = commit
    for number in range(3):
        stage.submit(f"first {number}")
    stage.tape.turn()
    for number in range(2):
        stage.submit(f"second {number}")
    stage.run()
    assert commits == [(3, 0), (2, 3), (0, 2)]


def test_every_arms_propensity_is_on_record(make: Any) -> None:
    stage = make({"a": Model(), "b": Model()}, {"a": 0.75, "b": 0.25})
    stage.submit("r")
    stage.run()
    assert stage.tape.opened[0].propensity == {"a": 0.75, "b": 0.25}


def broken(values: Sequence[float]) -> Any:
    raise ValueError("no luck today")


@pytest.mark.parametrize(
    "trouble",
    [
        broken,
        lambda values: np.full((len(values), 2), math.nan),
        lambda values: np.full((len(values), 2), math.inf),
        lambda values: np.zeros((len(values) + 1, 2)),
        lambda values: np.zeros(len(values)),
        lambda values: "nonsense",
    ],
)
def test_a_challenger_that_fails_is_charged_and_the_champion_answers(make: Any, trouble: Any) -> None:
    stage = make({"a": Model(), "b": Model(trouble)}, {"a": 0.5, "b": 0.5})
    for number in range(12):
        stage.submit(f"r{number}")
    stage.run()
    answers = [stage.answer(f"r{number}") for number in range(12)]
    assert {answer.variant for answer in answers} == {"a"}
    stood_in = sum(answer.degraded for answer in answers)
    assert 0 < stood_in < 12
    assert stage.tape.counts["request", "b", "error"] == stood_in
    assert stage.tape.counts["request", "a", "ok"] == 12
    propensities = [one.propensity for one in stage.tape.opened if one.variant == "a"]
    assert propensities.count({}) == stood_in  # the champion was not drawn for these


def test_one_bad_row_is_one_failure_though_many_were_asked_together(make: Any) -> None:
    model = Model(lambda values: broken(values) if 0.5 in values else None)
    stage = make({"a": model}, {"a": 1.0})
    for number, x in enumerate([0.1, 0.2, 0.5, 0.3]):
        stage.submit(f"r{number}", x)
    stage.run()
    assert [isinstance(stage.answers[f"r{number}"], Answer) for number in range(4)] == [True, True, False, True]
    assert stage.tape.counts["request", "a", "error"] == 1


def test_a_champion_that_fails_is_a_503_with_a_time_to_come_back(make: Any) -> None:
    stage = make({"a": Model(broken), "b": Model()}, {"a": 1.0, "b": 0.0})
    stage.submit("r")
    stage.run()
    error = stage.answers["r"]
    assert isinstance(error, Overloaded)
    assert (error.status, error.retry_after) == (503, 1)
    assert "no luck" not in str(error)


def test_a_shadow_is_asked_after_the_answer_left_and_never_answers(make: Any) -> None:
    champion, shadow = Model(), Model()
    stage = make({"a": champion, "b": shadow}, {"a": 1.0}, ["b"])
    stage.submit("r", 0.125)
    stage.run()
    assert stage.answer("r").variant == "a"
    assert shadow.asked == [[0.125]]
    events = stage.tape.events
    assert events.index(("open", ("r", "b"))) < events.index(("leave", "r")) < events.index(("close", ("r", "b", "ok")))
    paired = stage.tape.opened[1]
    assert (paired.shadow, paired.propensity, paired.time) == (True, {}, 5.0)


def test_a_pair_is_asked_both_ways(make: Any) -> None:
    stage = make({"a": Model(), "b": Model()}, {"a": 0.5, "b": 0.5}, ["b"])
    for number in range(20):
        stage.submit(f"r{number}")
    stage.run()
    asked = Counter((one.variant, one.shadow) for one in stage.tape.opened)
    assert asked["a", False] == asked["b", True] > 0
    assert asked["b", False] == asked["a", True] > 0


def test_a_shadow_of_somebody_else_is_not_paired(make: Any) -> None:
    models = {name: Model() for name in "abc"}
    stage = make(models, {"a": 0.0, "b": 1.0}, ["c"])
    stage.submit("r")
    stage.run()
    assert [(one.variant, one.shadow) for one in stage.tape.opened] == [("b", False)]


def test_a_shadow_that_fails_changes_nothing(make: Any) -> None:
    stage = make({"a": Model(), "b": Model(broken)}, {"a": 1.0}, ["b"])
    stage.submit("r")
    stage.run()
    assert not stage.answer("r").degraded
    assert stage.tape.counts["shadow", "error"] == 1


def test_without_a_lease_the_champion_is_alone_and_with_one_again_not(make: Any) -> None:
    stage = make({"a": Model(), "b": Model()}, {"a": 0.0, "b": 1.0}, ["b"])
    stage.endpoint.lease_until = time.monotonic() - 1
    stage.submit("old")
    stage.run()
    assert stage.answer("old").variant == "a"
    assert stage.tape.opened[0].propensity == {"a": 1.0}
    assert len(stage.tape.opened) == 1
    stage.endpoint.lease_until = time.monotonic() + 60
    stage.submit("new")
    stage.run()
    assert stage.answer("new").variant == "b"


def test_a_champion_by_itself_needs_no_lease(make: Any) -> None:
    stage = make({"a": Model()}, {"a": 1.0})
    stage.endpoint.lease_until = -math.inf
    stage.submit("r")
    stage.run()
    assert not stage.answer("r").degraded


def test_a_pin_is_honoured_and_after_the_lease_the_champion_says_that_it_stands_in(make: Any) -> None:
    stage = make({"a": Model(), "b": Model()}, {"a": 1.0, "b": 0.0})
    stage.submit("r", pin="b")
    stage.run()
    assert stage.answer("r").variant == "b"
    stage.endpoint.lease_until = -math.inf
    stage.submit("late", pin="b")
    stage.submit("plain", pin="a")
    stage.run()
    assert (stage.answer("late").variant, stage.answer("late").degraded) == ("a", True)
    assert not stage.answer("plain").degraded


def test_an_unknown_pin_is_a_404_and_nothing_is_recorded(make: Any) -> None:
    stage = make({"alpha": Model()}, {"alpha": 1.0})
    stage.submit("r", pin="alpah")
    stage.run()
    error = stage.answers["r"]
    assert isinstance(error, RequestError)
    assert error.status == 404
    assert "Did you mean 'alpha'?" in str(error)
    assert [kind for kind, _ in stage.tape.events] == ["leave"]


def test_too_late_is_a_504_charged_to_the_variant(make: Any) -> None:
    stage = make({"a": Model(lambda _: time.sleep(0.02))}, {"a": 1.0})
    stage.submit("r", deadline_ms=10)
    stage.run()
    assert stage.answers["r"].status == 504  # type: ignore[union-attr]
    assert ("close", ("r", "a", "deadline")) in stage.tape.events


def test_what_is_late_before_it_is_asked_is_not_asked(make: Any) -> None:
    model = Model()
    stage = make({"a": model}, {"a": 1.0})
    stage.submit("r", deadline_ms=1e-6)
    stage.run()
    assert stage.answers["r"].status == 504  # type: ignore[union-attr]
    assert model.asked == []
    assert stage.tape.counts["shed", "deadline"] == 1


def test_a_clients_deadline_is_no_deadline_of_the_shadow(make: Any) -> None:
    stage = make({"a": Model(), "b": Model(lambda _: time.sleep(0.25))}, {"a": 1.0}, ["b"])
    stage.submit("r", deadline_ms=200)
    stage.run()
    assert stage.tape.counts["shadow", "ok"] == 1


def test_what_is_asked_ends_with_the_revision_it_began_with(make: Any) -> None:
    stage = make({"a": Model(), "b": Model()}, {"a": 1.0})
    stage.submit("before")
    stage.tape.turn()
    stage.endpoint.swap(stage.serving(stage.models, {"b": 1.0}, revision=2))
    stage.submit("after")
    stage.run()
    assert (stage.answer("before").variant, stage.answer("before").revision) == ("a", 1)
    assert (stage.answer("after").variant, stage.answer("after").revision) == ("b", 2)


def test_more_than_it_has_room_for_is_refused_at_once(make: Any) -> None:
    stage = make({"a": Model()}, {"a": 1.0})
    for number in range(PENDING):
        stage.submit(f"r{number}")
    with pytest.raises(Overloaded):
        stage.submit("one too many")
    assert stage.tape.counts["shed", "busy"] == 1
    stage.run()
    stage.submit("later")
    stage.run()
    assert isinstance(stage.answers["later"], Answer)


def test_a_journal_that_cannot_write_degrades_and_does_not_refuse(make: Any) -> None:
    stage = make({"a": Model()}, {"a": 1.0})
    stage.tape.writable = False
    stage.submit("r")
    stage.run()
    assert stage.answer("r").degraded


def test_a_policy_that_breaks_costs_only_its_own_request(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Odd:
        def choose(self, table: RoutingTable, request: Request, rng: Random) -> Choice:
            if request.id == "odd":
                raise KeyError("what")
            return Choice("a", {"a": 1.0})

    stage = make({"a": Model()}, {"a": 1.0})
    stage.endpoint.serving = Serving(stage.endpoint.serving.table, stage.models, Odd(), Inputs(SIGNATURE.inputs))
    stage.submit("odd")
    stage.submit("even")
    stage.run()
    assert isinstance(stage.answers["odd"], Overloaded)
    assert isinstance(stage.answers["even"], Answer)
    assert "policy.failed" in caplog.text
