"""Do units fall on the variants as promised? If not, nothing that is compared between them can be believed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rivals.decide.proof import Budget, figure
from rivals.values import Counts, Evidence, Status, Verdict


@dataclass(frozen=True, slots=True)
class Ratio:
    """Stop believing a comparison whose split is not the promised one: neither promote nor roll back.

    ERROR where a sample-ratio mismatch is proven at level ``alpha``, PASS else; it rolls nothing back, so it takes no
    share of the rollout's alpha.

    ``Ratio(alpha=0.001)``; evidence: ``rivals.statistics.ratio``.
    """

    alpha: float = 0.001

    def __post_init__(self) -> None:
        Budget("ratio", self.alpha)

    def judge(self, evidence: Evidence) -> Verdict:
        """Look at ``ratio.mismatch``."""
        found = figure(evidence.log_e, "ratio.mismatch")
        if math.isnan(found):
            return Verdict("ratio", Status.INCONCLUSIVE, "the split was not counted")
        ours, theirs = (evidence.counts.get(name, Counts()) for name in (evidence.champion, evidence.challenger))
        told = f"{theirs.requests} requests of {theirs.requests + ours.requests} went to {evidence.challenger}"
        if found >= Budget("ratio", self.alpha).proof:
            reason = f"the split is not the promised one ({told}): find out why before you believe any figure"
            return Verdict("ratio", Status.ERROR, reason, {"mismatch": found})
        return Verdict("ratio", Status.PASS, f"the split is as promised: {told}", {"mismatch": found})
