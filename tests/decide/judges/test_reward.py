"""The judge of the business metric."""

from __future__ import annotations

import math

import pytest

from rivals.decide.judges.reward import Reward
from rivals.errors import SpecError
from rivals.plugins import make
from rivals.protocols import Judge
from rivals.values import Counts, Evidence, Status, Use

BAR = math.log(1 / 0.05)


def judged(judge: Reward, share: float = 0.1, requests: int = 9, **log_e: float) -> Status:
    found = {f"reward.{name}": value for name, value in log_e.items()}
    estimates = {"share": share, "reward.units": 50.0, "reward.difference": 0.1} if found else {"share": share}
    return judge.judge(Evidence("e", "old", "new", 0.0, {"new": Counts(requests)}, found, estimates)).status


@pytest.mark.parametrize(
    ("need", "log_e", "status"),
    [
        ("not_less", {"noninferior": BAR, "worse": 0.0}, Status.PASS),
        ("not_less", {"noninferior": BAR, "worse": BAR}, Status.FAIL),
        ("not_less", {"noninferior": BAR - 0.1}, Status.INCONCLUSIVE),
        ("more", {"noninferior": BAR, "better": 0.0}, Status.INCONCLUSIVE),
        ("more", {"better": BAR}, Status.PASS),
        ("more", {"better": math.nan}, Status.INCONCLUSIVE),
        ("not_less", {}, Status.INCONCLUSIVE),
    ],
)
def test_reward_answers_by_proof_alone(need: str, log_e: dict[str, float], status: Status) -> None:
    assert judged(Reward(need=need), **log_e) is status  # type: ignore[arg-type]


def test_the_shadow_brings_nothing_and_is_let_out_but_silence_in_the_canary_holds() -> None:
    assert judged(Reward(), share=0.0, requests=0) is Status.PASS
    assert judged(Reward(), share=0.01, requests=0) is Status.INCONCLUSIVE
    assert judged(Reward(), share=0.0, requests=5) is Status.INCONCLUSIVE


@pytest.mark.parametrize(
    "options", [{"low": 1}, {"high": math.inf}, {"margin": 2}, {"margin": -1}, {"need": "all"}, {"alpha": 2}]
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(SpecError, match="judge reward"):
        make(Judge, Use("reward", options))
