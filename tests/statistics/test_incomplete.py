"""Incomplete gamma and beta functions are SciPy's."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from rivals.statistics.incomplete import log_beta_i, log_gamma_p, log_gamma_q

SIZE = st.floats(0.02, 3_000)


@given(SIZE, SIZE, st.floats(0, 1, allow_subnormal=False))
def test_the_beta_function_is_scipys(a: float, b: float, x: float) -> None:
    same(log_beta_i(a, b, x), special.betainc(a, b, x))


@given(SIZE, st.floats(0, 4))
def test_both_gamma_functions_are_scipys(shape: float, ratio: float) -> None:
    same(log_gamma_p(shape, ratio * shape), special.gammainc(shape, ratio * shape))
    same(log_gamma_q(shape, ratio * shape), special.gammaincc(shape, ratio * shape))


def same(ours: float, theirs: float) -> None:
    if theirs > 1e-250:  # below, SciPy's has no logarithm
        assert ours == pytest.approx(math.log(theirs), rel=1e-8, abs=1e-10)
    else:
        assert ours < -500
