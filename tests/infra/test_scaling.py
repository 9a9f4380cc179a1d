"""The planner never gives a variant more than it bears, more than was asked, or less where it bears more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivals.infra.scaling import Capacity, Point, Steady, allowed, follow, knee, plan, replicas

shares = st.floats(0, 1)
loads = st.floats(0, 1e6)
capacities = st.builds(Capacity, st.floats(0.01, 1e5), st.integers(0, 100))
headrooms = st.floats(0.05, 1)


@given(shares, loads, capacities, headrooms)
def test_a_share_is_never_more_than_asked_nor_than_what_is_ready_bears(
    asked: float, load: float, capacity: Capacity, headroom: float
) -> None:
    share = allowed(asked, load, capacity, headroom)
    assert 0 <= share <= asked
    assert share * load <= capacity.bears(headroom) * (1 + 1e-9)


@given(shares, shares, loads, loads, capacities)
def test_more_capacity_or_less_load_never_takes_a_share_away(
    asked: float, less: float, load: float, more: float, capacity: Capacity
) -> None:
    light, heavy = sorted((load, more))
    share = allowed(asked, heavy, capacity)
    assert share <= allowed(asked, light, capacity) + 1e-12
    assert share <= allowed(asked, heavy, Capacity(capacity.rate, capacity.ready + 1)) + 1e-12
    assert allowed(min(asked, less), heavy, capacity) <= share + 1e-12


def test_who_was_never_measured_or_has_nothing_ready_gets_nothing() -> None:
    assert allowed(0.5, 100, None) == 0
    assert allowed(0.5, 0, Capacity(100, 0)) == 0


@given(shares, loads, st.none() | capacities, st.none() | capacities, st.booleans())
def test_a_plan_adds_up_to_one_and_outruns_no_challenger(
    asked: float, load: float, first: Capacity | None, second: Capacity | None, leaves: bool
) -> None:
    known = {name: one for name, one in (("champion", first), ("challenger", second)) if one}
    found = plan("champion", {"challenger": asked}, load, known, leaving="former" if leaves else "")
    assert sum(found.values()) == pytest.approx(1)
    assert all(share >= 0 for share in found.values())
    assert found.get("challenger", 0) <= allowed(asked, load, second)
    if leaves:
        assert found["champion"] * load <= (first.bears() if first else 0) * (1 + 1e-9)


@given(loads, st.floats(1, 1e5), st.integers(1, 5), st.integers(5, 10_000))
def test_as_many_replicas_as_the_load_needs_and_no_more(load: float, rate: float, least: int, most: int) -> None:
    many = replicas(load, rate, least, most)
    assert least <= many <= most
    if many < most:
        assert load <= Capacity(rate, many).bears() * (1 + 1e-6) + 1e-6
    if many > least:
        assert load >= Capacity(rate, many - 1).bears() * (1 - 1e-6)


def test_the_knee_is_the_last_point_that_more_clients_still_pay_for() -> None:
    points = [Point(1, 100, 0.01), Point(2, 190, 0.011), Point(4, 300, 0.014), Point(8, 310, 0.028)]
    assert knee(points) == points[2]
    assert knee(points, p99=0.012) == points[1]
    assert knee(points, p99=0.001) is None


def test_a_signal_moves_replicas_in_proportion_up_at_once_and_down_with_patience() -> None:
    assert follow(20, 10, 2, 1, 10) == 4
    assert follow(10.5, 10, 2, 1, 10) == 2
    assert follow(1, 10, 5, 1, 10) == 1
    steady = Steady(60)
    assert [steady(at, wanted) for at, wanted in ((0, 1), (10, 4), (30, 1), (69, 1), (70, 1))] == [1, 4, 4, 4, 1]
