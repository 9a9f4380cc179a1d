"""Objectives on few requests: seldom a false alarm, soon a true one, whatever way the requests come in."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivals.metrics import series
from rivals.observe.objectives import Detector, asked, look

A_REQUEST = "rivals_requests_total"


def run_length(rng: random.Random, rate: float, limit: float, level: float, most: int, batch: int = 1) -> int:
    """Requests until the evidence reaches the level, at most so many."""
    detector, good, bad = look(None, 0, 0, limit), 0, 0
    while good + bad < most and detector.evidence < level:
        for _ in range(rng.randint(1, batch)):
            failed = rng.random() < rate
            good, bad = good + (not failed), bad + failed
        detector = look(detector, good, bad, limit)
    return good + bad


@pytest.mark.parametrize("batch", [1, 10])
def test_an_objective_just_kept_alarms_at_most_once_in_so_many_requests(batch: int) -> None:
    """Mean run length over 300 runs at the limit itself, level 200; its standard error is below 6 % of it."""
    rng = random.Random(20261127)
    found = [run_length(rng, 0.05, 0.05, math.log(200), 2_000, batch) for _ in range(300)]
    assert statistics.mean(found) >= 200


def test_a_missed_objective_is_noticed_within_a_day_of_little_traffic() -> None:
    """At one false page in 720,000 requests: medians over 40 runs, 0.1 % allowed."""
    rng = random.Random(7)

    def median(rate: float, before: int = 0) -> float:
        return statistics.median(run_length(rng, rate, 0.001, math.log(720_000), 20_000) for _ in range(40)) - before

    assert median(1.0) <= 5
    assert median(0.1) <= 60
    assert median(0.01) <= 1_500


def test_it_recovers_when_all_is_well_again() -> None:
    detector = look(look(None, 0, 0, 0.01), 0, 10, 0.01)
    assert detector.evidence > 20
    assert look(detector, 10_000, 10, 0.01).evidence < 1


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), max_size=20))
def test_whatever_comes_in_the_evidence_is_a_number(steps: list[tuple[int, int]]) -> None:
    detector: Detector | None = None
    for good, bad in steps:  # totals that may fall: somebody deleted the counters
        detector = look(detector, good, bad, 0.001)
        assert math.isfinite(detector.evidence)


def test_a_look_at_no_requests_says_nothing() -> None:
    detector = look(look(None, 5, 0, 0.01), 50, 1, 0.01)
    assert look(detector, 50, 1, 0.01) is detector


def test_what_the_champion_answered_instead_is_one_request() -> None:
    of = {"endpoint": "e"}
    took = "rivals_request_duration_seconds_bucket"
    counted = {
        series(A_REQUEST, **of, variant="a", outcome="ok"): 90.0,
        series(A_REQUEST, **of, variant="b", outcome="error"): 10.0,
        series("rivals_degraded_total", **of, variant="b", reason="stand_in"): 8.0,
        series("rivals_degraded_total", **of, variant="a", reason="unrecorded"): 5.0,
        series("rivals_shed_total", **of, reason="busy"): 3.0,
        series("rivals_shed_total", **of, reason="shadow"): 50.0,
        series(took, **of, variant="a", le="0.1"): 95.0,
        series(took, **of, variant="a", le="0.25"): 3.0,
        series(took, **of, variant="a", le="+Inf"): 2.0,
    }
    assert asked(counted, 0.1) == {"availability": (90.0, 5.0), "latency": (95.0, 5.0)}
