"""Does the challenger fail too often? Errors, deadlines and lost answers alike."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rivals.decide.proof import Budget, figure
from rivals.statistics.eprocess import RateLimit, on_answers
from rivals.values import Counts, Evidence, Status, Verdict


@dataclass(frozen=True, slots=True)
class Failures:
    """Fail what is proven to fail more than the champion, or above the agreed limit; pass what is proven acceptable.

    PASS where non-inferiority to the champion is proven, or a rate under the limit. Margin and limit are the rollout's
    (``risk``); they are in the evidence already. The limit rolls nothing back while the champion itself fails at least
    half as often: what takes both down is not the challenger's fault. ``silence``: a challenger that was asked nothing
    for so many seconds is not passed. ``among``: how many judges share ``alpha`` for rolling back; promotion needs all
    of them to pass, so that needs no share.

    ``Failures(alpha=0.05, among=2)``; evidence: ``rivals.statistics.eprocess``.
    """

    alpha: float = 0.05
    among: int = 1
    silence: float = 3_600.0

    def __post_init__(self) -> None:
        Budget("failures", self.alpha, self.among)

    def judge(self, evidence: Evidence) -> Verdict:
        """Harm first; then whether it is acceptable; else what is missing."""
        # Two ways to fail, two ways to pass: each way gets half of alpha.
        budget = Budget("failures", self.alpha, self.among, ways=2)
        names = ("harm", "over_limit", "noninferior", "under_limit")
        found = {name: figure(evidence.log_e, f"failures.{name}") for name in names}
        counts = evidence.counts.get(evidence.challenger, Counts())
        figures = {**found, "asked": float(counts.asked), "asked_failures": float(counts.asked_failures)}
        told = f"{counts.asked_failures} of {counts.asked} questions failed"
        silent = figure(evidence.estimates, "silence")
        if found["harm"] >= budget.against:
            status, reason = Status.FAIL, f"it fails more often than {evidence.champion}: {told}"
        elif found["over_limit"] >= budget.against and not _shared(evidence):
            status, reason = Status.FAIL, f"it fails more often than the limit allows: {told}"
        elif not silent <= self.silence:
            status, reason = Status.INCONCLUSIVE, "it was asked nothing of late; silence is not evidence"
        elif found["under_limit"] >= budget.proof:
            status, reason = Status.PASS, f"its failure rate is under the limit: {told}"
        elif found["noninferior"] >= budget.proof:
            status, reason = Status.PASS, f"it does not fail more than {evidence.champion} by the margin: {told}"
        else:
            best = max(found["under_limit"], found["noninferior"])
            reason = f"{told}: too few to call its failure rate acceptable ({budget.short(best)})"
            if found["over_limit"] >= budget.against:
                reason = f"{told}, more than the limit allows, and {evidence.champion} fails alike: a shared cause"
            status = Status.INCONCLUSIVE
        return Verdict(
            "failures", status, reason, {name: value for name, value in figures.items() if not math.isnan(value)}
        )


def questions_needed(limit: float, alpha: float) -> int:
    """How many questions in a row have to go well until a failure rate under the limit is proven."""
    proof, low, high = Budget("failures", alpha, 1, ways=2).proof, 0, 1
    while on_answers(RateLimit(), high, failed=False, limit=limit).under < proof:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        enough = on_answers(RateLimit(), middle, failed=False, limit=limit).under >= proof
        low, high = (low, middle) if enough else (middle, high)
    return high


def _shared(evidence: Evidence) -> bool:
    """Whether the champion fails about as often, so that the limit says nothing about the challenger."""
    ours, theirs = (evidence.counts.get(name, Counts()) for name in (evidence.champion, evidence.challenger))
    if not ours.asked or not theirs.asked:
        return False
    return ours.asked_failures / ours.asked >= HALF * theirs.asked_failures / theirs.asked


HALF = 0.5
