"""Match: rules first, the split for all others; hostile rules are refused by a sentence."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivals.errors import RequestError, SpecError
from rivals.protocols import Policy
from rivals.serve.policies.match import Match
from rivals.serve.policies.split import Split
from rivals.serve.question import alone, answering
from rivals.statistics.assignment import slots
from rivals.testing.run import Policies
from rivals.values import Arm, Columns, Request, RoutingTable, Shadow

ARMS = (Arm("one", "1", 0.7), Arm("two", "2", 0.3))
TABLE = RoutingTable("toy", 1, "one", ARMS, "salt", slots([0.7, 0.3]), named=(Arm("gold", "9", 0.0),))
SATURDAY = 1_700_308_800.0  # noon in UTC, 18 November 2023
GOLD = {"when": {"header": "X-Tier", "is": "gold"}, "to": "gold"}


def request(unit: str = "u", pin: str = "", time: float = 0.0, rows: int = 1, **values: Any) -> Request:
    headers = {name: value for name, value in values.items() if name.startswith("x-")}
    columns = {name: value for name, value in values.items() if name not in headers}
    return Request("r", Columns(columns, rows), unit, time, pin, headers=headers)


def chosen(rules: list[dict[str, Any]], one: Request, table: RoutingTable = TABLE) -> str:
    return Match(rules).choose(table, one, Random(0)).variant


class TestMatch(Policies):
    """What no rule takes is split, as honestly as the split does it."""

    def make(self) -> Policy:
        return Match([{"when": {"column": "vip", "is": 1}, "to": "two"}])


@pytest.mark.parametrize(
    ("when", "one", "holds"),
    [
        ({"header": "X-Tier", "is": "gold"}, {"x-tier": "gold"}, True),
        ({"header": "X-Tier", "is": ["gold", "silver"]}, {"x-tier": "silver"}, True),
        ({"header": "X-Tier", "is": "gold"}, {"x-tier": "Gold"}, False),
        ({"header": "X-Tier", "is": "gold"}, {}, False),
        ({"column": "carrier", "is": ["AA", "UA"]}, {"carrier": ["AA", "UA"], "rows": 2}, True),
        ({"column": "carrier", "is": ["AA", "UA"]}, {"carrier": ["AA", "B6"], "rows": 2}, False),
        ({"column": "desk", "is": 7}, {"desk": [7.0]}, True),
        ({"column": "distance", "above": 500}, {"distance": [500.0]}, False),
        ({"column": "distance", "above": 500, "below": 900}, {"distance": [501, 899], "rows": 2}, True),
        ({"column": "distance", "above": 500}, {"distance": [None]}, False),
        ({"column": "distance", "above": 500}, {"distance": ["far"]}, False),
        ({"during": "sat,sun 00:00-24:00"}, {"time": SATURDAY}, True),
        ({"during": "sat,sun 00:00-24:00"}, {"time": SATURDAY + 2 * 86_400}, False),
        ({"during": "sat 20:00-22:00 Asia/Tokyo"}, {"time": SATURDAY}, True),
        ([{"header": "X-Tier", "is": "gold"}, {"column": "desk", "is": 7}], {"x-tier": "gold", "desk": [7]}, True),
        ([{"header": "X-Tier", "is": "gold"}, {"column": "desk", "is": 7}], {"x-tier": "gold", "desk": [8]}, False),
    ],
)
def test_a_rule_holds_where_all_its_conditions_hold_in_every_row(when: Any, one: dict[str, Any], holds: bool) -> None:
    assert (chosen([{"when": when, "to": "gold"}], request(**one)) == "gold") is holds


def test_the_first_rule_that_holds_decides_with_certainty() -> None:
    rules = [{"when": {"column": "desk", "is": 7}, "to": "two"}, GOLD]
    choice = Match(rules).choose(TABLE, request(desk=[7], **{"x-tier": "gold"}), Random(0))
    assert (choice.variant, choice.propensity) == ("two", {"one": 0.0, "two": 1.0, "gold": 0.0})


@given(st.text(max_size=20))
def test_what_no_rule_takes_goes_where_the_split_sends_it(unit: str) -> None:
    assert Match([GOLD]).choose(TABLE, request(unit), Random(0)) == Split().choose(TABLE, request(unit), Random(1))


def test_a_rule_whose_variant_does_not_answer_is_passed_over() -> None:
    gold = request(**{"x-tier": "gold"})
    assert chosen([GOLD], gold, RoutingTable("toy", 1, "one", ARMS[:1], "salt", slots([1.0]))) == "one"


def test_a_rule_rests_while_another_bundle_of_its_name_is_rolled_out() -> None:
    """No client meets a new version by a rule: the rollout says who does."""
    gold = request(**{"x-tier": "gold"})
    shadow = RoutingTable("toy", 1, "one", ARMS[:1], "s", slots([1.0]), (Shadow("gold", "new"),), named=TABLE.named)
    canary = replace(TABLE, arms=(ARMS[0], Arm("gold", "new", 0.01)), slots=slots([1.0, 0.0]))
    assert (answering(shadow), chosen([GOLD], gold, shadow)) == ({"one": "1"}, "one")
    assert (answering(canary), chosen([GOLD], gold, canary)) == ({"one": "1", "gold": "new"}, "one")


def test_a_rule_goes_on_while_its_own_bundle_is_rolled_out_to_others() -> None:
    gold = request(**{"x-tier": "gold"})
    shadow = replace(TABLE, shadows=(Shadow("gold", "9"),))
    canary = replace(TABLE, arms=(ARMS[0], Arm("gold", "9", 0.01)), slots=slots([1.0, 0.0]))
    assert [chosen([GOLD], gold, table) for table in (shadow, canary, alone(canary))] == ["gold"] * 3


def test_rules_hold_without_a_lease_and_arms_do_not() -> None:
    by_rule = [GOLD, {"when": {"column": "desk", "is": 7}, "to": "two"}]
    assert chosen(by_rule, request(**{"x-tier": "gold"}), alone(TABLE)) == "gold"
    assert chosen(by_rule, request(desk=[7]), alone(TABLE)) == "one"


def test_a_pin_goes_before_every_rule_and_may_name_a_rules_variant() -> None:
    assert chosen([GOLD], request(pin="two", **{"x-tier": "gold"})) == "two"
    assert chosen([GOLD], request(pin="gold")) == "gold"
    with pytest.raises(RequestError, match=r"no variant 'golf'\. Did you mean 'gold'"):
        chosen([GOLD], request(pin="golf"))


def test_it_says_what_it_needs() -> None:
    policy = Match([GOLD, {"when": [{"column": "desk", "is": 7}, {"during": "mon 00:00-12:00"}], "to": "two"}])
    assert (policy.headers, policy.columns, policy.variants) == ({"x-tier"}, {"desk"}, {"gold", "two"})


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ([], "needs rules"),
        ("gold", "needs rules"),
        ([{"to": "gold"}], "rule 1: a rule is 'when' and 'to'"),
        ([GOLD, {"when": [], "to": "gold"}], "rule 2: 'when' is empty"),
        ([{"when": {"header": "X", "column": "y", "is": 1}, "to": "gold"}], "looks at one of header, column, during"),
        ([{"when": {"is": 1}, "to": "gold"}], "looks at one of"),
        ([{"when": "gold", "to": "gold"}], "looks at one of"),
        ([{"when": {"header": 7, "is": 1}, "to": "gold"}], "looks at one of"),
        ([{"when": {"header": "X"}, "to": "gold"}], "a header is asked 'is'"),
        ([{"when": {"header": "X", "above": 1}, "to": "gold"}], "a header is asked 'is'"),
        ([{"when": {"column": "x", "above": "1"}, "to": "gold"}], "'above' and 'below' a number"),
        ([{"when": {"column": "x", "above": 1, "is": 2}, "to": "gold"}], "a column 'is', or"),
        ([{"when": {"column": "x", "abov": 1}, "to": "gold"}], "there is no 'abov'. Did you mean 'above'"),
        ([{"when": {"column": "x", "is": [[1]]}, "to": "gold"}], "texts and numbers"),
        ([{"when": {"during": "noon"}, "to": "gold"}], "'noon' is no window"),
        ([{"when": {"during": "mon 00:00-12:00", "is": 1}, "to": "gold"}], "'during' stands alone"),
    ],
)
def test_a_wrong_rule_is_refused_by_a_sentence(rules: Any, sentence: str) -> None:
    with pytest.raises(SpecError, match=sentence):
        Match(rules)
