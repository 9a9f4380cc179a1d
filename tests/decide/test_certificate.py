"""The certificate's own parts; the certificate itself, reduced, is in tests/flows/test_certify.py."""

from __future__ import annotations

import numpy as np
import pytest

from rivals.decide.certificate import BASES, SHARES, Cell, Segment, allowed, cells, drawn, faults, fixed_horizon, needed


def test_every_base_rate_and_split_has_a_steady_and_a_daily_cell_and_there_are_ramps() -> None:
    assert len(cells()) == 2 * len(BASES) * len(SHARES) + 2
    for one in cells():
        assert all(part.base * max(one.ratio, 1.5) < 1 for part in one.segments), one


def test_requests_end_as_they_do_in_the_traffic_itself() -> None:
    """Means over 400 rollouts, within four standard errors."""
    rng = np.random.default_rng(3)
    (events,) = drawn([Segment(2_000, 0.1, 0.1), Segment(2_000, 0.05, 0.5)], 2.0, 400, rng)
    asked = np.sum(events.good + events.ours + events.failed, axis=1)
    assert 3_700 < asked.min() <= asked.max() <= 4_000  # those after the last failure tell nothing
    for share, base in ((0.1, 0.1), (0.5, 0.05)):
        here = events.share == share
        failed, hers = events.failed & here, events.failed & events.challenger & here
        assert abs(failed.sum() / 400 - 2_000 * base * (1 + share)) < 3.2
        assert abs(hers.sum() / 400 - 2_000 * base * 2 * share) < 2
        assert abs((events.ours * here).sum() / 400 - 2_000 * share * (1 - 2 * base)) < 12


def test_good_requests_wait_for_the_next_failure_unless_the_split_changes() -> None:
    rng = np.random.default_rng(4)
    for share, ends in ((0.1, 0), (0.2, 1)):
        (events,) = drawn([Segment(500, 0.01, 0.1), Segment(500, 0.01, share)], 1.0, 50, rng)
        assert ((events.good + events.ours > 0) & ~events.failed).sum(axis=1).max() == ends


def test_the_fixed_horizon_is_the_textbooks() -> None:
    # 10 % against 12 %, half and half: 3,026 an arm at one-sided 5 % (3,841 at two-sided).
    assert abs(fixed_horizon(0.1, 1.2, 0.5) / 2 - 3_026) < 5


def test_bounds_allow_for_chance_only() -> None:
    assert (allowed(2_000), needed(2_000)) == (pytest.approx(0.0614, abs=5e-4), 0.8)
    assert allowed(200) == pytest.approx(0.0859, abs=1e-4)
    assert needed(200) == pytest.approx(0.734, abs=1e-3)


def test_what_a_cell_is_not_within_is_said() -> None:
    good = Cell("ramp", 1, 2.0, false_rollback=0.05, false_promotion=0.05, power=0.9, right=0.995)
    bad = Cell("ramp", 1, 2.0, false_rollback=0.07, false_promotion=0.07, power=0.7, right=0.9)
    assert faults(good, 2_000) == []
    assert [told.split()[1] for told in faults(bad, 2_000)] == ["7.0%", "7.0%", "harm", "90.0%"]
