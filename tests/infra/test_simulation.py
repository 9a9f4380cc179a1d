"""A replay of traffic counts every request once, and what a policy can bear it does not shed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivals.infra.simulation import Policy, simulate
from rivals.placement import Scale


def even(rate: float, seconds: float, start: float = 0.0) -> list[float]:
    return [start + one / rate for one in range(round(rate * seconds))]


@settings(max_examples=50)
@given(
    st.lists(st.floats(0, 2000), min_size=1, max_size=300).map(sorted),
    st.sampled_from(["cpu", "in_flight", "p99_ms"]),
    st.integers(1, 3),
    st.integers(0, 5),
    st.floats(0.5, 50),
)
def test_replicas_stay_within_bounds_and_nobody_is_quicker_than_a_replica(
    arrivals: list[float], signal: str, least: int, more: int, rate: float
) -> None:
    policy = Policy(Scale(least, least + more, signal, 50.0), rate)  # type: ignore[arg-type]
    found = simulate(arrivals, policy)
    assert found.requests == len(arrivals)
    assert 0 <= found.shed < len(arrivals)
    assert found.p50 >= 1 / rate - 1e-6
    assert found.p99 >= found.p50
    assert all(least <= many <= least + more for _, many in found.moves)
    span = arrivals[-1] - arrivals[0]
    assert least * span - 1e-6 <= found.hours * 3600 <= (least + more) * span + 1e-6


def test_a_spike_is_shed_by_a_policy_that_waits_for_it_and_borne_by_one_that_planned_for_it() -> None:
    arrivals = even(8, 300) + even(40, 60, 300) + even(8, 300, 360)
    late = Policy(Scale(1, 10, "in_flight", 1.0), rate=10, start=60, queue=50)
    planned = Policy(Scale(1, 10, "in_flight", 1.0), rate=10, start=60, queue=50, peak=40)
    without, with_ = simulate(arrivals, late), simulate(arrivals, planned)
    assert without.shed > 500
    assert with_.shed == 0
    assert with_.p99 == pytest.approx(0.1, abs=0.01)
    assert with_.hours < without.hours  # all that came too late has to be had until patience ends


def test_replicas_come_after_their_start_and_go_after_patience() -> None:
    arrivals = even(30, 120) + even(1, 900, 120)
    found = simulate(arrivals, Policy(Scale(1, 4, "cpu", 70.0), rate=10, start=10, look=15, patience=300, queue=10_000))
    assert found.most == 4
    assert found.moves[-1][1] == 1
    assert found.moves[-1][0] > 120 + 300 - 15
