"""Weights over rivals that follow their losses, with what they can have cost more than the best rival, for any losses.

Losses are at least 0 and known one round after the other; each round multiplies a weight by exp(-rate * loss) and
shares a little among all, so that a rival that was bad for long comes back quickly. The rate falls by doubling: it is
held while the rounds so far have earned it, then halved in square. No assumption is made on how losses come about, so
the bound holds on drifting, adversarial and autocorrelated ones alike.

Losses of rivals that were not asked are estimated by weighing those that were (``seen``): unbiased, and larger than 1;
the bound counts what they really were.

Freund & Schapire (1997); Cesa-Bianchi & Lugosi, "Prediction, Learning, and Games" (2006), theorems 2.2 and 2.3 (rate
and doubling). Fixed share: Herbster & Warmuth, Machine Learning 32 (1998). Weighing: Auer et al., SIAM J. Comput. 32
(2002).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rivals.errors import DataError

LEAST = 1e-300  # a weight that underflowed


@dataclass(frozen=True, slots=True)
class Hedge:
    """Weights and what they came to. ``epoch``: the rate is for 2^epoch rounds; ``spent``: how many it has had."""

    weights: Mapping[str, float]
    epoch: int = 0
    spent: float = 0.0
    rounds: int = 0
    own: float = 0.0  # loss of the weights, summed
    losses: Mapping[str, float] = field(default_factory=dict)  # of each rival, summed
    bounds: Mapping[str, float] = field(default_factory=dict)  # of ``own`` over each rival's

    @property
    def best(self) -> str:
        """The rival with the least loss so far; the first of equals by name."""
        return min(sorted(self.weights), key=lambda name: self.losses.get(name, 0.0))

    @property
    def regret(self) -> float:
        """What the weights lost more than the best rival would have."""
        return self.own - self.losses.get(self.best, 0.0)

    @property
    def bound(self) -> float:
        """What ``regret`` can be at most, whatever the losses were."""
        return self.bounds.get(self.best, 0.0)


def rate(arms: int, rounds: float) -> float:
    """The learning rate for so many rounds of losses in [0, 1]: sqrt(8 ln N / T)."""
    return math.sqrt(8 * math.log(max(2, arms)) / rounds)


def regret_bound(arms: int, rounds: float) -> float:
    """What that rate can cost at most, where the rounds are known before: sqrt(T ln N / 2)."""
    return math.sqrt(rounds * math.log(arms) / 2)


def begin(arms: tuple[str, ...]) -> Hedge:
    """Equal weights, nothing lost."""
    if not arms:
        raise DataError("Weights are over one rival at least.")
    first = -math.log(1 / len(arms)) / rate(len(arms), 1)
    return Hedge(dict.fromkeys(arms, 1 / len(arms)), losses=dict.fromkeys(arms, 0.0), bounds=dict.fromkeys(arms, first))


def step(hedge: Hedge, losses: Mapping[str, float], *, memory: float = 10_000, share: float | None = None) -> Hedge:
    """The weights after a round. A rival without a loss had 0.

    ``memory``: rounds over which a rival stays the best one, more or less: the rate falls no further than it is for
    so many, and ``share`` is 1 / memory if not said (0: the best rival of all time is followed). Raises ``DataError``
    on a loss below 0.
    """
    arms = list(hedge.weights)
    lost = {name: float(losses.get(name, 0.0)) for name in arms}
    if not all(0 <= loss < math.inf for loss in lost.values()):
        raise DataError("A loss is a number from 0 up; scale them first.")
    own = math.fsum(hedge.weights[name] * lost[name] for name in arms)
    square = math.fsum(hedge.weights[name] * lost[name] ** 2 for name in arms)
    # Hoeffding's lemma for what lies in a range, or the second order for what is not negative.
    earned = min((max(lost.values()) - min(lost.values())) ** 2, 4 * square)
    epoch, room = hedge.epoch, 2**hedge.epoch - hedge.spent
    while earned > room and 2 ** (epoch + 1) <= memory:
        epoch += 1
        room = 2**epoch
    if epoch != hedge.epoch:
        hedge = _slower(hedge, epoch)
    at, shared = rate(len(arms), 2**hedge.epoch), 1 / memory if share is None else share
    least = min(lost.values())  # all alike less: the same weights, and nothing underflows
    grown = {name: hedge.weights[name] * math.exp(-at * (lost[name] - least)) for name in arms}
    total = math.fsum(grown.values())
    weights = {name: (1 - shared) * one / total + shared / len(arms) for name, one in grown.items()}
    cost = at * earned / 8 - math.log1p(-shared) / at
    return replace(
        hedge,
        weights=weights,
        spent=hedge.spent + earned,
        rounds=hedge.rounds + 1,
        own=hedge.own + own,
        losses={name: hedge.losses[name] + lost[name] for name in arms},
        bounds={name: hedge.bounds[name] + cost for name in arms},
    )


def _slower(hedge: Hedge, epoch: int) -> Hedge:
    """A later epoch: the weights go on; a rival's way up from its weight is paid for at the new rate, not the old."""
    arms = len(hedge.weights)
    dearer = 1 / rate(arms, 2**epoch) - 1 / rate(arms, 2**hedge.epoch)
    way = {name: -math.log(max(weight, LEAST)) * dearer for name, weight in hedge.weights.items()}
    return replace(
        hedge, epoch=epoch, spent=0.0, bounds={name: bound + way[name] for name, bound in hedge.bounds.items()}
    )
