"""The judge of declared slices."""

from __future__ import annotations

import math

import pytest

from rivals.decide.judges.slices import Slices
from rivals.errors import SpecError
from rivals.plugins import make
from rivals.protocols import Judge
from rivals.values import Evidence, Status, Use

BAR = math.log(1 / 0.05)
HARM = BAR + math.log(3)  # three slices share alpha


def judged(
    worse: tuple[float, float] = (0.0, 0.0), good: tuple[float, float] = (0.0, 0.0), share: float = 0.5, **more: float
) -> tuple[Status, str]:
    log_e = {f"slices.worse/c={name}": value for name, value in zip("ab", worse, strict=True)}
    log_e |= {f"slices.noninferior/c={name}": value for name, value in zip("ab", good, strict=True)}
    estimates = {"slices.values": 3.0, "slices.share/c=a": 1 - share, "slices.share/c=b": share} | more
    estimates |= {"slices.difference/c=b": 0.1}
    verdict = Slices().judge(Evidence("e", "old", "new", 0.0, {}, log_e, estimates, 9))
    return verdict.status, verdict.reason


@pytest.mark.parametrize(
    ("worse", "good", "status"),
    [
        ((0.0, BAR), (0.0, 0.0), Status.INCONCLUSIVE),
        ((0.0, HARM), (BAR, BAR), Status.FAIL),
        ((0.0, 0.0), (BAR, BAR - 0.1), Status.INCONCLUSIVE),
        ((0.0, 0.0), (BAR, BAR), Status.PASS),
        ((0.0, 0.0), (BAR, math.nan), Status.INCONCLUSIVE),
    ],
)
def test_one_bad_slice_is_enough_and_all_must_be_good(
    worse: tuple[float, float], good: tuple[float, float], status: Status
) -> None:
    assert judged(worse, good)[0] is status


def test_the_bad_slice_is_named() -> None:
    assert judged((0.0, HARM))[1] == "it is worse where c=b: loss differs by +0.10000 from old's"


def test_a_rare_slice_is_watched_but_holds_nobody() -> None:
    assert judged(good=(BAR, 0.0), share=0.005)[0] is Status.PASS
    assert judged((0.0, HARM), (BAR, 0.0), share=0.005)[0] is Status.FAIL


def test_a_biased_comparison_decides_nothing() -> None:
    status, reason = judged((0.0, HARM), (BAR, BAR), **{"shadow.dropped_share": 0.06})
    assert (status, reason.split(":")[0]) == (Status.INCONCLUSIVE, "the comparison is biased")


def test_without_slices_it_is_inconclusive() -> None:
    assert Slices().judge(Evidence("e", "old", "new", 0.0)).status is Status.INCONCLUSIVE


@pytest.mark.parametrize("options", [{"least": 1}, {"alpha": 0}, {"least": "x"}])
def test_options_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(SpecError, match="judge slices"):
        make(Judge, Use("slices", options))
