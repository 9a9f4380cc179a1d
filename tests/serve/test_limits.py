"""How single variants are asked: so many rows in a call, so many requests at once, who stands in, and whose sample."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivals.errors import Overloaded
from rivals.serve.question import Asked, Question, _divided
from rivals.statistics.assignment import slots
from rivals.values import Arm, Columns, Outcome, Request, Shadow

from .test_away import There
from .test_endpoint import Fixture, Model, broken

Make = Callable[..., Fixture]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Fixture] = []

    def build(models: Any, weights: Any, shadows: Any = (), **more: Any) -> Fixture:
        made.append(Fixture(models, weights, shadows))
        named = tuple(Arm(name, name * 8, 0.0) for name in more.get("fallback", ()))
        serving = made[-1].endpoint.serving
        made[-1].endpoint.swap(replace(serving, table=replace(serving.table, named=named), **more))
        return made[-1]

    yield build
    for one in made:
        one.endpoint.close()


# -- rows, wait, at once ---------------------------------------------------------------------------------


def test_a_call_has_at_most_so_many_rows_and_a_larger_request_is_asked_by_itself(make: Make) -> None:
    model = Model()
    stage = make({"a": model}, {"a": 1.0}, limits={"a": Asked(rows=3)})
    for name, xs in (("one", [0.1, 0.2]), ("two", [0.3]), ("three", [0.4]), ("four", [0.5] * 4), ("five", [0.6])):
        stage.submit(name, *xs)
    stage.run()
    assert [len(xs) for xs in model.asked] == [3, 1, 4, 1]
    assert stage.answer("three").outputs == [[0.6, 0.4]]


def asked_for(rows: int) -> Question:
    return Question(Request("r", Columns({}, rows), "u", 0.0), "a", None, None, {})  # type: ignore[arg-type]


@given(st.lists(st.integers(1, 9)), st.integers(1, 6))
def test_dividing_keeps_the_order_and_the_limit(rows: list[int], most: int) -> None:
    group = [asked_for(one) for one in rows]
    parts = _divided(group, most)
    assert [id(one) for part in parts for one in part] == [id(one) for one in group]
    assert all(len(part) == 1 or sum(one.request.columns.rows for one in part) <= most for part in parts)


def test_a_variant_with_a_wait_is_asked_once_for_all_that_come_in_it(make: Make) -> None:
    model = Model()
    stage = make({"a": model}, {"a": 1.0}, limits={"a": Asked(wait=0.05)})
    for number in range(5):
        stage.submit(f"r{number}", number / 10)
        stage.tape.turn()
    stage.run()
    assert model.asked == [[0.0, 0.1, 0.2, 0.3, 0.4]]
    assert [stage.answer(f"r{number}").outputs[0][1] for number in range(5)] == [0.0, 0.1, 0.2, 0.3, 0.4]


def test_more_requests_than_it_takes_at_once_are_the_champions(make: Make) -> None:
    slow = Model(lambda _: time.sleep(0.05))
    stage = make({"a": Model(), "b": slow}, {"a": 0.5, "b": 0.5}, limits={"b": Asked(at_once=2)})
    for number in range(5):
        stage.submit(f"r{number}", pin="b")
    stage.run()
    answers = [stage.answer(f"r{number}") for number in range(5)]
    assert [(one.variant, one.degraded) for one in answers] == [("b", False)] * 2 + [("a", True)] * 3
    assert stage.tape.counts["request", "b", "shed"] == 3
    stage.submit("later", pin="b")
    stage.run()
    assert stage.answer("later").variant == "b"


# -- who stands in ---------------------------------------------------------------------------------------


def variants(stage: Fixture) -> list[tuple[str, str]]:
    return [event[1:] for kind, event in stage.tape.events if kind == "close"]


def test_where_the_champion_fails_too_the_fallbacks_are_asked_in_their_order(make: Make) -> None:
    models = {"a": Model(broken), "b": Model(broken), "plan": Model(broken), "last": Model()}
    stage = make(models, {"a": 0.5, "b": 0.5}, fallback=("plan", "last"))
    stage.submit("r", pin="b")
    stage.run()
    assert (stage.answer("r").variant, stage.answer("r").degraded) == ("last", True)
    assert variants(stage) == [("b", "error"), ("a", "error"), ("plan", "error"), ("last", "ok")]


def test_where_all_fail_it_is_a_503_and_nobody_is_asked_for_ever(make: Make) -> None:
    models = {"a": Model(broken), "b": Model(broken), "plan": Model(broken)}
    stage = make(models, {"a": 0.5, "b": 0.5}, fallback=("plan",))
    for pin in ("a", "b", "plan"):
        stage.submit(pin, pin=pin)
    stage.run()
    assert all(isinstance(stage.answers[pin], Overloaded) for pin in ("a", "b", "plan"))
    assert len(variants(stage)) <= 9


def test_a_fallback_that_no_table_names_is_passed_over(make: Make) -> None:
    stage = make({"a": Model(broken), "plan": Model()}, {"a": 1.0}, fallback=("plan",))
    serving = stage.endpoint.serving
    stage.endpoint.swap(replace(serving, table=replace(serving.table, named=())))
    stage.submit("r")
    stage.run()
    assert isinstance(stage.answers["r"], Overloaded)


def test_a_champion_that_is_away_and_late_has_a_fallback_too(make: Make) -> None:
    models = {"a": There(broken_there), "plan": Model()}
    stage = make(models, {"a": 1.0}, fallback=("plan",))
    stage.submit("r")
    stage.run()
    assert (stage.answer("r").variant, variants(stage)) == ("plan", [("a", "error"), ("plan", "ok")])


def broken_there() -> None:
    raise OSError("gone")


# -- whose sample ----------------------------------------------------------------------------------------


def paired(stage: Fixture) -> set[str]:
    return {one.unit for one in stage.tape.opened if one.shadow}


def test_a_shadows_sample_is_of_units_and_stays_the_same(make: Make) -> None:
    stage = make({"a": Model(), "b": Model(), "c": Model()}, {"a": 1.0}, ["b", "c"])
    serving = stage.endpoint.serving
    some = (Shadow("b", "b" * 8, 0.2), Shadow("c", "c" * 8, 0.2))

    def run(shadows: tuple[Shadow, ...], turn: int) -> dict[str, set[str]]:
        stage.tape.opened = []
        stage.endpoint.swap(replace(serving, table=replace(serving.table, shadows=shadows)))
        for number in range(1_000):
            stage.submit(f"{turn}/{number}", unit=f"u{number}")
            if not number % 100:
                stage.run()
        stage.run()
        return {name: {one.unit for one in stage.tape.opened if one.variant == name} for name in "bc"}

    first, again = run(some, 1), run(some, 2)
    assert first == again
    # 1,000 draws at 0.2, 5 standard deviations of 12.6 each way: false alarm below 1e-6.
    assert all(137 < len(units) < 263 for units in first.values())
    assert first["b"] != first["c"]  # two shadows, two samples
    more = run((Shadow("b", "b" * 8, 0.4),), 3)
    assert first["b"] < more["b"]  # a larger share keeps who was in


def test_both_arms_of_a_pair_have_the_same_sample(make: Make) -> None:
    stage = make({"a": Model(), "b": Model()}, {"a": 0.5, "b": 0.5}, ["b"])
    serving = stage.endpoint.serving
    half = (Shadow("b", "b" * 8, 0.5),)
    asked = {}
    for weights in ([1.0, 0.0], [0.0, 1.0]):
        stage.tape.opened = []
        table = replace(serving.table, shadows=half, slots=slots(weights))
        stage.endpoint.swap(replace(serving, table=table))
        for number in range(50):
            stage.submit(f"{weights}{number}", unit=f"u{number}")
        stage.run()
        asked[tuple(weights)] = paired(stage)
    assert asked[1.0, 0.0] == asked[0.0, 1.0] != set()


def test_no_answer_is_charged_to_who_was_not_asked(make: Make) -> None:
    slow = Model(lambda _: time.sleep(0.05))
    stage = make({"a": slow}, {"a": 1.0}, limits={"a": Asked(at_once=1)})
    stage.submit("one")
    stage.submit("two")
    stage.run()
    assert isinstance(stage.answers["two"], Overloaded)
    assert stage.tape.counts["request", "a", Outcome.SHED.value] == 1
