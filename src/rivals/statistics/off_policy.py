"""What a policy would have earned, from the log of another one; refused where the log cannot say.

Each row was answered by one variant, drawn with a logged propensity. Weighing its reward by how much likelier the new
policy would have drawn that variant gives the new policy's mean reward. Few rows with large weights say next to
nothing, however many rows there are: that is what the effective sample size shows, and below a hundred it is refused.

Self-normalised weights: Swaminathan & Joachims, NeurIPS 2015. Doubly robust: Dudik, Langford & Li, arXiv:1103.4601.
Confidence sequence: Waudby-Smith, Wu, Ramdas, Karampatziakis & Mineiro, arXiv:2210.10768.
"""

from __future__ import annotations

from dataclasses import dataclass

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


def _refused(effective: float, mean: float) -> str:
    if effective < LEAST:
        return f"the log says as much as {effective:.0f} rows of the policy's own would; {LEAST:.0f} are needed"
    if not BALANCED[0] <= mean <= BALANCED[1]:
        return f"weights are {mean:.2f} on average and not 1: the propensities are not what was logged"
    return ""
