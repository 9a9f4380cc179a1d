"""Beta posteriors of two rates, asked at every look whether the challenger is worse."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rivals.decide.rules.look import Arms, Look, Metric, Tally
from rivals.values import Status

Floats = NDArray[np.float64]

GRID = 600
FAR = 9.0  # standard deviations that the grid reaches beyond the means

Prior = tuple[float, float]  # of both arms; a and b of a Beta, each at least 1


def compared(champion: Tally, challenger: Tally, prior: Prior) -> tuple[float, float]:
    """The probability that the challenger's rate is the higher one, and the expected loss E[max(0, it - champion's)].

    By the trapezoid rule on a grid over both posteriors; good to four digits.
    """
    a0, b0, a1, b1 = (*_posterior(champion, prior), *_posterior(challenger, prior))
    spread = [(a / (a + b), FAR * math.sqrt(a * b / (a + b + 1)) / (a + b)) for a, b in ((a0, b0), (a1, b1))]
    low, high = max(0.0, min(mean - far for mean, far in spread)), min(1.0, max(mean + far for mean, far in spread))
    x = np.linspace(low, high, GRID)
    first, second = _density(x, a0, b0), _density(x, a1, b1)
    below, above = _cumulative(first, x), 1 - _cumulative(second, x)
    return float(np.trapezoid(second * below, x)), float(np.trapezoid(above * below, x))


def _posterior(one: Tally, prior: Prior) -> tuple[float, float]:
    return prior[0] + one.bad, prior[1] + one.met - one.bad


def _density(x: Floats, a: float, b: float) -> Floats:
    """Of a Beta with a, b >= 1, scaled to have mass 1 on the grid."""
    with np.errstate(divide="ignore"):
        logs = (a - 1) * np.log(x) if a > 1 else np.zeros_like(x)
        if b > 1:
            logs = logs + (b - 1) * np.log1p(-x)
    values = np.exp(logs - logs.max())
    return np.asarray(values / np.trapezoid(values, x))


def _cumulative(density: Floats, x: Floats) -> Floats:
    return np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(x))])


@dataclass(frozen=True, slots=True)
class Bayes:
    """Roll back once P(challenger worse) exceeds ``worse``; else go on where the expected loss is small enough.

    ``metrics``: the prior of each, and its threshold of caring, in the metric's own units (infinite: the ramp goes on
    until it is rolled back). ``interval``: looks from one question to the next.

    P(worse) from Beta posteriors with uniform priors, and the expected loss: Stucchio, Bayesian A/B Testing at VWO
    (2015). Deng, Lu & Chen, arXiv:1602.05549, on why optional stopping is not free of charge for frequencies.
    """

    metrics: Mapping[Metric, tuple[Prior, float]] = field(default_factory=lambda: {"failures": ((1.0, 1.0), math.inf)})
    worse: float = 0.95
    interval: int = 1

    def begin(self) -> tuple[int, dict[Metric, Arms]]:
        """Looks so far, and all that was met."""
        return 0, dict.fromkeys(self.metrics, Arms())

    def look(self, memory: tuple[int, dict[Metric, Arms]], seen: Look) -> tuple[tuple[int, dict[Metric, Arms]], Status]:
        """Ask for every metric."""
        looks = memory[0] + 1
        met = {metric: arms + seen.arms(metric) for metric, arms in memory[1].items()}
        if looks % self.interval:
            return (looks, met), Status.INCONCLUSIVE
        status = Status.PASS
        for metric, (prior, care) in self.metrics.items():
            worse, loss = compared(met[metric].champion, met[metric].challenger, prior)
            if worse > self.worse:
                return (looks, met), Status.FAIL
            if loss > care:
                status = Status.INCONCLUSIVE
        return (looks, met), status
