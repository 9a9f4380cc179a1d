from __future__ import annotations

import pytest

from rivals.decide.judges.noninferior import Noninferior
from rivals.errors import SpecError
from rivals.values import Evidence, Status


def evidence(low: float | None, high: float | None, champion: str = "old") -> Evidence:
    ends = {"noninferior.log_loss.low": low, "noninferior.log_loss.high": high}
    return Evidence("e", champion, "new", 0.0, estimates={k: v for k, v in ends.items() if v is not None})


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [
        (-0.01, 0.001, Status.PASS),
        (-0.01, 0.002, Status.PASS),
        (-0.01, 0.003, Status.INCONCLUSIVE),
        (0.001, 0.003, Status.INCONCLUSIVE),
        (0.0021, 0.003, Status.FAIL),
        (None, 0.001, Status.INCONCLUSIVE),
        (float("nan"), 0.001, Status.INCONCLUSIVE),
    ],
)
def test_the_whole_interval_decides(low: float | None, high: float | None, status: Status) -> None:
    assert Noninferior("log_loss", 0.002).judge(evidence(low, high)).status is status


def test_the_first_variant_has_nobody_to_be_worse_than() -> None:
    judge = Noninferior("log_loss", 0.002)
    assert judge.judge(evidence(None, None, champion="")).status is Status.PASS
    assert judge.judge(evidence(None, None, champion="new")).status is Status.PASS


def test_the_reason_names_champion_interval_and_margin() -> None:
    reason = Noninferior("log_loss", 0.002).judge(evidence(-0.01, 0.001)).reason
    assert all(word in reason for word in ("old", "-0.01000", "0.00100", "0.002"))


def test_a_margin_below_zero_is_refused() -> None:
    with pytest.raises(SpecError, match="margin is a number from 0 up"):
        Noninferior("log_loss", -1)
