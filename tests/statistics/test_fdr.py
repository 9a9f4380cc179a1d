"""The error budget over a stream of tests."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivals.errors import DataError
from rivals.statistics.fdr import Budget, gamma

ALPHA = 0.05


def test_the_parts_of_the_budget_add_up_to_one_at_most() -> None:
    total = math.fsum(gamma(test) for test in range(1, 100_001))
    assert 0.99 < total < 1.0
    with pytest.raises(DataError, match="counted from 1"):
        gamma(0)


@given(st.lists(st.booleans(), max_size=200))
@settings(max_examples=100)
def test_a_level_never_exceeds_alpha_and_what_was_spent_never_exceeds_the_budget(outcomes: list[bool]) -> None:
    budget, spent = Budget(), 0.0
    for discovered in outcomes:
        level = budget.level(ALPHA)
        assert 0 < level <= ALPHA
        spent += level / (budget.discoveries + 1)
        budget = budget.begun()
        budget = budget.discovered() if discovered else budget
    assert spent <= ALPHA


def stream(rng: np.random.Generator, nulls: float, drift: float, shared: float, tests: int = 40) -> tuple[float, int]:
    """False discovery proportion and true discoveries of one stream of e-processes with overlapping beginnings."""
    budget, false, true = Budget(), 0, 0
    weather = rng.normal(size=400)  # common to all tests: they depend on one another
    for _ in range(tests):
        level = budget.level(ALPHA)
        budget = budget.begun()
        is_null = rng.random() < nulls
        noise = math.sqrt(shared) * weather + math.sqrt(1 - shared) * rng.normal(size=400)
        log_e = np.cumsum(drift * (noise + (0.0 if is_null else drift)) - drift**2 / 2)
        if log_e.max() >= math.log(1 / level):
            budget = budget.discovered()
            false, true = false + is_null, true + (not is_null)
    return false / max(1, false + true), true


@pytest.mark.parametrize("shared", [0.0, 0.9], ids=["independent", "one weather"])
@pytest.mark.parametrize("nulls", [0.5, 0.9, 1.0])
def test_few_of_the_discoveries_are_false_however_the_tests_depend(nulls: float, shared: float) -> None:
    rng = np.random.default_rng(11)
    runs = [stream(rng, nulls, 0.2, shared) for _ in range(400)]
    rate = float(np.mean([proportion for proportion, _ in runs]))
    print(f"nulls {nulls:.0%}, shared {shared}: false discovery rate {rate:.3f}, asked {ALPHA}")
    # Three standard errors above 5 %: false alarm below 0.2 %.
    assert rate <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / 400)
    if nulls == 0.5:
        assert np.mean([true for _, true in runs]) > 10  # of 20
