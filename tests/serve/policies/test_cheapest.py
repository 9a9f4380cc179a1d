"""Cheapest: the least of the costs that may answer now; a rollout's split goes before it."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from rivals.errors import SpecError
from rivals.protocols import Policy
from rivals.serve.policies.cheapest import Cheapest
from rivals.statistics.assignment import slots
from rivals.testing.run import Policies
from rivals.values import Arm, Columns, Request, RoutingTable, Shadow

NAMED = (Arm("small", "5", 0.0), Arm("tiny", "6", 0.0))
TABLE = RoutingTable("toy", 1, "big", (Arm("big", "1", 1.0),), "salt", slots([1.0]), named=NAMED)
COST = {"big": 9, "small": 2, "tiny": 1.5}


def chosen(table: RoutingTable, cost: Any = COST, pin: str = "") -> str:
    return Cheapest(cost).choose(table, Request("r", Columns({}, 1), "u", 0.0, pin), Random(0)).variant


class TestCheapest(Policies):
    """During a rollout it splits, as honestly as the split does it."""

    def make(self) -> Policy:
        return Cheapest({"one": 1, "two": 2})


def test_the_cheapest_answers_and_was_certain_to() -> None:
    choice = Cheapest(COST).choose(TABLE, Request("r", Columns({}, 1), "u", 0.0), Random(0))
    assert choice.variant == "tiny"
    assert choice.propensity == {"big": 0.0, "small": 0.0, "tiny": 1.0}


def test_who_may_not_answer_just_now_is_passed_over() -> None:
    assert chosen(replace(TABLE, shadows=(Shadow("tiny", "another bundle"),))) == "small"
    assert chosen(replace(TABLE, named=())) == "big"


def test_equals_go_by_name_and_strangers_leave_it_to_the_split() -> None:
    assert chosen(TABLE, {"tiny": 1, "small": 1}) == "small"
    assert chosen(TABLE, {"gone": 1}) == "big"


def test_a_rollout_and_a_pin_go_before_the_cost() -> None:
    arms = (Arm("big", "1", 0.0), Arm("new", "2", 1.0))
    assert chosen(replace(TABLE, arms=arms, slots=slots([0.0, 1.0]))) == "new"
    assert chosen(TABLE, pin="small") == "small"


@pytest.mark.parametrize(
    "cost", [{}, [], None, "cheap", {"a": "1"}, {"a": -1}, {"a": float("nan")}, {"a": True}, {1: 1}]
)
def test_costs_that_are_none_are_refused(cost: Any) -> None:
    with pytest.raises(SpecError, match="policy cheapest needs what each variant costs"):
        Cheapest(cost)


def test_without_costs_it_asks_for_them_and_splits() -> None:
    policy = Cheapest()
    assert policy.asks_cost
    assert not policy.variants
    assert policy.choose(TABLE, Request("r", Columns({}, 1), "u", 0.0), Random(0)).variant == "big"
    assert not Cheapest(COST).asks_cost
