"""The vectorised form is the scalar one."""

from __future__ import annotations

import numpy as np

from rivals.statistics.eprocess import FailureArm, on_failure, on_good
from rivals.statistics.fleet import Events, first, fleet


def logs(rng: np.random.Generator, many: int, longest: int) -> Events:
    """Random rollouts, ramps among them, some with nothing but failures and some with nothing but good units."""
    shape = (many, longest)
    there = np.arange(longest) < rng.integers(0, longest + 1, (many, 1))
    rate = rng.choice([0.0, 0.5, 5.0, 200.0], (many, 1))
    failed = there & (rng.random(shape) < 0.9)
    # Where the split stands still every event is a failure; what ends without one moves the split on.
    still = rng.random((many, 1)) < 0.5
    failed |= there & still
    moved = np.where(failed, rng.integers(0, 2, shape) * ~still, rng.integers(1, 5, shape))
    shares = np.array([0.01, 0.05, 0.1, 0.25, 0.5])
    share = shares[(rng.integers(0, 5, (many, 1)) + np.cumsum(moved, axis=1) - moved) % 5]
    return Events(
        failed,
        rng.random(shape) < rng.uniform(0.02, 0.9, (many, 1)),
        share,
        there * rng.poisson(rate, shape) + (there & ~failed),
        there * rng.poisson(rate * rng.choice([0.1, 1.0], (many, 1)), shape),
    )


def test_the_vectorised_form_equals_the_update_functions_on_a_thousand_logs() -> None:
    """Both kinds of evidence, bets on successes, and shares that change at any event."""
    events = logs(np.random.default_rng(5), 1_000, 40)
    found, met = fleet(events, 0.5), 0
    for row in range(1_000):
        arm = FailureArm()
        columns = (events.failed, events.challenger, events.share, events.good, events.ours)
        for at, (failed, whose, share, good, ours) in enumerate(
            zip(*(one[row].tolist() for one in columns), strict=True)
        ):
            arm = on_good(arm, good, ours, share)
            if failed:
                arm = on_failure(arm, whose, share, 0.5, once=True)
                assert abs(found.harm[row, at] - arm.harm.highest) < 1e-9 * max(1, arm.harm.highest)
                assert abs(found.noninferior[row, at] - arm.noninferior.highest) < 1e-9 * max(
                    1, arm.noninferior.highest
                )
                met += 1
    assert met > 15_000


def test_a_threshold_is_met_at_the_first_event_that_meets_it() -> None:
    path = np.array([[0.0, 1.0, 3.0, 3.0], [0.0, 0.0, 0.5, 0.5]])
    assert list(first(path, 1.0)) == [1, 4]
