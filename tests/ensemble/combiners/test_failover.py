from __future__ import annotations

import numpy as np
import pytest

from rivals.ensemble.combiners.failover import Failover
from rivals.ensemble.family import blend
from rivals.errors import SpecError
from rivals.values import Use
from tests.ensemble.banked import banked


def test_members_are_tried_as_they_are_listed() -> None:
    lesson, fold = banked(40)
    found = blend(Use("failover"), lesson, fold)
    assert found.combiner.options["order"] == ["left", "right", "noise"]
    np.testing.assert_array_equal(found.outputs, lesson.answers["left"])


def test_the_next_one_is_asked_where_the_first_cannot_be() -> None:
    one = Failover(["b", "a"])
    assert one.ask(["a", "b"], {}) == ["b"]
    assert one.ask(["a"], {}) == ["a"]
    assert one.ask(["a", "b"], {"b": np.zeros((1, 2))}) == []


def test_an_order_that_leaves_out_a_member_is_refused() -> None:
    with pytest.raises(SpecError, match="The order of the failover leaves out its member 'a': b"):
        Failover(["b"]).ask(["a", "b"], {})
