"""One budget, many studies: the next second goes where it is expected to improve the best loss of all the most.

The better quarter of a study's losses is taken for an exponential tail below its threshold (the peaks over a threshold
of Pickands 1975, with the lightest tail). What the next trial is then expected to gain below a loss L is in closed
form: P(tail) x scale x exp(-(threshold - L) / scale). Divided by the seconds a trial takes, that is the price at which
studies bid. A floor keeps every study alive: a slow starter cannot be judged by nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

TAIL = 0.25
RECENT = 40  # trials that tell what the next one will be like: a tuner learns
KNOWN = 4  # trials before a study's tail says anything
FEW = 12  # trials up to which others' tails are believed as well,
BELIEF = 1.0  # as much as this many of its own
SHARE = 0.03  # of the best loss: what a tail is taken for at least, where few trials are known


@dataclass(frozen=True, slots=True)
class Study:
    """What the market knows of a study: finished trials in order (loss, seconds), and those that run now.

    A trial that failed has the loss ``inf``. ``exhausted``: its tuner has no more points.
    """

    name: str
    trials: tuple[tuple[float, float], ...] = ()
    running: int = 0
    exhausted: bool = False

    @property
    def best(self) -> float:
        """The least loss; ``inf`` where nothing was finished."""
        return min((loss for loss, _ in self.trials), default=math.inf)

    @property
    def spent(self) -> float:
        """Seconds of all finished trials."""
        return math.fsum(seconds for _, seconds in self.trials)

    @property
    def each(self) -> float:
        """Seconds that a trial takes: the mean of the recent ones; 0 where nothing is known."""
        recent = [seconds for _, seconds in self.trials[-RECENT:]]
        return math.fsum(recent) / len(recent) if recent else 0.0


@dataclass(frozen=True, slots=True)
class Market:
    """A budget in seconds of computing, in trials, or both (``None``: as much as it takes).

    ``floor`` is the share of an equal share that every study gets, whatever it bids. Nothing more is bought once all
    that is left would not be expected to improve the best loss by the share ``worth`` of it.
    """

    seconds: float | None = None
    trials: int | None = None
    floor: float = 0.25
    worth: float = 0.0

    def choose(self, studies: Sequence[Study]) -> str | None:
        """Whose trial is next, the same for the same studies; None: the budget is spent, or nobody can still win."""
        open_ = [one for one in studies if not one.exhausted]
        if not open_ or self._out(studies):
            return None
        if new := [one for one in open_ if not one.trials and not one.running]:
            return new[0].name  # everybody has a first trial, even where the budget is too small for it
        left = self._left(studies)
        able = [one for one in open_ if one.trials and one.each <= left]
        if not able:
            return None
        if behind := [one for one in able if self._behind(one, studies)]:
            return min(behind, key=lambda one: _busy(one) / (one.each or 1e-9)).name
        leader = min(one.best for one in studies)
        usual = scale(studies)
        bids = {one.name: bid(one, leader, usual) / (1 + one.running) for one in able}
        if max(self._gain(one, bids[one.name], left) for one in able) <= self.worth * abs(leader):
            return None
        return max(able, key=lambda one: bids[one.name]).name

    def _out(self, studies: Sequence[Study]) -> bool:
        count = sum(len(one.trials) + one.running for one in studies)
        first = any(not one.trials and not one.running and not one.exhausted for one in studies)
        return not first and (self._left(studies) <= 0 or (self.trials is not None and count >= self.trials))

    def _left(self, studies: Sequence[Study]) -> float:
        """Seconds that are not spent, nor about to be."""
        return math.inf if self.seconds is None else self.seconds - math.fsum(map(_busy, studies))

    def _behind(self, one: Study, studies: Sequence[Study]) -> bool:
        """Below the floor, or too little known to bid."""
        total = math.fsum(map(_busy, studies))
        if self.seconds is None:
            count = sum(len(other.trials) + other.running for other in studies)
            return len(one.trials) + one.running < max(KNOWN, self.floor * count / len(studies))
        fair = self.seconds / len(studies)  # of the whole budget: what a study may cost before it can bid
        known = len(one.trials) + one.running >= KNOWN
        return _busy(one) < self.floor * (fair if not known else total / len(studies))

    def _gain(self, one: Study, bid: float, left: float) -> float:
        """What all that is left would be expected to gain, were every trial as the next one."""
        if len(one.trials) < KNOWN or not math.isfinite(left):
            return math.inf if len(one.trials) < KNOWN else bid * max(one.each, 1e-9) * len(one.trials)
        return bid * left


def bid(study: Study, leader: float, usual: float = 0.0) -> float:
    """What a second of the study is expected to take off the loss ``leader``.

    ``usual`` is the scale of other studies' tails: a study that has few trials is taken to be like them.
    """
    recent = study.trials[-RECENT:]
    known = sorted(loss for loss, _ in recent if math.isfinite(loss))
    if not known or not math.isfinite(leader):
        return 0.0
    threshold, count, scale = _tail(known)
    scale = (count * scale + BELIEF * usual) / (count + BELIEF) if len(known) < FEW else scale
    if scale <= 0:
        return 0.0
    chance = count / (len(recent) + 1)
    return chance * scale * math.exp(-max(0.0, threshold - leader) / scale) / max(study.each, 1e-9)


def scale(studies: Sequence[Study]) -> float:
    """What tails of these studies are usually like: the middle one of those known, at least a share of the best loss.

    Of settled searches the tails are short; what one that has hardly begun may come to, they do not tell.
    """
    found = []
    for one in studies:
        known = sorted(loss for loss, _ in one.trials[-RECENT:] if math.isfinite(loss))
        if len(known) >= KNOWN:
            found.append(_tail(known)[2])
    best = min((one.best for one in studies), default=math.inf)
    return max(median(found) if found else 0.0, SHARE * abs(best) if math.isfinite(best) else 0.0)


def _tail(known: Sequence[float]) -> tuple[float, int, float]:
    """Of losses in order: the threshold of the better ones, how many they are, and their mean below it."""
    count = max(1, math.ceil(TAIL * len(known)))
    threshold = known[count] if count < len(known) else known[-1]
    return threshold, count, math.fsum(threshold - loss for loss in known[:count]) / count


def _busy(study: Study) -> float:
    """Seconds spent, and those its running trials will take."""
    return study.spent + study.running * study.each
