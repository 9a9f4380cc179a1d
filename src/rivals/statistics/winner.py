"""What the best of many is truly worth: its score on the rows it was chosen on is too good.

Tsamardinos, Greasidou, Borboudakis, Bootstrapping the out-of-sample predictions for efficient and accurate
cross-validation, Machine Learning 107 (2018), "BBC-CV": choose on a bootstrap sample, score on what was not drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rivals.errors import DataError
from rivals.statistics.losses import Floats
from rivals.statistics.paired import student_quantile


@dataclass(frozen=True, slots=True)
class Honest:
    """The winner's score without the luck of having been chosen.

    [``low``, ``high``] holds its score on as many new rows as it was chosen on with probability 1 - alpha;
    ``optimism`` is what choosing made its own score look better, never below 0.
    """

    variant: str
    estimate: float
    low: float
    high: float
    optimism: float

    def told(self) -> str:
        """The estimate with its interval."""
        return f"{self.estimate:.5f} [{self.low:.5f}, {self.high:.5f}]"

    def turned(self) -> Honest:
        """The same where more is better."""
        return Honest(self.variant, -self.estimate, -self.high, -self.low, self.optimism)


def honest(
    names: tuple[str, ...],
    losses: Floats,
    influence: Floats,
    counts: Floats,
    alpha: float = 0.05,
    fresh: float = 1.0,
) -> Honest:
    """Estimate the loss of whoever is best, and an interval for it on ``fresh`` times as many new rows.

    ``losses`` is (models,), less is better; ``influence`` (models, blocks); ``counts`` (draws, blocks) as of ``drawn``.
    A sample's loss is the whole loss and the mean influence of its blocks: exact for means over equal blocks.
    """
    blocks = influence.shape[1]
    if not fresh > 0:
        raise DataError(f"An estimate for {fresh} times as many rows says nothing; give a number above 0.")
    best = int(np.argmin(losses))
    left = (counts == 0).astype(np.float64)
    usable = left.sum(axis=1) > 0
    left = left[usable] / left[usable].sum(axis=1, keepdims=True)
    chosen = np.argmin(losses + counts[usable] @ influence.T / blocks, axis=1)
    outside = losses[chosen] + np.einsum("db,db->d", left, influence[chosen])
    # What the draws do to one model alone is known to be nothing: taking it off leaves less of their noise.
    alone = left @ (influence[best] - influence[best].mean())
    estimate = float(np.mean(outside - alone))
    error = float(influence[best].std(ddof=1)) / math.sqrt(blocks)
    reach = student_quantile(1 - alpha / 2, blocks - 1) * error * math.sqrt(1 + 1 / fresh)
    return Honest(names[best], estimate, estimate - reach, estimate + reach, max(0.0, estimate - float(losses[best])))
