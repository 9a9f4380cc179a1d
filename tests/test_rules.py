from __future__ import annotations

import pytest

from rivals.errors import SpecError
from rivals.rules import TIME, beside, is_beside, rules
from rivals.values import Columns, Request

RULES = [
    {"when": [{"column": "x", "above": 1}, {"header": "X-Tier", "is": "gold"}], "to": "a"},
    {"when": {"during": "mon-fri 09:00-17:00"}, "to": "b"},
]
MONDAY = 1_700_474_400.0  # 2023-11-20 10:00 UTC


def test_a_rule_holds_of_a_row_as_it_does_of_a_request_of_that_row() -> None:
    found = rules(RULES, "test", "a")
    for x in (0, 2):
        for tier in ("gold", "", "iron"):
            for time in (MONDAY, MONDAY + 12 * 3600):
                rows = Columns({"x": [x]}, 1)
                request = Request("r", rows, "u", time, headers={"x-tier": tier})
                wanted = [one.column for rule in found for one in rule.conditions if is_beside(one.column)]
                told = beside(rows, wanted, request.headers, time)
                for rule in found:
                    assert rule.rows(told).tolist() == [rule.holds(request)]


def test_what_nobody_knows_holds_nowhere() -> None:
    found = rules(RULES, "test", "a")
    assert [rule.rows(Columns({"x": [5, 5]}, 2)).tolist() for rule in found] == [[False, False]] * 2
    assert is_beside(TIME)
    assert not is_beside("x")


def test_mistakes_name_the_rule_and_a_way_out() -> None:
    with pytest.raises(SpecError, match="combiner switch needs rules, as rules: "):
        rules([], "combiner switch", "a")
    with pytest.raises(SpecError, match=r"combiner switch, rule 1: there is no 'abov'\. Did you mean 'above'"):
        rules([{"when": {"column": "x", "abov": 1}, "to": "a"}], "combiner switch", "a")
