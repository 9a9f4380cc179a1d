"""A test of two proportions that is looked at again and again, as on a dashboard."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from rivals.decide.rules.look import Arms, Look, Metric
from rivals.values import Status


def z(champion: tuple[int, int], challenger: tuple[int, int]) -> float:
    """How many standard errors the challenger's rate lies above; each arm is (met, bad). Pooled variance."""
    (n0, x0), (n1, x1) = champion, challenger
    if not n0 or not n1 or not 0 < x0 + x1 < n0 + n1:
        return 0.0
    pooled = (x0 + x1) / (n0 + n1)
    return (x1 / n1 - x0 / n0) / math.sqrt(pooled * (1 - pooled) * (1 / n0 + 1 / n1))


@dataclass(frozen=True, slots=True)
class Peeking:
    """Roll back once the challenger is significantly worse, one-sided at ``alpha``; let the ramp go on until then.

    ``interval``: looks from one test to the next. ``by_step``: counts of each share apart (Mantel-Haenszel), so that a
    ramp does not mix with the day. ``metrics``: each is tested at ``alpha``.

    The textbook test (Fleiss, Statistical Methods for Rates and Proportions); what looking often does to it:
    Armitage, McPherson & Rowe (1969).
    """

    alpha: float = 0.05
    interval: int = 1
    by_step: bool = False
    metrics: tuple[Metric, ...] = ("failures",)

    def begin(self) -> tuple[int, dict[tuple[Metric, float], Arms]]:
        """Looks so far, and what was met by metric and share."""
        return 0, {}

    def look(
        self, memory: tuple[int, dict[tuple[Metric, float], Arms]], seen: Look
    ) -> tuple[tuple[int, dict[tuple[Metric, float], Arms]], Status]:
        """Test every metric."""
        looks, met = memory[0] + 1, dict(memory[1])
        for metric in self.metrics:
            key = (metric, seen.share if self.by_step else 0.0)
            met[key] = met.get(key, Arms()) + seen.arms(metric)
        if looks % self.interval:
            return (looks, met), Status.INCONCLUSIVE
        bound = NormalDist().inv_cdf(1 - self.alpha)
        worse = any(
            stratified([arms for (of, _), arms in met.items() if of == metric]) > bound for metric in self.metrics
        )
        return (looks, met), Status.FAIL if worse else Status.PASS


def stratified(strata: list[Arms]) -> float:
    """The same over strata (Cochran 1954); of a single one, the test of two proportions."""
    if len(strata) == 1:
        one = strata[0]
        return z((one.champion.met, one.champion.bad), (one.challenger.met, one.challenger.bad))
    excess = variance = 0.0
    for one in strata:
        n, bad = one.champion.met + one.challenger.met, one.champion.bad + one.challenger.bad
        if n > 1:
            excess += one.challenger.bad - bad * one.challenger.met / n
            variance += one.champion.met * one.challenger.met * bad * (n - bad) / (n * n * (n - 1))
    return excess / math.sqrt(variance) if variance > 0 else 0.0
