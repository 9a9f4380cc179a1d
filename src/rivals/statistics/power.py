"""How long a decision will take: by the same bets on days drawn from days already seen, or from rates alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import mul
from statistics import NormalDist

import numpy as np

from rivals.errors import DataError
from rivals.statistics.eprocess import BlockBets, bets_on_harm, on_block

RUNS = 101  # odd, so that the median is one of them
ROUNDS = 50


def units_for_rates(first: float, second: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Units per arm of a two-sided z-test of two rates that is looked at once: the yardstick for all others.

    Fleiss, Levin & Paik, Statistical Methods for Rates and Proportions (2003), chapter 4. Raises ``DataError`` on rates
    that are equal or outside [0, 1].
    """
    if not (0 <= first <= 1 and 0 <= second <= 1 and first != second):
        raise DataError(f"A sample size needs two different rates between 0 and 1; got {first} and {second}.")
    pooled = (first + second) / 2
    certain, strong = NormalDist().inv_cdf(1 - alpha / 2), NormalDist().inv_cdf(power)
    apart = certain * math.sqrt(2 * pooled * (1 - pooled)) + strong * math.sqrt(
        first * (1 - first) + second * (1 - second)
    )
    return math.ceil((apart / (first - second)) ** 2)


def units_for_means(difference: float, deviation: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Units per arm of a two-sided z-test of two means with that standard deviation, looked at once."""
    if not (difference and deviation > 0):
        raise DataError(f"A sample size needs a difference and a deviation above 0; got {difference}, {deviation}.")
    apart = NormalDist().inv_cdf(1 - alpha / 2) + NormalDist().inv_cdf(power)
    return math.ceil(2 * (apart * deviation / difference) ** 2)


def requests_for_harm(champion: float, challenger: float, share: float, alpha: float = 0.05) -> float:
    """Requests of the pair after which ``eprocess.FailureArm`` expects to see harm; infinite where there is none.

    ``champion``, ``challenger``: failure rates; ``share``: the challenger's share of the pair, in (0, 1). Where the
    bets, growing as fast as they do on average, are proof together; units are taken to come only once. Half of the
    rollouts are done a little earlier: the medians of 600 simulated ones were 0.65 to 0.9 of this.
    """
    if challenger <= champion:
        return math.inf
    bets = bets_on_harm(share, champion)
    often = ((1 - share) * champion, share * challenger, (1 - share) * (1 - champion), share * (1 - challenger))
    growth = [sum(map(mul, often, one)) for one in zip(*bets.failed, *bets.good, strict=True)]
    proof, requests = math.log(len(growth) / alpha), 1.0
    if max(growth) <= 0:
        return math.inf
    for _ in range(ROUNDS):  # the best bet alone decides where it grows fastest; the others help a little
        together = sum(math.exp(requests * (one - max(growth))) for one in growth)
        requests = (proof - math.log(together)) / max(growth)
    return requests


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
