"""How long a decision is expected to take."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rivals.statistics.power import expected_days


def days(differences: object, **options: float) -> float:
    return expected_days(np.asarray(differences, float).tolist(), np.random.default_rng(1), **options)  # type: ignore[arg-type]


PAST = np.random.default_rng(3).normal(-0.01, 0.01, 24)


def test_a_larger_difference_is_decided_sooner() -> None:
    assert days(PAST - 0.01) < days(PAST) < days(PAST + 0.005)


def test_what_makes_no_difference_is_never_decided() -> None:
    assert days(np.zeros(20)) == math.inf
    assert days([-0.01]) == days([]) == math.inf


def test_delay_and_climb_are_added_to_a_promotion_and_only_the_delay_to_a_rollback() -> None:
    day = 86_400.0
    assert days(PAST, label_delay=2 * day, climb=4 * day) == pytest.approx(days(PAST) + 6)
    worse, bar = -PAST, {"proof": 3.0, "against": 3.0}
    assert days(worse, **bar, label_delay=2 * day, climb=4 * day) == pytest.approx(days(worse, **bar) + 2)


def test_blocks_of_another_length_scale_the_days() -> None:
    assert days(PAST, block=6 * 3_600.0) == pytest.approx(days(PAST) / 4)


def test_the_forecast_is_the_median_of_what_happens() -> None:
    """101 simulated decisions against 101 others from the distribution itself: within a third, for this seed."""
    from rivals.statistics.eprocess import BlockBets, on_block

    rng = np.random.default_rng(5)
    taken = []
    for _ in range(101):
        bets, blocks = BlockBets(), 0
        while bets.better.highest < math.log(20):
            bets, blocks = on_block(bets, float(rng.normal(-0.01, 0.01)), 0.0), blocks + 1
        taken.append(blocks)
    past = rng.normal(-0.01, 0.01, 200)
    assert days(past) == pytest.approx(float(np.median(taken)), rel=0.33)
