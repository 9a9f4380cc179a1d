"""Not worse than the one a person approved: so that a chain of champions, each not worse than the last, stays put."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from rivals.decide.compare import Entry, Truth, compare
from rivals.decide.gate import offline
from rivals.decide.judges.noninferior import Noninferior
from rivals.statistics.losses import Floats, Metric, Target, Weight
from rivals.values import Verdict


def not_worse(
    reference: Entry,
    challenger: Entry,
    truth: Truth,
    loss: Callable[[Target, Floats], Floats],
    margin: float,
    *,
    name: str = "loss",
    seed: int = 0,
) -> Verdict:
    """PASS where the challenger is proven worse than the reference by less than ``margin``, on rows both answered.

    ``loss`` is one per row, in units of the margin. Paired, blocks of time drawn, at 97.5 % one-sided
    (``rivals.decide.compare``). Raises ``DataError`` where they did not answer the same rows, or too few.
    """

    def mean(target: Target, outputs: Floats, weight: Weight) -> float:
        return float(np.average(loss(target, outputs), weights=weight))

    entries = [replace(reference, variant="reference"), replace(challenger, variant="challenger")]
    board = compare(entries, truth, Metric(name, True, mean, loss), champion="reference", seed=seed)
    verdict = Noninferior(name, margin).judge(offline([board], "challenger"))
    return replace(verdict, reason=verdict.reason.replace("reference's", f"that of the reference {reference.variant}"))
