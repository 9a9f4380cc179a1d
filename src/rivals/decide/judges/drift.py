"""Answers that drift from what they were on held-out rows: the challenger's more than the champion's."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rivals.decide.proof import MOST_DROPPED, Budget, biased, figure
from rivals.errors import SpecError
from rivals.values import Evidence, Status, Verdict


@dataclass(frozen=True, slots=True)
class Drift:
    """Fail what is proven to drift more than the champion, pass what is proven not to by ``margin``.

    Drift is the population stability index of a block's answers against the held-out ones, of both on the same rows:
    no label is needed. ``margin`` is of the index. ``among`` judges share ``alpha`` for rolling back.

    ``Drift(margin=0.1)``; evidence: ``rivals.observe.drifting``.
    """

    margin: float = 0.1
    alpha: float = 0.05
    among: int = 1
    most_dropped: float = MOST_DROPPED

    def __post_init__(self) -> None:
        Budget("drift", self.alpha, self.among)
        if not (isinstance(self.margin, (int, float)) and 0 < self.margin < math.inf):
            raise SpecError(f"judge drift: margin is a number above 0, not {self.margin!r}.")

    def judge(self, evidence: Evidence) -> Verdict:
        """More drift first; then whether it is acceptable; else what is missing."""
        budget = Budget("drift", self.alpha, self.among)
        worse, enough = (figure(evidence.log_e, f"drift.{name}") for name in ("worse", "noninferior"))
        ours, theirs = (figure(evidence.estimates, f"drift.{name}") for name in ("champion", "challenger"))
        if math.isnan(theirs):
            reason = "no block of paired answers has matured yet, or nothing is known of held-out answers"
            return Verdict("drift", Status.INCONCLUSIVE, reason)
        told = f"stability index {theirs:.3f}, {evidence.champion}'s {ours:.3f}"
        if reason := biased(evidence, self.most_dropped):
            status = Status.INCONCLUSIVE
        elif worse >= budget.against:
            status, reason = Status.FAIL, f"its answers drift more than {evidence.champion}'s: {told}"
        elif enough >= budget.proof:
            status, reason = Status.PASS, f"its answers do not drift more by the margin: {told}"
        else:
            status, reason = Status.INCONCLUSIVE, f"{told}: not decided ({budget.short(enough)})"
        figures = {"worse": worse, "noninferior": enough, "champion": ours, "challenger": theirs}
        return Verdict("drift", status, reason, figures)
