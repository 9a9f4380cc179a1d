"""Many e-values at once: which of them count, when several variants are compared with one champion.

E-values may depend on each other in any way. Each is the log of a process *now*, or at the moment it was stopped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def e_bonferroni(logs: Sequence[float], alpha: float) -> NDArray[np.bool_]:
    """Which are proof, with probability ``alpha`` at most of even one that should not be: those of ``len / alpha``.

    The highest of each process so far may be given: every one keeps its own promise, at ``alpha / len``. For V variants
    and one champion there are V - 1 of them. Wang & Ramdas, JRSS-B 2022, arXiv:2009.02824, section 2.
    """
    return np.asarray(logs, np.float64) >= math.log(max(len(logs), 1) / alpha)


def e_bh(logs: Sequence[float], alpha: float) -> NDArray[np.bool_]:
    """Which to report, an expected share of ``alpha`` of them false at most: the k largest, if all >= n / (k alpha).

    For a list to look into, not for a promotion. Give values as they are now: the highest so far are no e-values.
    Wang & Ramdas, "False discovery rate control with e-values", JRSS-B 2022, arXiv:2009.02824.
    """
    values = np.asarray(logs, np.float64)
    ordered = np.sort(values)[::-1]
    ranks = np.arange(1, len(values) + 1)
    kept = np.flatnonzero(ordered + np.log(ranks) >= math.log(max(len(values), 1) / alpha))
    return values >= ordered[kept[-1]] if len(kept) else np.zeros(len(values), bool)
