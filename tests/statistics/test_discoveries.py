from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from rivals.statistics.discoveries import adjusted, found

P = st.lists(st.floats(0, 1), min_size=1, max_size=40)


@given(P, st.booleans())
def test_q_values_are_scipys(p: list[float], dependent: bool) -> None:
    known = false_discovery_control(p, method="by" if dependent else "bh")
    assert adjusted(p, dependent=dependent) == pytest.approx(known, abs=1e-12)


@given(P)
def test_no_q_value_is_below_its_p_value_and_they_keep_the_order(p: list[float]) -> None:
    q = adjusted(p)
    assert (q >= np.array(p) - 1e-12).all()
    assert (np.diff(q[np.argsort(p, kind="stable")]) >= -1e-12).all()


def test_what_is_no_test_counts_for_none() -> None:
    assert adjusted([0.01, np.nan, 0.02])[[0, 2]] == pytest.approx(adjusted([0.01, 0.02]))
    assert not found([0.01, np.nan])[1]
    assert len(adjusted([])) == 0


def test_few_of_the_findings_are_false() -> None:
    """200 runs of 50 tests, ten of them true: a share of 4 % of findings is expected to be false, at most 6 % shown."""
    false = 0.0
    for seed in range(200):
        z = np.abs(np.random.default_rng(seed).normal(np.where(np.arange(50) < 10, 4, 0)))
        findings = found(np.array([np.exp(-(one**2) / 2) for one in z]))  # at or above the two-sided normal tail
        false += findings[10:].sum() / max(findings.sum(), 1) / 200
    assert false <= 0.06
