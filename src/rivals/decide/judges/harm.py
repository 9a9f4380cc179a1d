"""How much more traffic may the challenger get? So much that it harms no more than agreed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rivals.decide.proof import Budget, figure
from rivals.errors import SpecError
from rivals.statistics.sequences import rate_interval
from rivals.values import Counts, Evidence, Status, Verdict


@dataclass(frozen=True, slots=True)
class Harm:
    """Bound the failures a challenger causes beyond the champion's: with probability 1 - alpha, at most ``most``.

    With n answers so far, a failure rate of at most U for the challenger and at least L for the champion, the expected
    extra failures are at most n (U - L), at every time at once, because both bounds are confidence sequences. So it may
    answer ``left`` = most / (U - L) - n requests more; before the first answer, U is 1 and ``left`` is ``most``. It
    says how much, and stands in nobody's way: whether the challenger is good is for the other judges.

    ``Harm(most=20)``; figures: ``left``, and ``rate``, the endpoint's requests per second. Answers are counted, not
    units: where a unit's answers fail together, the bound is that of as many independent ones.
    Howard et al., arXiv:1810.08240 (the sequences).
    """

    most: float
    alpha: float = 0.05

    def __post_init__(self) -> None:
        Budget("harm", self.alpha)
        if not (isinstance(self.most, (int, float)) and 1 <= self.most < math.inf):
            raise SpecError(f"judge harm: most is a number of failures from 1 up, not {self.most!r}.")

    def judge(self, evidence: Evidence) -> Verdict:
        """Look at the counts of both and at the age of the rollout."""
        ours, theirs = (evidence.counts.get(name, Counts()) for name in (evidence.champion, evidence.challenger))
        age = figure(evidence.estimates, "age")
        rate = ours.asked / age if age > 0 else math.nan
        if not rate > 0:
            return Verdict("harm", Status.INCONCLUSIVE, "there was no traffic to bound")
        # Narrowest where the first growth is decided; a champion has answered more by then.
        planned = PLANNED * self.most
        high = rate_interval(theirs.failures, theirs.requests, planned, self.alpha / 2)[1]
        low = rate_interval(ours.failures, ours.requests, 10 * planned, self.alpha / 2)[0]
        left = max(0.0, self.most / (high - low) - theirs.requests) if high > low else float(SLACK)
        known = f"{theirs.failures} of {theirs.requests} answers failed"
        reason = f"{known}; {min(left, SLACK):.0f} more keep its extra failures below {self.most:g}"
        return Verdict("harm", Status.PASS, reason, {"left": min(left, float(SLACK)), "rate": rate})


PLANNED = 10
SLACK = 10**9  # answers: as good as no bound
