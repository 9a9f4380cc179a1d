"""What a policy would have earned, from the log of another one; refused where the log cannot say.

Each row was answered by one variant, drawn with a logged propensity. Weighing its reward by how much likelier the new
policy would have drawn that variant gives the new policy's mean reward. Few rows with large weights say next to
nothing, however many rows there are: that is what the effective sample size shows, and below a hundred it is refused.
``estimates`` answers once, with three estimators; ``value`` may be asked at every look, and is wider for it.

Self-normalised weights: Swaminathan & Joachims, NeurIPS 2015. Doubly robust: Dudik, Langford & Li, arXiv:1103.4601.
Confidence sequence: Waudby-Smith, Wu, Ramdas, Karampatziakis & Mineiro, arXiv:2210.10768.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from rivals.errors import DataError
from rivals.statistics.betting import mean_interval
from rivals.statistics.losses import Floats
from rivals.statistics.mixtures import ALPHA

LEAST = 100.0  # effective rows
BALANCED = (0.9, 1.1)  # the mean weight, which is 1 where propensities are what they were logged to be


@dataclass(frozen=True, slots=True)
class Value:
    """A policy's mean reward: the estimate, an interval valid at every look, and how much of the log stands behind it.

    ``refused``: why it is not to be believed, or nothing.
    """

    estimate: float
    low: float
    high: float
    effective: float  # rows: (sum w)^2 / sum w^2
    weight: float  # mean
    refused: str = ""


def value(
    reward: Floats,
    logged: Floats,
    wanted: Floats,
    floor: float,
    *,
    expected: tuple[Floats, Floats] | None = None,
    alpha: float = ALPHA,
) -> Value:
    """Mean reward in [0, 1] under another policy: self-normalised, or doubly robust with ``expected``.

    All (rows,). ``logged``, ``wanted``: how likely the variant that answered was, by the log and by the new policy.
    ``floor``: the least propensity that the log could hold; a weight is 1 / floor at most. ``expected``: what a model
    that was not fitted on these rows expects in [0, 1], of the variant that answered, and of the new policy on average.
    Raises ``DataError`` on rewards outside [0, 1] and propensities that could not have been.
    """
    if not len(reward) or not ((reward >= 0) & (reward <= 1)).all():
        raise DataError("A policy is valued by rewards from 0 to 1, of one row at least; scale them first.")
    if not (floor > 0 and ((logged >= floor) & (logged <= 1) & (wanted >= 0) & (wanted <= 1)).all()):
        raise DataError("Logged propensities lie from the floor, above 0, to 1; those of the new policy from 0 to 1.")
    weight = wanted / logged
    total, mean = float(weight.sum()), float(weight.mean())
    effective = total**2 / float((weight**2).sum()) if total else 0.0
    if expected is None:
        estimate = float(weight @ reward) / total if total else 0.0
        low, high = mean_interval(weight * reward, 0.0, 1 / floor, alpha)
    else:
        scores = expected[1] + weight * (reward - expected[0])
        estimate = float(scores.mean())
        low, high = mean_interval(scores, -1 / floor, 1 + 1 / floor, alpha)
    return Value(estimate, max(0.0, low), min(1.0, high), effective, mean, _refused(effective, mean))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean reward, and its interval at 1 - alpha for one look at a log of this length."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Estimates:
    """What a policy would have earned: ``ips``, ``snips`` and, with a model of the reward, ``dr``.

    ``logged``: what the log itself earned. ``refused``: why the others are not to be believed, or nothing.
    """

    rows: int
    logged: Estimate
    found: tuple[Estimate, ...]
    effective: float  # rows: (sum w)^2 / sum w^2
    weight: float  # mean
    largest: float  # weight
    refused: str = ""


def estimates(
    reward: Floats,
    logged: Floats,
    wanted: Floats,
    *,
    expected: tuple[Floats, Floats] | None = None,
    alpha: float = ALPHA,
) -> Estimates:
    """Mean reward under another policy, of any scale, from independent rows: all (rows,), as for ``value``.

    Normal intervals, whose coverage is as it says where the effective sample size is in the hundreds. Raises
    ``DataError`` on no rows, and on propensities and rewards that could not have been.
    """
    if not len(reward) or not np.isfinite(reward).all():
        raise DataError("A policy is valued by rewards that are numbers, of one row at least.")
    if not ((logged > 0) & (logged <= 1) & (wanted >= 0) & (wanted <= 1)).all():
        raise DataError("Logged propensities are above 0 and at most 1; those of the new policy from 0 to 1.")
    weight = wanted / logged
    total, mean = float(weight.sum()), float(weight.mean())
    effective = total**2 / float((weight**2).sum()) if total else 0.0
    found = [_mean("ips", weight * reward, alpha)]
    if total:
        centre = float(weight @ reward) / total
        spread = math.sqrt(float((weight**2 * (reward - centre) ** 2).sum())) / total
        found.append(_around("snips", centre, spread, alpha))
    if expected is not None:
        found.append(_mean("dr", expected[1] + weight * (reward - expected[0]), alpha))
    return Estimates(
        len(reward),
        _mean("logged", reward, alpha),
        tuple(found),
        effective,
        mean,
        float(weight.max()),
        _refused(effective, mean),
    )


def _mean(name: str, scores: Floats, alpha: float) -> Estimate:
    error = float(scores.std(ddof=1)) / math.sqrt(len(scores)) if len(scores) > 1 else math.inf
    return _around(name, float(scores.mean()), error, alpha)


def _around(name: str, centre: float, error: float, alpha: float) -> Estimate:
    reach = NormalDist().inv_cdf(1 - alpha / 2) * error
    return Estimate(name, centre, centre - reach, centre + reach)


def _refused(effective: float, mean: float) -> str:
    if effective < LEAST:
        return f"the log says as much as {effective:.0f} rows of the policy's own would; {LEAST:.0f} are needed"
    if not BALANCED[0] <= mean <= BALANCED[1]:
        return f"weights are {mean:.2f} on average and not 1: the propensities are not what was logged"
    return ""
