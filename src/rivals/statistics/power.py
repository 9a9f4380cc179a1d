"""How long a decision will take: the same bets, on days drawn from days already seen."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rivals.statistics.eprocess import BlockBets, on_block

RUNS = 101  # odd, so that the median is one of them


def expected_days(
    differences: Sequence[float],
    rng: np.random.Generator,
    *,
    proof: float = math.log(1 / 0.05),
    against: float = math.log(2 / 0.05),
    block: float = 86_400.0,
    label_delay: float = 0.0,
    climb: float = 0.0,
    horizon: int = 365,
) -> float:
    """Median days until the challenger is promoted or rolled back for its quality; infinite past ``horizon`` blocks.

    ``differences``: mean paired loss difference (challenger minus champion) of each past block, as the prediction bank
    has them on held-out rows. ``proof`` and ``against`` are the quality judge's thresholds, ``climb`` the seconds from
    proof to promotion (steps times ``every``). Blocks are drawn with replacement, so the future is taken to be like
    the past; fewer than two blocks say nothing.
    """
    if len(differences) < 2:  # noqa: PLR2004 -- one block has no spread
        return math.inf
    found = []
    for draw in rng.choice(np.asarray(differences, np.float64), (RUNS, horizon)).tolist():
        blocks, promoted = _decided(draw, proof, against)
        found.append((blocks * block + label_delay + climb * promoted) / 86_400)
    return float(np.median(found))


def _decided(draw: Sequence[float], proof: float, against: float) -> tuple[float, bool]:
    """After how many blocks, and whether for the challenger."""
    bets = BlockBets()
    for blocks, one in enumerate(draw, start=1):
        bets = on_block(bets, one, 0.0)
        if bets.worse.highest >= against or bets.better.highest >= proof:
            return blocks, bets.better.highest >= proof
    return math.inf, False
