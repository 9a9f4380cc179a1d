"""Posteriors by hand: of Beta(1, 2) and Beta(2, 1) everything is a polynomial."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from rivals.decide.rules.bayes import Bayes, compared
from rivals.decide.rules.look import Arms, Look, Tally
from rivals.values import Status

UNIFORM = (1.0, 1.0)


def test_one_good_against_one_bad() -> None:
    # P = int 2x (1 - (1-x)^2) dx = 5/6; loss = int (1 - x^2)(1 - (1-x)^2) dx = 11/30
    worse, loss = compared(Tally(1, 0), Tally(1, 1), UNIFORM)
    assert (worse, loss) == (pytest.approx(5 / 6, abs=1e-4), pytest.approx(11 / 30, abs=1e-4))


def test_nothing_met_is_even() -> None:
    worse, loss = compared(Tally(), Tally(), UNIFORM)
    assert (worse, loss) == (pytest.approx(1 / 2, abs=1e-4), pytest.approx(1 / 6, abs=1e-4))


def test_small_rates_agree_with_draws() -> None:
    rng = np.random.default_rng(3)
    ours, theirs = beta(1 + 50, 1 + 9_950).rvs(400_000, rng), beta(1 + 9, 1 + 991).rvs(400_000, rng)
    worse, loss = compared(Tally(10_000, 50), Tally(1_000, 9), UNIFORM)
    assert worse == pytest.approx((theirs > ours).mean(), abs=3e-3)  # four standard errors
    assert loss == pytest.approx(np.maximum(0, theirs - ours).mean(), rel=0.01)


def test_it_rolls_back_above_its_threshold_and_goes_on_below() -> None:
    def said(rule: Bayes, bad: int) -> Status:
        return rule.look(rule.begin(), Look(0.5, Arms(Tally(100, 10), Tally(100, bad))))[1]

    assert (
        compared(Tally(100, 10), Tally(100, 19), UNIFORM)[0]
        > 0.95
        > compared(Tally(100, 10), Tally(100, 16), UNIFORM)[0]
    )
    assert (said(Bayes(), 19), said(Bayes(), 16)) == (Status.FAIL, Status.PASS)
    assert said(Bayes({"failures": (UNIFORM, 0.01)}), 16) is Status.INCONCLUSIVE  # the expected loss is about 0.06


def test_a_uniform_prior_rolls_back_rare_failures_before_any_was_seen() -> None:
    """Why every setting in the arena has a prior that knows the usual rate: two good answers, and it is sure."""
    assert compared(Tally(200, 1), Tally(2, 0), UNIFORM)[0] > 0.95
    assert compared(Tally(200, 1), Tally(2, 0), (1.0, 199.0))[0] < 0.6
