"""Only what was randomised is compared: units, moments, shares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivals.decide.strata import (
    Log,
    block_gaps,
    by_unit,
    cells,
    concurrent,
    drawn_shares,
    pooled,
    sticky,
    stratified,
    width,
)


def log(rows: int = 1_000, seed: int = 0, drawn: float = 0.3, **columns: object) -> Log:
    rng = np.random.default_rng(seed)
    return Log(np.arange(rows) * 36.0, rng.random(rows) < drawn, **columns)  # type: ignore[arg-type]


def test_units_that_stay_are_sticky_and_units_that_are_drawn_again_are_not() -> None:
    rng = np.random.default_rng(1)
    unit = rng.integers(0, 100, 1_000)
    assert not sticky(log(unit=unit))
    assert sticky(Log(np.arange(1_000.0), unit % 3 == 0, unit=unit))
    assert not sticky(log(unit=np.arange(1_000)))
    assert not sticky(log())


def test_a_unit_becomes_one_row_with_its_first_time_any_failure_and_mean_loss() -> None:
    nan = np.nan
    one = by_unit(
        Log(
            np.array([1.0, 2, 3, 4]),
            np.array([True, False, True, False]),
            np.array([False, False, True, False]),
            np.array([0.2, nan, 0.4, nan]),
            np.array([5.0, nan, 9.0, nan]),
            np.array([7, 3, 7, 3]),
        )
    )
    assert one.time.tolist() == [1.0, 2.0]
    assert one.challenger.tolist() == [True, False]
    assert one.failed is not None
    assert one.failed.tolist() == [True, False]
    np.testing.assert_allclose(one.loss, [0.3, nan])
    np.testing.assert_allclose(one.arrived, [9.0, nan])


@given(st.integers(0, 10_000), st.floats(0.05, 0.95), st.floats(0.01, 0.9))
def test_drawn_shares_stay_between_none_and_all_and_use_up_the_stratum(seed: int, share: float, rate: float) -> None:
    failed = np.random.default_rng(seed + 1).random(200) < rate
    some = log(200, seed, share, failed=failed)
    found = drawn_shares(some, 3_600.0)
    assert len(found) == failed.sum()
    assert ((found >= 0) & (found <= 1)).all()
    # Whoever failed could have been drawn.
    assert (found[some.challenger[failed]] > 0).all()


def test_a_logged_share_is_taken_as_it_is() -> None:
    share = np.linspace(0.1, 0.5, 1_000)
    failed = np.arange(1_000) % 100 == 0
    assert drawn_shares(log(failed=failed, share=share), 3_600.0).tolist() == share[failed].tolist()


def test_strata_are_cut_by_time_revision_and_share() -> None:
    some = Log(np.array([0.0, 1, 5, 6]), np.array([True] * 4), revision=np.array([1, 1, 1, 2]))
    assert cells(some, 5.0).tolist() == [0, 0, 1, 2]


def test_concurrency_is_the_part_of_rows_with_both_variants_near() -> None:
    before_after = Log(np.arange(100.0), np.arange(100) >= 50)
    assert concurrent(before_after, 10.0) == 0.0
    assert concurrent(Log(np.arange(100.0), np.arange(100) % 2 == 0), 10.0) == 1.0


def test_a_block_is_the_longest_usual_one_of_which_there_are_twenty() -> None:
    assert width(Log(np.array([0.0, 30 * 86_400]), np.array([True, False]))) == 86_400
    assert width(Log(np.array([0.0, 86_400]), np.array([True, False]))) == 3_600
    assert width(Log(np.array([0.0, 2.0]), np.array([True, False]))) == pytest.approx(0.1)


def test_stratified_rates_are_blind_to_a_ramp_that_pooled_rates_see() -> None:
    rng = np.random.default_rng(2)
    ramp = np.repeat([0.05, 0.5], 20_000)
    challenger = rng.random(40_000) < ramp
    failed = rng.random(40_000) < np.repeat([0.04, 0.01], 20_000)
    code = np.repeat([0, 1], 20_000)
    assert pooled(challenger, failed).z < -5
    assert abs(stratified(challenger, failed, code).z) < 2.6  # 1 % of seeds
    assert pooled(challenger[:0], failed[:0]).value != pooled(challenger, failed).value  # NaN: nothing to pool


def test_block_gaps_compare_within_blocks_of_enough_labels() -> None:
    time = np.arange(100.0)
    challenger = np.arange(100) % 2 == 0
    loss = np.where(challenger, 0.3, 0.1) + np.floor(time / 10)
    loss[time < 20] = np.nan
    assert block_gaps(Log(time, challenger, loss=loss), 10.0, 5) == pytest.approx([0.2] * 8)
    assert block_gaps(Log(time, challenger, loss=loss), 10.0, 6) == []
