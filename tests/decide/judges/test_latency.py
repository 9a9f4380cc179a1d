from __future__ import annotations

import math
from typing import Any

import pytest

from rivals.decide.judges.latency import Latency
from rivals.errors import SpecError
from rivals.values import Counts, Evidence, Status


def evidence(**measured: float) -> Evidence:
    return Evidence("e", "old", "new", 0.0, estimates={f"latency.{name}": value for name, value in measured.items()})


@pytest.mark.parametrize(
    ("limits", "measured", "status"),
    [
        ({"p99_ms": 5}, {"p99_ms": 4.9}, Status.PASS),
        ({"p99_ms": 5}, {"p99_ms": 5.1}, Status.FAIL),
        ({"p99_ms": 5, "p50_us": 50}, {"p99_ms": 1.0, "p50_us": 60.0}, Status.FAIL),
        ({"p99_ms": 5, "p50_us": 50}, {"p99_ms": 1.0}, Status.INCONCLUSIVE),
        ({"p99_ms": 5}, {}, Status.INCONCLUSIVE),
    ],
)
def test_each_limit_is_held(limits: dict[str, Any], measured: dict[str, float], status: Status) -> None:
    assert Latency(**limits).judge(evidence(**measured)).status is status


@pytest.mark.parametrize(
    ("limits", "says"), [({"alpha": 1}, "alpha"), ({"p99_ms": 0}, "above 0"), ({"p50_us": "5"}, "above 0")]
)
def test_a_limit_is_a_number_above_zero(limits: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        Latency(**limits)


HARM, PROOF = math.log(1 / 0.05), math.log(2 / 0.05)


def live(share: float = 0.1, requests: int = 9, tau: float = 20.0, **log_e: float) -> tuple[Status, str]:
    found = {f"latency.{name}": value for name, value in log_e.items()}
    counts = {"new": Counts(requests)}
    one = Evidence("e", "old", "new", 0.0, counts, found, {"share": share, "latency.tau_ms": tau})
    verdict = Latency().judge(one)
    return verdict.status, verdict.reason


@pytest.mark.parametrize(
    ("log_e", "status"),
    [
        ({"harm": HARM, "noninferior": PROOF}, Status.FAIL),
        ({"harm": 0.0, "noninferior": PROOF, "under_limit": 0.0}, Status.PASS),
        ({"harm": 0.0, "noninferior": 0.0, "under_limit": PROOF}, Status.PASS),
        ({"harm": 0.0, "noninferior": PROOF - 0.1, "under_limit": PROOF - 0.1}, Status.INCONCLUSIVE),
        ({"noninferior": math.nan}, Status.INCONCLUSIVE),
        ({}, Status.INCONCLUSIVE),
    ],
)
def test_in_a_rollout_slow_answers_are_judged_by_proof_alone(log_e: dict[str, float], status: Status) -> None:
    assert live(**log_e)[0] is status


def test_in_the_shadow_no_client_waits_and_in_the_canary_silence_holds() -> None:
    assert live(share=0.0, requests=0)[0] is Status.PASS
    assert live(share=0.01, requests=0)[0] is Status.INCONCLUSIVE


def test_without_a_stated_threshold_it_says_what_to_do() -> None:
    status, reason = live(share=0.0, requests=0, tau=math.nan)
    assert status is Status.INCONCLUSIVE
    assert "say p99_ms" in reason


def test_a_gate_without_limits_is_inconclusive() -> None:
    assert Latency().judge(evidence(p99_ms=1.0)).status is Status.INCONCLUSIVE
