"""Policies that learn, as the request path meets them: floors, slots, leases, pins; and hostile options."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivals import plugins
from rivals.errors import RequestError, SpecError
from rivals.protocols import Policy
from rivals.serve.policies._drawn import fraction, losses, rewards
from rivals.serve.policies.best import Best
from rivals.serve.policies.linucb import Context, Linucb
from rivals.serve.policies.thompson import Thompson
from rivals.serve.question import alone
from rivals.statistics.assignment import slots
from rivals.values import Arm, Choice, Columns, Experience, Request, RoutingTable, Use

NAMED = (Arm("a", "1", 0.0), Arm("b", "2", 0.0), Arm("c", "3", 0.0))
STATE = {"weights": {"a": 0.5, "b": 0.3, "c": 0.2}}
TABLE = RoutingTable("toy", 1, "a", NAMED[:1], "salt", slots([1.0]), named=NAMED, state=STATE)
POLICY = Thompson(["a", "b", "c"])


def asked(unit: str, table: RoutingTable = TABLE, policy: Policy = POLICY, **values: Any) -> Choice:
    request = Request("r", Columns({name: [value] for name, value in values.items()}, 1), unit, 0.0)
    return policy.choose(table, request, Random(0))


def test_units_are_drawn_by_the_weights_that_were_learned() -> None:
    """5 standard errors."""
    drawn = Counter(asked(f"u{i}").variant for i in range(5_000))
    assert all(abs(drawn[name] - 5_000 * share) < 5 * 35 for name, share in STATE["weights"].items())
    assert asked("u1").propensity == pytest.approx(STATE["weights"])


def test_few_units_move_when_the_weights_move_a_little() -> None:
    other = replace(TABLE, state={"weights": {"a": 0.49, "b": 0.31, "c": 0.2}})
    assert sum(asked(f"u{i}").variant != asked(f"u{i}", other).variant for i in range(2_000)) < 60


def test_a_challenger_keeps_its_slots_and_the_rest_is_drawn() -> None:
    table = replace(TABLE, arms=(Arm("a", "1", 0.9), Arm("new", "9", 0.1)), slots=slots([0.9, 0.1]))
    found = [asked(f"u{i}", table) for i in range(4_000)]
    assert found[0].propensity == pytest.approx({"a": 0.45, "b": 0.27, "c": 0.18, "new": 0.1})
    assert abs(sum(one.variant == "new" for one in found) - 400) < 5 * 19


def test_who_cannot_answer_leaves_its_share_to_the_others() -> None:
    assert asked("u", replace(TABLE, named=NAMED[:2])).propensity == pytest.approx({"a": 0.625, "b": 0.375})
    assert asked("u", replace(TABLE, named=())).propensity == {"a": 1.0}


def test_without_a_lease_the_champion_answers_alone() -> None:
    """Nobody learns while the control process is away: nobody would see that an arm has gone bad."""
    assert asked("u", alone(TABLE)).propensity == {"a": 1.0}
    assert alone(replace(TABLE, state={})).named == NAMED  # a rule needs no lease


def test_a_pin_goes_before_the_draw() -> None:
    request = Request("r", Columns({}, 1), "u", 0.0, "c")
    assert POLICY.choose(TABLE, request, Random(0)).variant == "c"
    with pytest.raises(RequestError, match="no variant 'd'"):
        POLICY.choose(TABLE, Request("r", Columns({}, 1), "u", 0.0, "d"), Random(0))


@given(st.text(max_size=30))
def test_a_units_place_is_the_same_everywhere(unit: str) -> None:
    assert 0 <= fraction("salt", unit) < 1
    assert fraction("salt", unit) == fraction("salt", unit)


def test_linucb_learns_who_is_better_where_and_explores_by_its_floor() -> None:
    policy, rng = Linucb(["a", "b"], {"x": [0, 10], "kind": ["u", "v"]}, floor=0.05, ridge=0.1), Random(1)
    told = []
    for i in range(600):
        x, name = rng.uniform(0, 10), rng.choice(["a", "b"])
        good = x > 5 if name == "a" else x <= 5
        told.append(
            Experience(
                f"r{i}", f"u{i}", name, i, {"a": 0.5, "b": 0.5}, reward=float(good), inputs={"x": [x], "kind": ["u"]}
            )
        )
    table = replace(TABLE, named=NAMED[:2], state=policy.learn(policy.learn({}, ()), told))
    found = [asked(f"u{i}", table, policy, x=9.0, kind="u") for i in range(2_000)]
    assert found[0].propensity == pytest.approx({"a": 0.95, "b": 0.05})
    assert abs(sum(one.variant == "b" for one in found) - 100) < 5 * 10
    assert asked("u", table, policy, x=1.0, kind="u").propensity["b"] == pytest.approx(0.95)


def test_a_context_takes_whatever_comes() -> None:
    context = Context({"x": [0, 10], "kind": ["u", "v"]})
    assert context.of({"x": [5.0], "kind": ["v"]}, 1) == [1.0, 0.5, 0.0, 1.0]
    assert context.of({"x": [99.0, -5.0], "kind": ["w", None]}, 2) == [1.0, 0.5, 0.0, 0.0]
    assert context.of({"x": [None]}, 1) == [1.0, 0.0, 0.0, 0.0]
    assert context.of({"x": ["far"], "kind": [3]}, 1) == [1.0, 0.0, 0.0, 0.0]


def test_best_gives_all_but_the_floors_to_who_is_in_and_forgets_only_what_it_must() -> None:
    policy = Best(["a", "b", "c"], floor=0.1, dwell=5)
    begun = policy.learn({}, ())
    assert begun["weights"] == {"a": 0.8, "b": 0.1, "c": 0.1}
    lost = {"a": 0.9, "b": 0.2, "c": 0.5}
    told = [Experience(f"r{i}", f"u{i}", "a", i, {}, losses=lost, seen=dict.fromkeys(lost, 1.0)) for i in range(200)]
    after = policy.learn(begun, told)
    assert after["weights"]["b"] == 0.8
    assert after["figures"]["switches"] == 1
    kept = policy.forget(after, ["a"])["switcher"]
    assert (kept["incumbent"], kept["rivals"]["c"]) == ("b", after["switcher"]["rivals"]["c"])
    assert kept["rivals"]["a"] != after["switcher"]["rivals"]["a"]


def test_a_unit_counts_once_and_a_failure_earns_nothing() -> None:
    drawn = {"a": 0.5, "b": 0.5}
    told = [
        Experience("r1", "ann", "a", 1, drawn, reward=10.0),
        Experience("r2", "ann", "a", 2, drawn, reward=0.0),
        Experience("r3", "bob", "b", 3, drawn, failed=True, losses={"b": 1.0}),
        Experience("r4", "eve", "b", 4, drawn, losses={"b": 0.25}, seen=drawn),
        Experience("r5", "dan", "b", 5, drawn, reward=99.0),
    ]
    assert rewards(told, 0.0, 20.0) == [("a", 0.25), ("b", 0.0), ("b", 0.75), ("b", 1.0)]
    assert losses(told[3], 0.0, 20.0) == ({"b": 0.5}, {"a": 2.0, "b": 2.0})
    assert losses(told[0], 0.0, 20.0) == ({"a": 1.0}, {"a": 2.0, "b": 2.0})


TWO = ["a", "b"]


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("thompson", {"variants": ["a"]}, "two names or more"),
        ("thompson", {"variants": ["a", "a"]}, "each once"),
        ("thompson", {"variants": "ab"}, "two names or more"),
        ("thompson", {"variants": TWO, "floor": 0}, "floor of up to 0.5"),
        ("thompson", {"variants": TWO, "floor": 0.6}, "floor of up to 0.5"),
        ("thompson", {"variants": TWO, "half_life": 0}, "half_life is a number from 1 up"),
        ("thompson", {"variants": TWO, "every": "soon"}, "'soon' is not a duration"),
        ("thompson", {"variants": TWO, "low": 1, "high": 1}, "low is below high"),
        ("thompson", {"variants": TWO, "floors": 0.1}, "floors"),
        ("epsilon", {"variants": TWO, "epsilon": 2}, "at most 1"),
        ("ucb", {"variants": TWO, "width": -1}, "width is a number from 0 up"),
        ("hedge", {"variants": TWO, "memory": True}, "memory is a number"),
        ("best", {"variants": TWO, "dwell": 30_000}, "dwell from 0 to rest"),
        ("best", {"variants": TWO, "alpha": "small"}, "policy best"),
        ("linucb", {"variants": TWO, "context": {}}, "needs a context"),
        ("linucb", {"variants": TWO, "context": {"x": [3, 1]}}, "a range or a list of texts"),
    ],
)
def test_a_wrong_option_is_refused_by_a_sentence(name: str, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SpecError, match=sentence):
        plugins.make(Policy, Use(name, options))
