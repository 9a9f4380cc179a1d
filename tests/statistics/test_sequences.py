"""Intervals in closed form: golden values, coverage under looking, and the start gate (V1, trap 5)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivals.errors import DataError
from rivals.statistics.betting import scores
from rivals.statistics.mixtures import beta_binomial
from rivals.statistics.sequences import asymptotic_radius, asymptotic_sequence, rate_interval

CLOSE = 2e-5


@pytest.mark.parametrize(
    ("events", "units", "planned", "low", "high"),
    [
        (700, 1_000, 100, 0.651629, 0.745949),
        (15, 50, 50, 0.129556, 0.511896),
        (5, 50, 50, 0.013021, 0.269264),
        (1, 50, 50, 0.0, 0.13489),
        (100, 200, 1, 0.328923, 0.671076),
    ],
)
def test_a_rate_has_its_golden_interval(events: int, units: int, planned: int, low: float, high: float) -> None:
    assert rate_interval(events, units, planned) == pytest.approx((low, high), abs=CLOSE)


@given(st.integers(1, 3_000), st.data())
@settings(max_examples=40, deadline=None)
def test_the_interval_of_a_rate_holds_the_rate_and_mirrors_the_other_outcome(units: int, data: st.DataObject) -> None:
    events = data.draw(st.integers(0, units))
    low, high = rate_interval(events, units)
    assert 0 <= low <= events / units <= high <= 1
    other_low, other_high = rate_interval(units - events, units)
    assert (1 - other_high, 1 - other_low) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize("rate", [0.5, 0.1, 0.01])
def test_a_rate_is_in_its_interval_at_every_look(rate: float) -> None:
    """At 5 %, 500 runs of 2,000 units, every tenth looked at; 7.3 % is what 99 of 100 seeds allow a true 5 %.

    The interval leaves the rate out just when the mixture at the rate is proof.
    """
    counts = np.cumsum(np.random.default_rng(1).random((500, 2_000)) < rate, 1)[:, ::10]
    mixture, times = beta_binomial(1_000 * rate * (1 - rate), rate, 1 - rate), np.arange(1, 2_001)[::10]
    log = np.vectorize(lambda count, time: mixture(count - rate * time, rate * (1 - rate) * time))
    assert (log(counts, times) >= math.log(20)).any(1).mean() <= 0.073


def test_nothing_is_known_of_a_rate_without_units() -> None:
    assert rate_interval(0, 0) == (0, 1)


def test_more_events_than_units_are_refused() -> None:
    with pytest.raises(DataError, match="3 events of 2 units"):
        rate_interval(3, 2)


# -- asymptotic --------------------------------------------------------------------------------------


def test_the_asymptotic_radius_has_its_golden_value() -> None:
    assert asymptotic_radius(1.0, 100, 100) == pytest.approx(0.3035209, abs=1e-7)


def test_it_is_155_times_as_wide_as_an_interval_looked_at_once() -> None:
    assert asymptotic_radius(1.0, 400, 400) * math.sqrt(400) / 1.959964 == pytest.approx(1.55, abs=0.005)


def watched(rate: float, share: float, units: int, runs: int, *, gated: bool) -> float:
    """Share of A/A runs in which the interval ever leaves zero out."""
    rng, alarms = np.random.default_rng(2), 0
    for _ in range(runs):
        challenger, failed = rng.random(units) < share, rng.random(units) < rate
        arms = [np.cumsum(~challenger), np.cumsum(challenger)]
        events = [np.cumsum(failed & ~challenger), np.cumsum(failed & challenger)]
        psi = scores(challenger, failed.astype(float), share)
        seen = (arms, events) if gated else ([np.full(units, 100)], [np.full(units, 25)])
        low, high = asymptotic_sequence(psi, *seen, planned=units / 4)
        alarms += bool(((low > 0) | (high < 0)).any())
    return alarms / runs


def test_without_its_gate_the_asymptotic_interval_cries_wolf_on_a_small_canary() -> None:
    """Trap 5: 10 % canary, 1 % failures. Reference: 22 % without the gate, 1.2 % at most with it; 200 runs each."""
    naive, ours = (watched(0.01, 0.1, 20_000, 200, gated=gated) for gated in (False, True))
    print(f"trap 5: without gate {naive:.3f}, with {ours:.3f}")
    assert naive > 0.1
    assert ours <= 0.086  # what 99 of 100 seeds allow a true 5 %


def test_equal_arms_are_rarely_told_apart_where_events_are_common() -> None:
    assert watched(0.5, 0.5, 4_000, 300, gated=True) <= 0.079  # what 99 of 100 seeds allow a true 5 %


def test_there_is_no_interval_before_the_gate() -> None:
    psi, units = np.ones(300), np.arange(1, 301)
    low, high = asymptotic_sequence(psi, [units, 2 * units], [units, units // 5], planned=200)
    assert np.isinf(low[:124]).all()
    assert np.isinf(high[:124]).all()
    assert np.isfinite([low[124:], high[124:]]).all()  # the second arm's 25th event
    low, _ = asymptotic_sequence(psi, [units, 2 * units], [units, units], planned=200)
    assert np.flatnonzero(np.isfinite(low))[0] == 99  # the first arm's 100th unit
