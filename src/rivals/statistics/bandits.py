"""Bandits: how much traffic each arm should get, from discounted sums of rewards in [0, 1].

A reward, in the order of time, makes every reward before it count ``keep`` times as much; so sums depend on what was
earned when, and not on when that was heard of or in which batches. What comes back are probabilities, computed and not
sampled, so that they can be logged with every choice and weighed by later.

Thompson (1933); discounted: Raj & Kalyani, arXiv:1707.09727. UCB1: Auer, Cesa-Bianchi & Fischer, Machine Learning 47
(2002); discounted: Garivier & Moulines, arXiv:0805.3415. LinUCB: Li, Chu, Langford & Schapire, arXiv:1003.0146.
Lower bound: Lai & Robbins, Adv. Appl. Math. 6 (1985).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rivals.errors import DataError
from rivals.statistics.losses import Floats

DIGITS = 6  # of a probability: more than any traffic can tell apart
FAR, STEPS = 8.0, 320  # standard deviations about each mean that the quadrature looks at, and points there
COARSE = 512  # and points over all of [0, 1]
EDGE = 1e-12
DOUBT, ENOUGH, OLDER = 4.0, 4.0, 1.5  # standard errors; recent rewards; and how many times as many the long tally has


class Tally(NamedTuple):
    """What is known of an arm: how many rewards, and their sum, both discounted."""

    many: float = 0.0
    total: float = 0.0

    @property
    def mean(self) -> float:
        """The mean reward; 0 before the first."""
        return self.total / self.many if self.many else 0.0


def keep_for(half_life: float) -> float:
    """How much a reward still counts after one more, where it counts half after ``half_life`` more."""
    if not half_life > 0:
        raise DataError(f"A half-life is a number of rewards above 0, not {half_life!r}.")
    return float(0.5 ** (1 / half_life))


def discounted(tallies: Mapping[str, Tally], rewards: Iterable[tuple[str, float]], keep: float) -> dict[str, Tally]:
    """The tallies after these rewards, (arm, reward) in the order of time; rewards of other arms are passed over.

    One after the other, so that it is the same to the last bit however they are cut into batches.
    """
    after = {name: [tally[0], tally[1]] for name, tally in tallies.items()}
    for name, reward in rewards:
        if name not in after:
            continue
        for sums in after.values():
            sums[0] *= keep
            sums[1] *= keep
        after[name][0] += 1.0
        after[name][1] += reward
    return {name: Tally(*sums) for name, sums in after.items()}


def followed(
    long: Mapping[str, Tally],
    recent: Mapping[str, Tally],
    rewards: Iterable[tuple[str, float]],
    keeps: tuple[float, float],
) -> tuple[dict[str, Tally], dict[str, Tally], int]:
    """Two tallies of each arm after these rewards, a long one and a recent one, and how often the long one was dropped.

    Where an arm's recent mean is ``DOUBT`` standard errors from its long one, something has changed, and of all arms
    only the recent is believed. ``keeps``: of the long and of the recent. As ``discounted``, it knows no batches.
    """
    changes, (slow, quick) = 0, keeps
    after = {name: [long[name].many, long[name].total, recent[name].many, recent[name].total] for name in long}
    for name, reward in rewards:
        if name not in after:
            continue
        for sums in after.values():
            sums[0] *= slow
            sums[1] *= slow
            sums[2] *= quick
            sums[3] *= quick
        mine = after[name]
        mine[0] += 1.0
        mine[1] += reward
        mine[2] += 1.0
        mine[3] += reward
        if mine[2] > ENOUGH and mine[0] > OLDER * mine[2] and _apart(*mine):
            changes += 1
            for sums in after.values():
                sums[0], sums[1] = sums[2], sums[3]
    return {n: Tally(*s[:2]) for n, s in after.items()}, {n: Tally(*s[2:]) for n, s in after.items()}, changes


def _apart(many: float, total: float, lately: float, earned: float) -> bool:
    before, now = (total + 1) / (many + 2), (earned + 1) / (lately + 2)
    return abs(now - before) > DOUBT * math.sqrt(before * (1 - before) * (1 / lately + 1 / many))


def thompson(tallies: Sequence[Tally], prior: tuple[float, float] = (1.0, 1.0)) -> Floats:
    """How likely each arm is the best one: posteriors Beta(prior + rewards, prior + misses); by quadrature, (arms,).

    Within 1e-4 of the integral. Rewards between 0 and 1 count as parts of both.
    """
    good = np.array([prior[0] + tally.total for tally in tallies])
    bad = np.array([prior[1] + max(0.0, tally.many - tally.total) for tally in tallies])
    mean, many = good / (good + bad), good + bad
    spread = np.sqrt(mean * (1 - mean) / (many + 1))
    about = mean[:, None] + spread[:, None] * np.linspace(-FAR, FAR, STEPS)
    x = np.unique(np.concatenate([np.linspace(0, 1, COARSE), about.ravel()]).clip(EDGE, 1 - EDGE))
    logs = (good[:, None] - 1) * np.log(x) + (bad[:, None] - 1) * np.log1p(-x)
    density = np.exp(logs - logs.max(axis=1, keepdims=True))
    width = np.diff(x)
    pieces = (density[:, 1:] + density[:, :-1]) / 2 * width
    mass = np.concatenate([np.zeros((len(good), 1)), pieces.cumsum(axis=1)], axis=1)
    below, density = mass / mass[:, -1:], density / mass[:, -1:]
    best = np.empty(len(good))
    for arm in range(len(good)):
        others = np.delete(below, arm, axis=0).prod(axis=0) * density[arm]
        best[arm] = ((others[1:] + others[:-1]) / 2 * width).sum()
    return np.asarray(best / best.sum(), np.float64)


def greedy(tallies: Sequence[Tally]) -> Floats:
    """All to the arm with the highest mean; equal arms, and those without a reward yet, share: (arms,)."""
    return _highest([tally.mean if tally.many else math.inf for tally in tallies])


def ucb(tallies: Sequence[Tally], width: float = 1.0) -> Floats:
    """All to the arm whose mean may be highest: mean + ``width`` sqrt(2 ln(all) / many); equals share: (arms,)."""
    total = math.log(max(math.e, sum(tally.many for tally in tallies)))
    return _highest(
        [tally.mean + width * math.sqrt(2 * total / tally.many) if tally.many else math.inf for tally in tallies]
    )


def floored(chances: Sequence[float] | Floats, floor: float) -> list[float]:
    """Probabilities of at least ``floor`` each that sum to 1, to six digits: a mixture with the same for all."""
    many = len(chances)
    if not 0 <= floor * many <= 1:
        raise DataError(f"{many} arms cannot have {floor:g} each; lower the floor, or name fewer arms.")
    found = [round(floor + (1 - many * floor) * float(chance), DIGITS) for chance in chances]
    top = max(range(many), key=lambda arm: (found[arm], -arm))
    found[top] = round(1.0 - math.fsum(one for arm, one in enumerate(found) if arm != top), DIGITS)
    return found


def lai_robbins(means: Sequence[float]) -> float:
    """What any good bandit's regret over arms of 0/1 rewards grows by at least, for each unit of ln(time)."""
    best = max(means)
    return math.fsum((best - mean) / _divergence(mean, best) for mean in means if mean < best)


