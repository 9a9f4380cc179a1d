"""A challenger may be worse than the champion by less than a margin."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rivals.errors import SpecError
from rivals.values import Evidence, Status, Verdict


@dataclass(frozen=True, slots=True)
class Noninferior:
    """Pass what is proven to be worse by less than ``margin``, in units of ``metric``, on held-out rows.

    ``Noninferior("log_loss", 0.002)``: PASS where the whole interval of the difference is below the margin, FAIL where
    it is above, INCONCLUSIVE between. For metrics of which more is better the difference is turned round.
    Wellek, Testing Statistical Hypotheses of Equivalence and Noninferiority (2010).
    """

    metric: str
    margin: float

    def __post_init__(self) -> None:
        if not (isinstance(self.margin, (int, float)) and self.margin >= 0 and math.isfinite(self.margin)):
            raise SpecError(f"judge noninferior: margin is a number from 0 up, not {self.margin!r}.")

    def judge(self, evidence: Evidence) -> Verdict:
        """Look at ``noninferior.<metric>.low`` and ``.high``."""
        if evidence.champion in {"", evidence.challenger}:
            return Verdict("noninferior", Status.PASS, "there is no champion yet to compare with")
        name = f"noninferior.{self.metric}"
        low, high = (evidence.estimates.get(f"{name}.{end}", math.nan) for end in ("low", "high"))
        if math.isnan(low) or math.isnan(high):
            reason = (
                f"{self.metric} was not compared with {evidence.champion}; `rivals train` scores both on the same rows"
            )
            return Verdict("noninferior", Status.INCONCLUSIVE, reason)
        status = Status.PASS if high <= self.margin else Status.FAIL if low > self.margin else Status.INCONCLUSIVE
        said = {
            Status.PASS: "not worse than the margin",
            Status.FAIL: "worse than the margin",
            Status.INCONCLUSIVE: "not decided by these rows",
        }[status]
        reason = (
            f"{self.metric} is worse than {evidence.champion}'s by {low:.5f} to {high:.5f} "
            f"(below zero: better); margin {self.margin:g}: {said}"
        )
        return Verdict("noninferior", status, reason, {"low": low, "high": high, "margin": float(self.margin)})
