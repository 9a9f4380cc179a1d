"""Blocks against those before: whatever their distribution, alarms are as rare as promised."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rivals.statistics.conformal import Course, step

PROOF = math.log(200)


def alarms(values: np.ndarray, tolerance: float = 0.0) -> list[int]:
    course, found = Course(), []
    for at, value in enumerate(values.tolist()):
        course = step(course, value, float(at), tolerance)
        if course.log_e >= PROOF:
            found.append(at)
            course = Course(course.past)
    return found


@pytest.mark.parametrize("kind", ["normal", "heavy", "lumpy"])
def test_false_alarms_are_as_rare_as_promised(kind: str) -> None:
    """8,000 blocks of any distribution: at most one alarm in 200 is promised, 40; about 8 were measured."""
    rng = np.random.default_rng(0)
    draw = {"normal": rng.normal, "heavy": rng.standard_cauchy, "lumpy": lambda size: rng.integers(0, 3, size) * 1.0}
    assert sum(len(alarms(draw[kind](size=400))) for _ in range(20)) <= 40


@pytest.mark.parametrize(("rise", "days"), [(1.5, 25), (2, 12), (4, 8)])
def test_a_rise_is_found_in_days(rise: float, days: int) -> None:
    """After 25 blocks; medians of 60 runs. Measured: 10, 7 and 5 blocks."""
    delays = []
    for seed in range(60):
        values = np.random.default_rng(seed).normal(size=65) + rise * (np.arange(65) >= 25)
        delays.append(next((at - 24 for at in alarms(values) if at >= 25), 99))
    assert np.median(delays) <= days


def test_a_rise_that_is_tolerated_is_none() -> None:
    values = np.random.default_rng(1).normal(size=300) * 0.01 + 0.05 * (np.arange(300) >= 100)
    assert not alarms(values, tolerance=0.1)
    assert alarms(values, tolerance=0.01)


def test_it_knows_when_the_rise_began() -> None:
    course = Course()
    values = np.random.default_rng(2).normal(size=70) + 4.0 * (np.arange(70) >= 60)
    for at, value in enumerate(values.tolist()):
        course = step(course, value, float(at))
    assert course.began is not None
    assert abs(course.began - 60) <= 3
