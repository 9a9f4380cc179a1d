"""Does the challenger cost the business anything? Rewards of units, by the variant they were assigned to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from rivals.decide.proof import Budget, figure, unmet
from rivals.errors import SpecError
from rivals.values import Evidence, Status, Verdict


@dataclass(frozen=True, slots=True)
class Reward:
    """Pass what is proven to bring no less than the champion by ``margin``, fail what is proven to bring less.

    Rewards lie in the declared range [``low``, ``high``] (beyond it they are clipped) and come as feedback; ``margin``
    is in their units. ``need="more"`` promotes on proof of more only. One bet per block, on units as they were
    randomised; in the shadow there are no rewards, so there it says nothing against going on.

    ``Reward(low=0, high=20, margin=0.1)``; evidence: ``rivals.observe.guardrails.on_rewards``.
    """

    low: float = 0.0
    high: float = 1.0
    margin: float = 0.02
    need: Literal["more", "not_less"] = "not_less"
    alpha: float = 0.05
    among: int = 1

    def __post_init__(self) -> None:
        Budget("reward", self.alpha, self.among)
        numbers = (self.low, self.high, self.margin)
        if not all(isinstance(one, (int, float)) and math.isfinite(one) for one in numbers) or not self.low < self.high:
            raise SpecError(f"judge reward: low and high are numbers, the first below the second, not {numbers[:2]}.")
        if not 0 <= self.margin < self.high - self.low:
            raise SpecError(f"judge reward: margin is from 0 to below the range, not {self.margin!r}.")
        if self.need not in {"more", "not_less"}:
            raise SpecError(f"judge reward: need is more or not_less, not {self.need!r}.")

    def judge(self, evidence: Evidence) -> Verdict:
        """Less first; then what is needed; else how far the evidence goes."""
        budget = Budget("reward", self.alpha, self.among)
        name = "better" if self.need == "more" else "noninferior"
        worse, needed = figure(evidence.log_e, "reward.worse"), figure(evidence.log_e, f"reward.{name}")
        off, units = figure(evidence.estimates, "reward.difference"), figure(evidence.estimates, "reward.units")
        figures = {"worse": worse, name: needed, "difference": off, "units": units}
        told = "no reward has come yet" if math.isnan(off) else f"reward differs by {off:+.5g} over {units:.0f} units"
        if worse >= budget.against:
            status, reason = Status.FAIL, f"it brings less: {told}"
        elif unmet(evidence):
            status, reason = Status.PASS, "in the shadow it can bring nothing; it is judged from the first step on"
        elif needed >= budget.proof:
            status, reason = Status.PASS, f"it brings {'more' if self.need == 'more' else 'no less'}: {told}"
        else:
            status, reason = Status.INCONCLUSIVE, f"{told}: not decided ({budget.short(needed)})"
        return Verdict(
            "reward", status, reason, {key: value for key, value in figures.items() if not math.isnan(value)}
        )
