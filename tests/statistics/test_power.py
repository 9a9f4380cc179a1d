"""How long a decision is expected to take."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rivals.decide.certificate import Segment, drawn
from rivals.errors import DataError
from rivals.statistics.fleet import first, fleet
from rivals.statistics.power import expected_days, requests_for_harm, units_for_means, units_for_rates


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


# -- from rates alone --------------------------------------------------------------------------------


def test_a_fixed_sample_is_what_the_reference_says() -> None:
    assert units_for_rates(0.10, 0.12) == units_for_rates(0.12, 0.10) == 3_841
    assert units_for_rates(0.50, 0.55) == 1_565
    assert units_for_means(0.1, 1.0) == 1_570


def test_a_fixed_sample_has_the_power_it_was_asked_for() -> None:
    """10,000 tests of two rates: 80 % within 1.2 points, three standard errors."""
    n, rng = units_for_rates(0.2, 0.25), np.random.default_rng(7)
    first, second = rng.binomial(n, 0.2, 10_000) / n, rng.binomial(n, 0.25, 10_000) / n
    pooled = (first + second) / 2
    found = np.abs(second - first) > 1.959964 * np.sqrt(2 * pooled * (1 - pooled) / n)
    assert found.mean() == pytest.approx(0.8, abs=0.012)


@pytest.mark.parametrize("rates", [(0.1, 0.1), (-0.1, 0.5), (0.5, 1.1)])
def test_rates_that_cannot_be_or_do_not_differ_have_no_sample_size(rates: tuple[float, float]) -> None:
    with pytest.raises(DataError, match="two different rates"):
        units_for_rates(*rates)


def test_a_difference_of_nothing_has_no_sample_size() -> None:
    with pytest.raises(DataError, match="above 0"):
        units_for_means(0.0, 1.0)


@pytest.mark.parametrize(
    ("champion", "challenger", "share"), [(0.01, 0.02, 0.1), (0.01, 0.03, 0.1), (0.01, 0.02, 0.5), (0.5, 0.6, 0.5)]
)
def test_half_of_the_rollouts_find_harm_in_the_requests_expected_or_a_little_sooner(
    champion: float, challenger: float, share: float
) -> None:
    """The median of 200 simulated ones, whose standard error is about 0.06 of the expectation."""
    expected, rng = requests_for_harm(champion, challenger, share), np.random.default_rng(13)
    segment, taken = Segment(int(4 * expected), champion, share), []
    for events in drawn([segment], challenger / champion, 200, rng):
        asked = np.cumsum(events.good + events.ours + events.failed, axis=1)
        at = first(fleet(events, 0.5).harm, math.log(20))
        taken += [float(one[when]) if when < len(one) else math.inf for one, when in zip(asked, at, strict=True)]
    assert 0.7 < np.median(taken) / expected < 1


def test_there_is_no_harm_to_wait_for_where_there_is_none_to_see() -> None:
    assert requests_for_harm(0.02, 0.02, 0.5) == math.inf
    assert requests_for_harm(0.01, 0.0101, 0.1) == math.inf  # every stake is too bold for it
    assert requests_for_harm(0.0, 0.01, 0.5) < math.inf
