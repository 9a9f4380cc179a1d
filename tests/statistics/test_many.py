"""Many variants against one champion (V8)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivals.statistics.betting import log_wealth
from rivals.statistics.many import e_bh, e_bonferroni

ALPHA, CANDIDATES = 0.05, 5


def test_five_equal_candidates_are_rarely_called_harmful() -> None:
    """V8: 1,000 runs, 600 failures over six equal arms, a look at every one; uncorrected alarms are shown beside it.

    A failure of the pair falls on either with one half; the bet on it is ``FailureArm``'s. Reference: .5 %, 5.5 %.
    """
    rng = np.random.default_rng(1)
    whose = rng.integers(0, CANDIDATES + 1, (1_000, 600))
    highest = np.stack(
        [log_wealth((whose == v) * 0.5 - (whose == 0) * 0.5, 0.5, side=1).max(1) for v in range(1, CANDIDATES + 1)], 1
    )
    ours = np.mean([e_bonferroni(row.tolist(), ALPHA).any() for row in highest])
    naive = np.mean((highest >= math.log(1 / ALPHA)).any(1))
    print(f"V8: e-Bonferroni {ours:.3f}, uncorrected {naive:.3f}")
    assert ours <= 0.05 < naive


def test_a_candidate_that_fails_twice_as_often_is_found_among_five() -> None:
    """200 runs of 1,500 failures: found in 95 of 100, and no other is."""
    rng = np.random.default_rng(2)
    whose = rng.choice(CANDIDATES + 1, (200, 1_500), p=np.array([1, 2, 1, 1, 1, 1]) / 7)
    highest = np.stack(
        [log_wealth((whose == v) * 0.5 - (whose == 0) * 0.5, 0.5, side=1).max(1) for v in range(1, CANDIDATES + 1)], 1
    )
    calls = np.array([e_bonferroni(row.tolist(), ALPHA) for row in highest])
    assert calls[:, 0].mean() >= 0.95
    assert calls[:, 1:].any(1).mean() <= 0.05


def test_e_bh_keeps_the_share_of_false_ones() -> None:
    """2,000 runs of 20 e-values, half of them of true nulls: a false share of 5 % at most; more finds than Bonferroni."""
    rng = np.random.default_rng(3)
    z = rng.normal(size=(2_000, 20))
    z[:, 10:] += 4.0
    logs = 3.0 * z - 4.5  # the likelihood ratio of a mean of 3 against 0
    found = np.array([e_bh(row.tolist(), ALPHA) for row in logs])
    false = found[:, :10].sum(1) / np.maximum(found.sum(1), 1)
    assert false.mean() <= ALPHA
    assert found.sum() > sum(e_bonferroni(row.tolist(), ALPHA).sum() for row in logs)


@given(st.lists(st.floats(-20, 20), max_size=12), st.floats(0.001, 0.5))
def test_e_bh_reports_the_largest_and_all_that_bonferroni_does(logs: list[float], alpha: float) -> None:
    found, sure = e_bh(logs, alpha), e_bonferroni(logs, alpha)
    assert (found | ~sure).all()
    if found.any() and not found.all():
        values = np.asarray(logs)
        assert values[found].min() > values[~found].max()


@pytest.mark.parametrize("rule", [e_bonferroni, e_bh])
def test_of_nothing_nothing_is_found(rule: object) -> None:
    assert len(rule([], 0.05)) == 0  # type: ignore[operator]