def _divergence(p: float, q: float) -> float:
    """Kullback-Leibler, of Bernoulli p from q."""
    parts = ((p, q), (1 - p, 1 - q))
    return math.fsum(one * math.log(one / other) if other else math.inf for one, other in parts if one)


def _highest(scores: Sequence[float]) -> Floats:
    top = np.array(scores) == max(scores)
    return np.asarray(top / top.sum(), np.float64)


# -- with a context ----------------------------------------------------------------------------------


class Ridge(NamedTuple):
    """What is known of an arm's rewards as a line in the context: sums of x x' and of x r, both discounted."""

    gram: list[list[float]]
    moment: list[float]
    many: float = 0.0


def empty(size: int) -> Ridge:
    """Nothing known; contexts have so many numbers."""
    return Ridge([[0.0] * size for _ in range(size)], [0.0] * size)


def regressed(
    ridges: Mapping[str, Ridge], rewards: Iterable[tuple[str, Sequence[float], float]], keep: float
) -> dict[str, Ridge]:
    """The sums after these rewards, (arm, context, reward) in the order of time; as ``discounted`` does it."""
    grams = {name: np.array(ridge.gram, np.float64) for name, ridge in ridges.items()}
    moments = {name: np.array(ridge.moment, np.float64) for name, ridge in ridges.items()}
    counts = {name: ridge.many for name, ridge in ridges.items()}
    for name, context, reward in rewards:
        if name not in grams:
            continue
        for other in grams:
            grams[other] *= keep
            moments[other] *= keep
            counts[other] *= keep
        x = np.array(context, np.float64)
        grams[name] = grams[name] + np.outer(x, x)
        moments[name] = moments[name] + reward * x
        counts[name] += 1.0
    return {name: Ridge(grams[name].tolist(), moments[name].tolist(), counts[name]) for name in ridges}


class Lines:
    """Arms' ridges, solved: what each may earn in a context."""

    def __init__(self, ridges: Sequence[Ridge], prior: float, width: float) -> None:
        size = len(ridges[0].moment)
        grams = np.array([ridge.gram for ridge in ridges]) + prior * np.eye(size)
        self._inverse = np.linalg.inv(grams)
        self._slope = np.einsum("aij,aj->ai", self._inverse, np.array([ridge.moment for ridge in ridges]))
        self._width = width

    def best(self, context: Sequence[float]) -> int:
        """The arm whose reward may be highest: estimate + width standard errors; the first of equals."""
        x = np.array(context)
        error = np.sqrt(np.maximum(((self._inverse @ x) * x).sum(axis=1), 0.0))
        return int(np.argmax(self._slope @ x + self._width * error))
