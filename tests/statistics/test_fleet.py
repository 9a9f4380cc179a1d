"""The vectorised form is the scalar one."""

from __future__ import annotations

import numpy as np

from rivals.statistics.eprocess import FailureArm, on_failure
from rivals.statistics.fleet import first, fleet


def test_the_vectorised_form_equals_the_update_function_on_a_thousand_logs() -> None:
    rng = np.random.default_rng(5)
    many, longest = 1_000, 60
    count = rng.integers(0, longest + 1, many)
    share = rng.choice([0.01, 0.05, 0.1, 0.25, 0.5], (many, longest))
    challenger = rng.random((many, longest)) < rng.uniform(0.02, 0.9, (many, 1))
    found = fleet(challenger, share, 0.5, count)
    for row in range(many):
        arm = FailureArm()
        for at in range(count[row]):
            arm = on_failure(arm, bool(challenger[row, at]), float(share[row, at]), 0.5)
            assert abs(found.harm[row, at] - arm.harm.highest) < 1e-9
            assert abs(found.noninferior[row, at] - arm.noninferior.highest) < 1e-9
        assert np.all(found.harm[row, count[row] :] == found.harm[row, max(count[row] - 1, 0)]) or count[row] == 0


def test_a_threshold_is_met_at_the_first_failure_that_meets_it() -> None:
    path = np.array([[0.0, 1.0, 3.0, 3.0], [0.0, 0.0, 0.5, 0.5]])
    assert list(first(path, 1.0)) == [1, 4]
