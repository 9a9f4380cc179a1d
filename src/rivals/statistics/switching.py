"""When to give the traffic to another one: proof that it is better by now, however long it was not.

The incumbent's losses stand against each rival's, round by round. Two processes for each rival:

* ``leave`` adds up bets, one begun at every round, that the rival is better (Shiryaev-Roberts): what was long ago does
  not weigh against it, so it finds a reversal after a delay that only the size of the gap decides. Where the rival is
  no better, it reaches a threshold A within T rounds with probability T / A at most.
* ``held`` is one bet, since the last switch, that the incumbent is better; where it is not, it ever reaches a threshold
  B with probability 1 / B at most (Ville).

The incumbent goes when ``leave`` is proof; within ``rest`` rounds after a switch only if ``held`` once was proof as
well, for then the stream has changed; and never within ``dwell`` rounds. So a stream on which nothing changes sees two
switches within ``rest`` rounds with probability ``alpha`` at most: one of the two proofs would have to be false.

Shin, Ramdas & Rinaldo, "E-detectors", arXiv:2203.03532; bets on bounded differences: arXiv:2010.09686.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rivals.errors import DataError
from rivals.statistics.betting import STAKES

Logs = tuple[float, ...]
REST = 20_000  # rounds
ALPHA = 0.01
DOUBT = math.log(20)  # of a delay: 95 of 100 are shorter


@dataclass(frozen=True, slots=True)
class Rules:
    """``margin``: a rival that is better by less is not worth a switch. ``rest`` and ``dwell`` are rounds."""

    margin: float = 0.0
    dwell: int = 100
    rest: int = REST
    alpha: float = ALPHA

    def __post_init__(self) -> None:
        if not (0 <= self.margin < 1 and 0 <= self.dwell <= self.rest and 0 < self.alpha < 1):
            raise DataError("A switch has a margin in [0, 1), dwell from 0 to rest rounds, and alpha in (0, 1).")

    def thresholds(self, rivals: int) -> tuple[float, float]:
        """Logarithms of A and B, with so many rivals beside the incumbent."""
        return math.log(max(1, self.rest) * rivals / self.alpha), math.log(rivals / self.alpha)


@dataclass(frozen=True, slots=True)
class Against:
    """Evidence about one rival of the incumbent: logarithms by stake, and the highest that ``held`` was."""

    leave: Logs = ()  # none yet
    held: Logs = (0.0,) * len(STAKES)
    most: float = 0.0


@dataclass(frozen=True, slots=True)
class Switcher:
    """Who is in, since how many rounds, and the evidence on each rival. ``switched``: since the start."""

    incumbent: str
    rivals: Mapping[str, Against] = field(default_factory=dict)
    since: int = 0
    rounds: int = 0
    switched: int = 0


def begin(incumbent: str, others: tuple[str, ...]) -> Switcher:
    """Nothing known yet."""
    return Switcher(incumbent, {name: Against() for name in others if name != incumbent})


def step(switcher: Switcher, losses: Mapping[str, float], most: Mapping[str, float], rules: Rules) -> Switcher:
    """The state after a round. ``most``: by arm, the largest loss it could have had in this round, known before.

    Who was not asked has a loss of 0 and, where others are weighed up for those rounds, a ``most`` above 1.
    Raises ``DataError`` on a loss beyond its ``most``.
    """
    mine, bound = losses.get(switcher.incumbent, 0.0), most.get(switcher.incumbent, 1.0)
    rivals = {}
    for name, against in switcher.rivals.items():
        theirs, reach = losses.get(name, 0.0), max(bound, most.get(name, 1.0))
        if not (0 <= mine <= reach and 0 <= theirs <= reach):
            raise DataError(f"A loss lies from 0 to {reach:g} here, not {mine:g} or {theirs:g}.")
        rivals[name] = _seen(against, mine - theirs, reach, rules.margin)
    after = replace(switcher, rivals=rivals, since=switcher.since + 1, rounds=switcher.rounds + 1)
    successor = _successor(after, rules)
    if successor is None:
        return after
    fresh = begin(successor, (*rivals, switcher.incumbent))
    return replace(fresh, rounds=after.rounds, switched=after.switched + 1)


def evidence(logs: Logs) -> float:
    """Logarithm of the mean over the stakes; minus infinity before the first round."""
    if not logs:
        return -math.inf
    top = max(logs)
    return top + math.log(sum(math.exp(log - top) for log in logs) / len(logs))


def delay(gap: float, rivals: int, rules: Rules, *, bound: float = 1.0, square: float | None = None) -> int | None:
    """Rounds after a reversal by which the switch was made, in 95 of 100 cases; None: not for so small a gap.

    ``gap``: how much better the rival is now, on average; ``bound``: the largest difference of two losses; ``square``:
    the mean squared difference (``bound`` squared if not said). Where the reversal comes within ``rest`` rounds after
    a switch that had not proven itself, the rest of the ``rest`` comes on top.
    """
    reach = bound + rules.margin
    mean = (gap - rules.margin) / reach
    spread = min(1.0, (bound**2 if square is None else square + rules.margin**2) / reach**2)
    if mean <= 0:
        return None
    need = rules.thresholds(rivals)[0] + math.log(len(STAKES))
    found = [_rounds(need, stake, mean, spread) for stake in STAKES]
    known = [one for one in found if one is not None]
    return max(min(known), rules.dwell) if known else None


def _rounds(need: float, stake: float, mean: float, square: float) -> int | None:
    """Rounds after which one stake's wealth is past ``need`` with probability 0.95 (Freedman's inequality)."""
    # log(1 + s x) >= s x - x^2 (-log(1 - s) - s) for x >= -1: Fan, Grama & Liu, arXiv:1210.4136.
    fall = -math.log1p(-stake)
    growth = stake * mean - square * (fall - stake)
    if growth <= 0:
        return None
    far, spread = (fall + growth) * DOUBT / 3, 2 * DOUBT * square * fall**2
    low, high = 0, 1
    while growth * high - far - math.sqrt(far**2 + spread * high) < need:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        short = growth * middle - far - math.sqrt(far**2 + spread * middle) < need
        low, high = (middle, high) if short else (low, middle)
    return high


def _seen(against: Against, difference: float, bound: float, margin: float) -> Against:
    better, worse = (difference - margin) / (bound + margin), -difference / bound
    begun = tuple(max(log, 0.0) + math.log1p(math.exp(-abs(log))) for log in against.leave)  # log(exp(log) + 1)
    leave = tuple(
        log + math.log1p(stake * better) for log, stake in zip(begun or (0.0,) * len(STAKES), STAKES, strict=True)
    )
    held = tuple(log + math.log1p(stake * worse) for log, stake in zip(against.held, STAKES, strict=True))
    return Against(leave, held, max(against.most, evidence(held)))


def _successor(after: Switcher, rules: Rules) -> str | None:
    """The rival with the most evidence, where it is enough."""
    if after.since < rules.dwell or not after.rivals:
        return None
    leave, held = rules.thresholds(len(after.rivals))
    fresh = after.switched > 0 and after.since < rules.rest
    able = {
        name: evidence(one.leave)
        for name, one in after.rivals.items()
        if evidence(one.leave) >= leave and (not fresh or one.most >= held)
    }
    return max(sorted(able), key=able.__getitem__) if able else None
