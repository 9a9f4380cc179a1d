"""Flagger's canary analysis: a metric in a range at every interval, and so many failed checks until a rollback."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from rivals.decide.rules.look import Arms, Look, Metric, gathered
from rivals.values import Status


@dataclass(frozen=True, slots=True)
class Range:
    """What a metric may be: a success rate of at least ``least``, and a rate of at most ``ratio`` times the champion's.

    The first is the built-in ``request-success-rate`` with ``thresholdRange.min``, the second a MetricTemplate whose
    query divides one rate by the other.
    """

    least: float = 0.0
    ratio: float = math.inf

    def holds(self, arms: Arms) -> bool:
        """Whether the check passes; without traffic it does not ("no values found" halts and counts as failed)."""
        if not arms.challenger.met:
            return False
        within = math.isinf(self.ratio) or arms.challenger.rate <= self.ratio * arms.champion.rate
        return 1 - arms.challenger.rate >= self.least and within


@dataclass(frozen=True, slots=True)
class Flagger:
    """Every interval: all metrics in their ranges, or the advance halts and a failed check is counted.

    ``threshold`` failed checks in all roll back; the counter is not reset by a check that passes. ``interval``: looks.
    Defaults are those of the documented example: success rate of 99 %, threshold 10.

    https://docs.flagger.app/usage/how-it-works, /usage/metrics and /usage/deployment-strategies ("halt advancement
    while canary request success rate is under the threshold; increment the failed checks counter").
    """

    ranges: Mapping[Metric, Range] = field(default_factory=lambda: {"failures": Range(least=0.99)})
    threshold: int = 10
    interval: int = 1

    def begin(self) -> tuple[tuple[Look, ...], int]:
        """Looks of the interval so far, and failed checks."""
        return (), 0

    def look(self, memory: tuple[tuple[Look, ...], int], seen: Look) -> tuple[tuple[tuple[Look, ...], int], Status]:
        """A check at the end of every interval."""
        looks, failed = (*memory[0], seen), memory[1]
        if len(looks) < self.interval:
            return (looks, failed), Status.INCONCLUSIVE
        if all(allowed.holds(gathered(looks, metric)) for metric, allowed in self.ranges.items()):
            return ((), failed), Status.PASS
        failed += 1
        return ((), failed), Status.FAIL if failed >= self.threshold else Status.INCONCLUSIVE
