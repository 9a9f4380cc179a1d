"""Kayenta's judge (NetflixACAJudge): Mann-Whitney on two time series, a score of the metrics, two thresholds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from rivals.decide.rules.look import Look, Metric, gathered
from rivals.values import Status

Floats = NDArray[np.float64]


def high(control: Floats, experiment: Floats, confidence: float = 0.98, tolerance: float = 0.25) -> bool:
    """Whether a series is classified High: the interval's lower end lies above ``tolerance`` times the shift.

    The shift is the Hodges-Lehmann estimate, the median of all pairwise differences; the interval is that of the
    Mann-Whitney test with normal approximation, ties and continuity correction, as R's ``wilcox.test`` makes it. Its
    lower end is above c where the statistic of the shifted series still exceeds the quantile, so no root is looked for.
    """
    if not len(control) or not len(experiment) or len(np.unique(np.concatenate([control, experiment]))) == 1:
        return False
    shift = float(np.median(experiment[:, None] - control))
    return _statistic(control, experiment - tolerance * abs(shift)) > NormalDist().inv_cdf(0.5 + confidence / 2)


def _statistic(control: Floats, experiment: Floats) -> float:
    """The standardised Mann-Whitney statistic, positive where the experiment is higher."""
    n, m = len(experiment), len(control)
    both = np.sort(control)
    below, up_to = np.searchsorted(both, experiment, "left"), np.searchsorted(both, experiment, "right")
    off = float((below + up_to).sum() / 2) - n * m / 2
    _, ties = np.unique(np.concatenate([experiment, control]), return_counts=True)
    variance = n * m / 12 * (n + m + 1 - float((ties.astype(float) ** 3 - ties).sum()) / ((n + m) * (n + m - 1)))
    return (off - math.copysign(0.5, off) * (off != 0)) / math.sqrt(variance) if variance > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Kayenta:
    """At every step ``runs`` canary runs of ``points`` points; each is a rate over ``width`` looks.

    The score is the percentage of metrics that are not High (direction: increase; points without traffic are removed).
    A run below ``marginal`` rolls back; the last one of a step must reach ``passing``, or it rolls back as well.
    Confidence 98 % and tolerance 0.25 are the judge's own, 50 points, 3 runs, 95 and 75 the documented starting values.

    https://spinnaker.io/docs/guides/user/canary/judge/ and /best-practices/;
    github.com/spinnaker/kayenta (NetflixACAJudge.scala, MannWhitneyClassifier.scala).
    """

    metrics: tuple[Metric, ...] = ("failures",)
    points: int = 50
    width: int = 1
    runs: int = 3
    passing: float = 95.0
    marginal: float = 75.0

    def begin(self) -> tuple[tuple[Look, ...], int]:
        """Looks of the run so far, and runs of the step that are over."""
        return (), 0

    def look(self, memory: tuple[tuple[Look, ...], int], seen: Look) -> tuple[tuple[tuple[Look, ...], int], Status]:
        """Judge at the end of each run."""
        looks, over = (*memory[0], seen), memory[1]
        if len(looks) < self.points * self.width:
            return (looks, over), Status.INCONCLUSIVE
        score, over = self.score(looks), over + 1
        if score < self.marginal or (over == self.runs and score < self.passing):
            return ((), over), Status.FAIL
        if over < self.runs:
            return ((), over), Status.INCONCLUSIVE
        return ((), 0), Status.PASS

    def score(self, looks: tuple[Look, ...]) -> float:
        """Percentage of the metrics that pass; one without data counts for nothing, and no data at all scores 0."""
        found = []
        for metric in self.metrics:
            arms = [gathered(looks[at : at + self.width], metric) for at in range(0, len(looks), self.width)]
            control = np.array([one.baseline.rate for one in arms if one.baseline.met])
            experiment = np.array([one.challenger.rate for one in arms if one.challenger.met])
            if len(control) and len(experiment):
                found.append(not high(control, experiment))
        return 100 * sum(found) / len(found) if found else 0.0
