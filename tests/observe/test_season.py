"""Whether the season changed: inputs of the last weeks against what was learned from."""

from __future__ import annotations

from typing import Any

import numpy as np

from rivals.observe.season import LEAST, moved, psi


def rows(many: int, seed: int, heat: float = 0.0, carrier: str = "abc") -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    heats = np.where(rng.random(many) < 0.05, np.nan, rng.normal(heat, 1, many))
    carriers = rng.choice(list(carrier), many).astype(object)
    carriers[:1] = None
    return {"heat": heats, "carrier": carriers, "flat": np.ones(many)}


def test_a_column_that_moved_in_every_stretch_is_named_and_the_others_are_not() -> None:
    found = moved(rows(5_000, 0), [rows(2_000, 1, heat=1), rows(2_000, 2, heat=1.5)], 7.0)
    assert [one.column for one in found if one.drifted] == ["heat"]
    assert found[0].since == 7.0
    assert found[0].effect > 1


def test_one_odd_week_is_no_season() -> None:
    assert not any(one.drifted for one in moved(rows(5_000, 0), [rows(2_000, 1, heat=3), rows(2_000, 2)], 0.0))


def test_new_levels_and_new_gaps_are_seen() -> None:
    later = [rows(2_000, seed, carrier="bcd") | {"flat": np.full(2_000, np.nan)} for seed in (1, 2)]
    assert {one.column for one in moved(rows(5_000, 0), later, 0.0) if one.drifted} == {"carrier", "flat"}


def test_rows_as_they_were_raise_no_alarm() -> None:
    # The index of a column is below 0.01 by chance here; 200 looks at three columns.
    for seed in range(200):
        few = [rows(300, seed * 3 + 1), rows(300, seed * 3 + 2)]
        assert not any(one.drifted for one in moved(rows(1_000, seed * 3), few, 0.0))


def test_few_rows_say_nothing() -> None:
    assert moved(rows(5_000, 0), [rows(LEAST - 1, 1, heat=9)] * 2, 0.0) == []
    assert psi(np.array([5.0, 5.0]), np.array([5.0, 5.0])) == 0.0
