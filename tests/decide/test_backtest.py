"""Retraining's recipe on weeks that neither side had seen."""

from __future__ import annotations

import numpy as np

from rivals.decide.backtest import backtest
from rivals.values import Status


def test_a_steady_gain_passes_and_a_steady_loss_fails() -> None:
    noise = np.random.default_rng(0).normal(0, 0.003, 45)
    assert backtest((noise - 0.005).tolist()).status is Status.PASS
    assert backtest((noise + 0.005).tolist()).status is Status.FAIL


def test_nothing_new_to_both_leaves_it_to_live_traffic() -> None:
    assert backtest([]).status is Status.INCONCLUSIVE


def test_equals_are_rarely_told_apart() -> None:
    # 5 % either way at most; 400 seeds, so more than 13 % together has a chance below 1 in 1,000 where both are 5 %.
    found = [backtest(np.random.default_rng(seed).normal(0, 1, 45).tolist()).status for seed in range(400)]
    assert sum(one is not Status.INCONCLUSIVE for one in found) <= 0.13 * 400
