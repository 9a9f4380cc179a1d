"""The judge of the split."""

from __future__ import annotations

import math

import pytest

from rivals.decide.analysis import analyse
from rivals.decide.judges.ratio import Ratio
from rivals.errors import SpecError
from rivals.values import Counts, Evidence, Status


def judged(found: dict[str, float]) -> Status:
    counts = {"old": Counts(10), "new": Counts(90)}
    return analyse(Evidence("e", "old", "new", 0.0, counts, found), [Ratio()]).status


@pytest.mark.parametrize(
    ("found", "status"),
    [
        ({"ratio.mismatch": math.log(999)}, Status.PASS),
        ({"ratio.mismatch": math.log(1_001)}, Status.ERROR),
        ({"ratio.mismatch": math.inf}, Status.ERROR),
        ({"ratio.mismatch": math.nan}, Status.INCONCLUSIVE),
        ({}, Status.INCONCLUSIVE),
    ],
)
def test_a_broken_split_is_broken_not_failed(found: dict[str, float], status: Status) -> None:
    assert judged(found) is status


def test_an_alpha_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(SpecError, match="judge ratio"):
        Ratio(alpha=1)
