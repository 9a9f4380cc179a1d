from __future__ import annotations

import pytest

from rivals.decide.compare import Leaderboard, Row
from rivals.decide.gate import gate, offline, worst
from rivals.plugins import make
from rivals.protocols import Judge
from rivals.values import Evidence, Status, Use, Verdict

ROW = Row("new", 0.4, 0.3, 0.5, True, "tied", 0.001, -0.002, 0.004, 1.0, 20.0, 1000)


def board(metric: str, lower: bool) -> Leaderboard:
    return Leaderboard(metric, lower, (ROW,), "new", "", "old", 0.05, 100, 20)


def test_more_is_worse_whatever_the_metric() -> None:
    found = offline([board("log_loss", lower=True), board("roc_auc", lower=False)], "new").estimates
    assert (found["noninferior.log_loss.low"], found["noninferior.log_loss.high"]) == (-0.002, 0.004)
    assert (found["noninferior.roc_auc.low"], found["noninferior.roc_auc.high"]) == (-0.004, 0.002)
    assert found["noninferior.roc_auc"] == -0.001


def test_what_was_not_measured_is_not_there() -> None:
    found = offline([], "new").estimates
    assert found == {}
    assert offline([], "new", p50_us=20, p99_us=1500, size=7).estimates["latency.p99_ms"] == 1.5


def test_every_judge_is_heard_and_the_worst_one_counts() -> None:
    judges = [
        make(Judge, Use("noninferior", {"metric": "log_loss", "margin": 0.005})),
        make(Judge, Use("latency", {"p99_ms": 1})),
    ]
    found = gate(offline([board("log_loss", lower=True)], "new", p50_us=20, p99_us=1500), judges)
    assert [one.status for one in found] == [Status.PASS, Status.FAIL]
    assert worst(found) is Status.FAIL


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], Status.PASS),
        ([Status.PASS, Status.INCONCLUSIVE], Status.INCONCLUSIVE),
        ([Status.INCONCLUSIVE, Status.ERROR], Status.ERROR),
        ([Status.ERROR, Status.FAIL, Status.PASS], Status.FAIL),
    ],
)
def test_the_worst_counts(statuses: list[Status], expected: Status) -> None:
    assert worst([Verdict("j", status, "") for status in statuses]) is expected


def test_evidence_names_both_rivals() -> None:
    found = offline([board("log_loss", lower=True)], "new", endpoint="prices")
    assert (found.endpoint, found.champion, found.challenger) == ("prices", "old", "new")
    assert isinstance(found, Evidence)
