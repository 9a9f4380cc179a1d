"""The reduced certificate: 400 rollouts a cell."""

from __future__ import annotations

import numpy as np
import pytest

from rivals.decide.certificate import Cell, Segment, certificate, failures, fixed_horizon

BOUND = 0.061  # observed, at 5 %: what 2,000 rollouts of an exact test stay under with 99 %


@pytest.fixture(scope="module")
def cells() -> list[Cell]:
    return certificate(400, np.random.default_rng(11))


def test_no_cell_is_wrong_more_often_than_promised(cells: list[Cell]) -> None:
    for one in cells:
        print(f"{one.traffic:34} rollback {one.false_rollback:.3f} promotion {one.false_promotion:.3f} {one.power:.2f}")
        assert one.false_rollback <= BOUND, one
        assert one.false_promotion <= BOUND, one


def test_the_sign_of_a_rival_twice_as_bad_is_right_over_ramps(cells: list[Cell]) -> None:
    for one in cells:
        if one.traffic.startswith("ramp"):
            assert one.right >= 0.99, one


def test_failures_fall_as_they_do_in_the_requests_themselves() -> None:
    rng = np.random.default_rng(3)
    challenger, share, count = failures([Segment(2_000, 0.1, 0.1), Segment(2_000, 0.05, 0.5)], 2.0, 400, rng)
    assert abs(count.mean() - (2_000 * 0.1 * 1.1 + 2_000 * 0.05 * 1.5)) < 3
    there = np.arange(challenger.shape[1]) < count[:, None]
    assert abs(challenger[there & (share == 0.1)].mean() - 0.2 / 1.1) < 0.01
    assert abs(challenger[there & (share == 0.5)].mean() - 2 / 3) < 0.01


def test_the_fixed_horizon_is_the_textbooks() -> None:
    # 10 % against 12 %, half and half: 3,026 an arm at one-sided 5 % (3,841 at two-sided).
    assert abs(fixed_horizon(0.1, 1.2, 0.5) / 2 - 3_026) < 5
