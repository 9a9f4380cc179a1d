"""What counts as proof, shared by the judges of a rollout."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from rivals.errors import SpecError
from rivals.values import Counts, Evidence


@dataclass(frozen=True, slots=True)
class Budget:
    """A judge's part of the one ``alpha`` of a rollout, as thresholds on logarithms of e-values.

    Any of ``among`` judges can end a rollout, so each may be wrong with alpha / among; a promotion needs all of them
    at once, so each may be wrong with alpha. A judge with several ``ways`` to its answer shares its part among them.
    """

    judge: str
    alpha: float
    among: int = 1
    ways: int = 1

    def __post_init__(self) -> None:
        if not (isinstance(self.alpha, (int, float)) and 0 < self.alpha < 1):
            raise SpecError(f"judge {self.judge}: alpha is a number between 0 and 1, not {self.alpha!r}.")
        if not (isinstance(self.among, int) and self.among >= 1):
            raise SpecError(f"judge {self.judge}: among is a count of judges from 1 up, not {self.among!r}.")

    @property
    def proof(self) -> float:
        """Enough to speak for the challenger."""
        return math.log(self.ways / self.alpha)

    @property
    def against(self) -> float:
        """Enough to roll it back."""
        return math.log(self.ways * self.among / self.alpha)

    def short(self, found: float) -> str:
        """How far the evidence for it goes, in words."""
        return f"evidence {max(0.0, found):.1f} of {self.proof:.1f}" if not math.isnan(found) else "no evidence"


def figure(figures: Mapping[str, float], name: str) -> float:
    """A figure by its name; NaN, which nothing is proven by, where there is none."""
    return figures.get(name, math.nan)


MOST_DROPPED = 0.05  # of the shadow's questions; beyond it the pairs that are left are a selection


def biased(evidence: Evidence, most: float = MOST_DROPPED) -> str:
    """Why paired answers cannot be compared, as a sentence; empty where they can."""
    dropped = evidence.estimates.get("shadow.dropped_share", 0.0)
    if dropped <= most:
        return ""
    return f"the comparison is biased: {dropped:.1%} of the shadow's questions have no answer (at most {most:.0%})"


def unmet(evidence: Evidence) -> bool:
    """Whether no client can have met the challenger yet, so that what only clients can show is not known.

    Such a judge lets a rollout out of the shadow, for it has nothing to say there; on every later step silence is
    inconclusive.
    """
    met = evidence.counts.get(evidence.challenger, Counts()).requests
    return not met and evidence.estimates.get("share", math.nan) == 0
