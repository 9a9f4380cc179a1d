"""Is the challenger better on the same rows? Paired shadow answers, one bet per block of time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from rivals.decide.proof import MOST_DROPPED, Budget, biased, figure
from rivals.errors import SpecError
from rivals.statistics.eprocess import WARM_UP
from rivals.values import Evidence, Status, Verdict


@dataclass(frozen=True, slots=True)
class Quality:
    """Pass what is proven better than the champion, fail what is proven worse.

    ``need="better"`` promotes on proof of better; ``need="not_worse"`` on proof that it is not worse by the rollout's
    quality margin, for those who replace a model for its cost; ``need="no_harm"`` after ``WARM_UP`` blocks without
    proof of worse, for challengers that something else speaks for (retraining: a backtest, or a changed world).
    The highest e-value so far counts (Ville's inequality).
    ``among``: how many judges share ``alpha`` for rolling back; promotion needs all of them, so that needs no share.
    Where more than ``most_dropped`` of the shadow's questions went unanswered, the pairs are a selection and it says
    nothing.

    ``Quality(need="better", alpha=0.05, among=2)``; evidence: ``rivals.statistics.eprocess.BlockBets``.
    """

    need: Literal["better", "not_worse", "no_harm"] = "better"
    alpha: float = 0.05
    among: int = 1
    most_dropped: float = MOST_DROPPED

    def __post_init__(self) -> None:
        Budget("quality", self.alpha, self.among)
        if self.need not in {"better", "not_worse", "no_harm"}:
            raise SpecError(f"judge quality: need is better, not_worse or no_harm, not {self.need!r}.")

    def judge(self, evidence: Evidence) -> Verdict:
        """Worse first; then what is needed; else how far the evidence goes."""
        budget = Budget("quality", self.alpha, self.among)
        worse = figure(evidence.log_e, "quality.worse")
        name = "noninferior" if self.need == "not_worse" else "better"
        needed = figure(evidence.log_e, f"quality.{name}")
        off = figure(evidence.estimates, "quality.difference")
        figures = {"worse": worse, name: needed, "difference": off, "blocks": float(evidence.blocks)}
        if evidence.blocks == 0:
            told = "no block of labelled pairs has matured yet"
        else:
            told = f"loss differs by {off:+.5f} from {evidence.champion}'s over {evidence.blocks} blocks"
        if reason := biased(evidence, self.most_dropped):
            status = Status.INCONCLUSIVE
        elif worse >= budget.against:
            status, reason = Status.FAIL, f"it is worse: {told}"
        elif self.need == "no_harm" and evidence.blocks >= WARM_UP:
            status, reason = Status.PASS, f"no harm is proven: {told}"
        elif self.need != "no_harm" and needed >= budget.proof:
            said = "better" if self.need == "better" else "not worse than the margin"
            status, reason = Status.PASS, f"it is {said}: {told}"
        else:
            status, reason = Status.INCONCLUSIVE, f"{told}: not decided ({budget.short(needed)})"
        return Verdict(
            "quality", status, reason, {key: value for key, value in figures.items() if not math.isnan(value)}
        )
