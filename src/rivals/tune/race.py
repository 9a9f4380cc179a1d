"""When a trial need not be finished: its rows so far say that it will not beat the best one.

The trial and the best one answered the same rows, so the difference of their losses is taken row by row. What the rows
still to come will say is predicted from those seen: the difference of all rows is then about normal, with the variance
of the mean seen and of the mean to come. That models of folds share rows speaks for the fold to come being like the one
seen, so nothing is added for it. A trial is stopped where the chance of ending below the best one is under ``chance``.
Racing by paired folds:
Birattari et al., A racing algorithm for configuring metaheuristics, GECCO 2002.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Losses = NDArray[np.floating]

CHANCE = 0.005  # of stopping what would have been the best, as far as the normal holds


def hopeless(losses: Losses, best: Losses, chance: float = CHANCE) -> bool:
    """Whether a trial with these losses so far, shape (n,), will not beat ``best``, shape (N,), N > n, row for row."""
    seen, total = len(losses), len(best)
    if not 1 < seen < total:
        return False
    apart = np.asarray(losses, np.float64) - np.asarray(best[:seen], np.float64)
    mean, spread = float(apart.mean()), float(apart.std(ddof=1))
    if mean <= 0:
        return False
    rest = (total - seen) / total
    doubt = rest * spread * math.sqrt(1 / seen + 1 / (total - seen))
    return mean > doubt * NormalDist().inv_cdf(1 - chance)


def expected(losses: Losses, best: Losses) -> float:
    """The loss a stopped trial would have come to: the best one's, and what it was worse by on the rows it answered."""
    seen = len(losses)
    return float(np.mean(best) + np.mean(np.asarray(losses, np.float64) - np.asarray(best[:seen], np.float64)))
