from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivals.ensemble.combiners.switch import Switch
from rivals.ensemble.together import together
from rivals.errors import SpecError
from rivals.values import Columns

RULES = [{"when": {"column": "x", "above": 0}, "to": "up"}, {"when": {"column": "x", "below": -5}, "to": "low"}]
MEMBERS = ("up", "low", "rest")


@settings(deadline=None)
@given(st.lists(st.floats(-10, 10), min_size=1, max_size=30), st.sets(st.sampled_from(MEMBERS), min_size=1))
def test_each_row_is_answered_by_the_first_rule_that_holds_and_whose_member_can(
    xs: list[float], able: set[str]
) -> None:
    rows = Columns({"x": xs}, len(xs))
    says = {name: np.full((len(xs), 1), float(place)) for place, name in enumerate(MEMBERS)}
    said = together(Switch(RULES, "rest"), {name: lambda name=name: says[name] for name in able}, rows)  # type: ignore[misc]
    for x, got in zip(xs, said[:, 0], strict=True):
        wishes = [*(["up"] if x > 0 else []), *(["low"] if x < -5 else []), "rest", *sorted(able)]
        assert MEMBERS[int(got)] == next(name for name in wishes if name in able)


def test_a_member_without_rows_is_not_asked() -> None:
    combiner = Switch(RULES, "rest").look(Columns({"x": [1.0, 2.0]}, 2))
    assert {name: rows.tolist() for name, rows in combiner.ask(list(MEMBERS), {}).items()} == {"up": [True, True]}  # type: ignore[union-attr]


def test_otherwise_is_a_member() -> None:
    with pytest.raises(SpecError, match="'otherwise', not 3"):
        Switch(RULES, 3)  # type: ignore[arg-type]
    assert Switch(RULES, "rest").named == set(MEMBERS)
