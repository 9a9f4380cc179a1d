"""Only what was scored on the same rows is ranked together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rivals.build.bank import Bank
from rivals.errors import DataError
from rivals.flows.compare import same_rows

BANK = Bank(
    ids=np.array(["1", "2"], object), fold=np.array([0, 0]), target=np.array([0, 1]), outputs=np.full((2, 2), 0.5),
    task="binary", labels=(0, 1),
)  # fmt: skip
OTHER = replace(BANK, ids=np.array(["1", "3"], object))


def test_variants_scored_on_other_rows_are_named_and_not_ranked() -> None:
    banks, sets = [BANK, OTHER, BANK], ["main", "winter", "more"]
    chosen, apart = same_rows(["a", "b", "c"], banks, sets)
    assert chosen == [0, 2]
    assert apart == ("b: scored on other rows (data set winter), so not ranked here",)
    assert same_rows(["a", "b", "c"], banks, sets, champion="b")[0] == [1]


def test_without_ids_nobody_knows_that_rows_of_two_sets_are_the_same() -> None:
    chosen, apart = same_rows(["a", "b"], [BANK, BANK], ["main", "winter"], by_id=False)
    assert chosen == [0]
    assert "winter" in apart[0]


def test_one_set_with_two_kinds_of_rows_is_a_mistake() -> None:
    with pytest.raises(DataError, match="'b' was built on other rows than 'a'; `rivals train` again"):
        same_rows(["a", "b"], [BANK, OTHER], ["main", "main"])
