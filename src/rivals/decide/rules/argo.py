"""Argo Rollouts' analysis: conditions on a measurement, and limits on how many may fail or be inconclusive."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rivals.decide.rules.look import Look, Metric, Tally, gathered
from rivals.values import Status

Condition = Callable[[Tally, Tally], bool]  # of champion and challenger in the interval


def success_rate(champion: Tally, challenger: Tally) -> bool:  # noqa: ARG001  (a condition is given both)
    """``isNaN(result) || result >= 0.95``: the documented condition, guarded as the documentation advises."""
    return math.isnan(challenger.rate) or 1 - challenger.rate >= 0.95  # noqa: PLR2004  (the number of the document)


@dataclass(frozen=True, slots=True)
class Conditions:
    """``successCondition`` and ``failureCondition``; without the second, what is no success is a failure."""

    success: Condition
    failure: Condition | None = None

    def assess(self, champion: Tally, challenger: Tally) -> Status:
        """One measurement: failed, else successful, else inconclusive."""
        success = self.success(champion, challenger)
        failed = not success if self.failure is None else self.failure(champion, challenger)
        if failed:
            return Status.FAIL
        return Status.PASS if success else Status.INCONCLUSIVE


@dataclass(frozen=True, slots=True)
class Argo:
    """Every ``interval`` looks a measurement of each metric; more failed ones than ``failure_limit`` abort.

    In the background, as in the documented example (95 %, failureLimit 3), the steps go on meanwhile. More
    inconclusive measurements than ``inconclusive_limit`` pause the rollout for a person, who does not come here.

    https://argo-rollouts.readthedocs.io/en/stable/features/analysis/
    """

    metrics: Mapping[Metric, Conditions] = field(default_factory=lambda: {"failures": Conditions(success_rate)})
    failure_limit: int = 3
    inconclusive_limit: int = 0
    interval: int = 1

    def begin(self) -> tuple[tuple[Look, ...], dict[Metric, tuple[int, int]]]:
        """Looks of the interval so far; failed and inconclusive measurements of each metric."""
        return (), dict.fromkeys(self.metrics, (0, 0))

    def look(
        self, memory: tuple[tuple[Look, ...], dict[Metric, tuple[int, int]]], seen: Look
    ) -> tuple[tuple[tuple[Look, ...], dict[Metric, tuple[int, int]]], Status]:
        """A measurement at the end of every interval; a run that failed or paused stays so."""
        looks, counts = (*memory[0], seen), dict(memory[1])
        if len(looks) >= self.interval:
            for metric, conditions in self.metrics.items():
                arms, (failed, unsure) = gathered(looks, metric), counts[metric]
                status = conditions.assess(arms.champion, arms.challenger)
                counts[metric] = (failed + (status is Status.FAIL), unsure + (status is Status.INCONCLUSIVE))
            looks = ()
        if any(failed > self.failure_limit for failed, _ in counts.values()):
            return (looks, counts), Status.FAIL
        paused = any(unsure > self.inconclusive_limit for _, unsure in counts.values())
        return (looks, counts), Status.INCONCLUSIVE if paused else Status.PASS
