"""The judge of failures."""

from __future__ import annotations

import math

import pytest

from rivals.decide.judges.failures import Failures
from rivals.errors import SpecError
from rivals.plugins import make
from rivals.protocols import Judge
from rivals.values import Counts, Evidence, Status, Use

BAR = math.log(2 / 0.05)


def judged(judge: Failures | None = None, silence: float = 0.0, **log_e: float) -> tuple[Status, str]:
    names = ("harm", "over_limit", "noninferior", "under_limit")
    found = {f"failures.{name}": log_e.get(name, 0.0) for name in names}
    evidence = Evidence(
        "e", "old", "new", 0.0, {"new": Counts(asked=10, asked_failures=3)}, found, {"silence": silence}
    )
    verdict = (judge or Failures()).judge(evidence)
    return verdict.status, verdict.reason


@pytest.mark.parametrize(
    ("log_e", "status"),
    [
        ({}, Status.INCONCLUSIVE),
        ({"harm": BAR}, Status.FAIL),
        ({"over_limit": BAR}, Status.FAIL),
        ({"harm": BAR - 0.01, "over_limit": BAR - 0.01}, Status.INCONCLUSIVE),
        ({"noninferior": BAR}, Status.PASS),
        ({"under_limit": BAR}, Status.PASS),
        ({"noninferior": BAR, "harm": BAR}, Status.FAIL),
        ({"under_limit": math.nan, "noninferior": math.nan}, Status.INCONCLUSIVE),
    ],
)
def test_failures_fails_on_proof_passes_on_proof_and_else_waits(log_e: dict[str, float], status: Status) -> None:
    assert judged(**log_e)[0] is status


@pytest.mark.parametrize(("champion", "status"), [(0, Status.FAIL), (1, Status.FAIL), (2, Status.INCONCLUSIVE)])
def test_a_limit_that_both_break_is_nobodys_fault(champion: int, status: Status) -> None:
    counts = {"old": Counts(asked=10, asked_failures=champion), "new": Counts(asked=10, asked_failures=3)}
    verdict = Failures().judge(Evidence("e", "old", "new", 0.0, counts, {"failures.over_limit": BAR}, {"silence": 0.0}))
    assert verdict.status is status
    assert ("shared cause" in verdict.reason) == (status is Status.INCONCLUSIVE)


def test_what_is_missing_is_said() -> None:
    assert (
        judged(under_limit=1.5)[1]
        == "3 of 10 questions failed: too few to call its failure rate acceptable (evidence 1.5 of 3.7)"
    )


def test_several_judges_share_alpha_for_rolling_back_only() -> None:
    shared = Failures(among=2)
    assert judged(shared, harm=BAR)[0] is Status.INCONCLUSIVE
    assert judged(shared, harm=BAR + math.log(2))[0] is Status.FAIL
    assert judged(shared, under_limit=BAR)[0] is Status.PASS


def test_a_silent_challenger_is_not_passed_but_still_failed() -> None:
    assert judged(silence=3_601.0, under_limit=9.0)[0] is Status.INCONCLUSIVE
    assert judged(silence=math.nan, under_limit=9.0)[0] is Status.INCONCLUSIVE
    assert judged(silence=3_601.0, harm=9.0)[0] is Status.FAIL


def test_no_evidence_at_all_is_inconclusive() -> None:
    assert Failures().judge(Evidence("e", "old", "new", 0.0)).status is Status.INCONCLUSIVE


@pytest.mark.parametrize("options", [{"alpha": 0}, {"alpha": 2}, {"alpha": "5%"}, {"among": 0}])
def test_options_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(SpecError, match="judge failures"):
        make(Judge, Use("failures", options))
