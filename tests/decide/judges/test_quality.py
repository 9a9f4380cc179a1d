"""The judge of quality."""

from __future__ import annotations

import math

import pytest

from rivals.decide.judges.quality import Quality
from rivals.errors import SpecError
from rivals.plugins import make
from rivals.protocols import Judge
from rivals.values import Evidence, Status, Use

BAR = math.log(1 / 0.05)


def judged(judge: Quality, blocks: int = 9, **log_e: float) -> tuple[Status, str]:
    found = {f"quality.{name}": value for name, value in log_e.items()}
    verdict = judge.judge(Evidence("e", "old", "new", 0.0, {}, found, {"quality.difference": -0.01}, blocks))
    return verdict.status, verdict.reason


@pytest.mark.parametrize(
    ("need", "log_e", "status"),
    [
        ("better", {"better": 0.0, "worse": 0.0}, Status.INCONCLUSIVE),
        ("better", {"better": BAR, "worse": 0.0}, Status.PASS),
        ("better", {"better": 0.0, "worse": BAR}, Status.FAIL),
        ("better", {"better": BAR, "worse": BAR}, Status.FAIL),
        ("better", {"better": 0.0, "worse": 0.0, "noninferior": 9.0}, Status.INCONCLUSIVE),
        ("not_worse", {"better": 0.0, "worse": 0.0, "noninferior": BAR}, Status.PASS),
        ("not_worse", {"noninferior": BAR, "worse": BAR}, Status.FAIL),
        ("no_harm", {"better": 0.0, "worse": 0.0}, Status.PASS),
        ("no_harm", {"better": BAR, "worse": BAR}, Status.FAIL),
        ("better", {"better": math.nan}, Status.INCONCLUSIVE),
        ("better", {}, Status.INCONCLUSIVE),
    ],
)
def test_quality_answers_by_proof_alone(need: str, log_e: dict[str, float], status: Status) -> None:
    judge = Quality(need)  # type: ignore[arg-type]
    assert judged(judge, **log_e)[0] is status


def test_several_judges_share_alpha_for_rolling_back_only() -> None:
    shared = Quality(among=2)
    assert judged(shared, worse=BAR)[0] is Status.INCONCLUSIVE
    assert judged(shared, worse=BAR + math.log(2))[0] is Status.FAIL
    assert judged(shared, better=BAR)[0] is Status.PASS


def test_the_reason_tells_how_far_the_evidence_goes() -> None:
    assert judged(Quality(), better=1.0, worse=0.0)[1] == (
        "loss differs by -0.01000 from old's over 9 blocks: not decided (evidence 1.0 of 3.0)"
    )
    assert judged(Quality(), blocks=0, better=0.0)[1].startswith("no block of labelled pairs has matured yet")


@pytest.mark.parametrize("options", [{"need": "nicer"}, {"alpha": 1}, {"among": 0.5}])
def test_options_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(SpecError, match="judge quality"):
        make(Judge, Use("quality", options))


@pytest.mark.parametrize(("dropped", "status"), [(0.05, Status.PASS), (0.051, Status.INCONCLUSIVE)])
def test_pairs_that_are_a_selection_decide_nothing(dropped: float, status: Status) -> None:
    estimates = {"shadow.dropped_share": dropped, "quality.difference": -0.1}
    found = Evidence("e", "old", "new", 0.0, {}, {"quality.better": BAR}, estimates, 9)
    verdict = Quality().judge(found)
    assert verdict.status is status
    if status is Status.INCONCLUSIVE:
        assert verdict.reason == (
            "the comparison is biased: 5.1% of the shadow's questions have no answer (at most 5%)"
        )


def test_no_harm_is_not_said_before_anything_was_bet_on() -> None:
    assert judged(Quality("no_harm"), blocks=2, better=0.0, worse=0.0)[0] is Status.INCONCLUSIVE
