"""Split: sticky, weighted, honest about its propensities."""

from __future__ import annotations

from random import Random

import pytest

from rivals import plugins
from rivals.errors import RequestError
from rivals.protocols import Policy
from rivals.serve.policies.split import Split
from rivals.statistics.assignment import slot, slots
from rivals.values import Arm, Columns, Request, RoutingTable, Shadow, Use

TABLE = RoutingTable(
    "toy", 1, "one", (Arm("one", "1", 0.7), Arm("two", "2", 0.3)), "salt", slots([0.7, 0.3]), (Shadow("three", "3"),)
)


def request(unit: str, pin: str = "") -> Request:
    return Request("r", Columns({}, 1), unit, 0.0, pin)


def test_split_keeps_a_unit_on_its_variant_whoever_asks_and_whatever_the_chance() -> None:
    for unit in map(str, range(200)):
        chosen = {Split().choose(TABLE, request(unit), Random(seed)).variant for seed in range(3)}
        assert chosen == {("one", "two")[slot("salt", unit) >= 7_000]}


def test_the_propensities_are_the_shares_of_the_slots() -> None:
    assert Split().choose(TABLE, request("u"), Random(0)).propensity == {"one": 0.7, "two": 0.3}


def test_a_new_table_is_seen_at_once() -> None:
    split = Split()
    split.choose(TABLE, request("u"), Random(0))
    other = RoutingTable("toy", 2, "two", (Arm("two", "2", 1.0),), "salt", slots([1.0]))
    assert split.choose(other, request("u"), Random(0)).propensity == {"two": 1.0}


@pytest.mark.parametrize("pin", ["one", "two", "three"])
def test_a_pin_is_honoured_for_arms_and_shadows(pin: str) -> None:
    choice = Split().choose(TABLE, request("u", pin), Random(0))
    assert (choice.variant, choice.propensity) == (pin, {pin: 1.0})


def test_an_unknown_pin_names_who_there_is() -> None:
    with pytest.raises(RequestError, match=r"Did you mean 'three'\? It has: one, two, three") as caught:
        Split().choose(TABLE, request("u", "thre"), Random(0))
    assert caught.value.status == 404


def test_it_is_found_by_its_name() -> None:
    assert isinstance(plugins.make(Policy, Use("split")), Split)
