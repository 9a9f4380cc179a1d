"""Answers to clients as bets on which of two rivals fails: once per unit, and on successes when they are ripe."""

from __future__ import annotations

import math
from collections.abc import Iterable
from hashlib import blake2b

from rivals.statistics.eprocess import FailureArm, on_failure, on_good

UNITS = 5_000  # units remembered, of those that come again; a pair with more than that was decided long ago
RIPE = 60.0  # seconds after which a question of either rival is closed, however slow
Waiting = tuple[
    float, float, int, int
]  # second of routing, the challenger's share, successes of champion and challenger


def short(unit: str) -> int:
    """A unit in six bytes; two that fall together cost one bet, no truth."""
    return int.from_bytes(blake2b(unit.encode(), digest_size=6).digest(), "big")


class Units:
    """Units that were counted already. ``most`` are remembered."""

    __slots__ = ("known", "most")

    def __init__(self, known: Iterable[int], most: int) -> None:
        self.known, self.most = dict.fromkeys(known), most

    def first(self, unit: int | None) -> bool:
        """Whether this is the unit's first time; None is a unit that comes only once."""
        if unit is None:
            return True
        if len(self.known) >= self.most or unit in self.known:
            return False
        self.known[unit] = None
        return True


class Arm:
    """Evidence of one kind of failure while exposures are being taken into it.

    A failure is bet on when it closes, a success ``RIPE`` seconds after it was routed: by then those of the other rival
    have closed too, so that one whose answers are only slower does not look as if it had fewer of them.
    """

    __slots__ = ("arm", "early", "margin", "second", "units", "waiting")

    def __init__(self, arm: FailureArm, units: Iterable[int], waiting: Iterable[Waiting], margin: float) -> None:
        self.arm, self.units, self.margin, self.second = arm, Units(units, UNITS), margin, -math.inf
        self.waiting = {(second, share): [one, other] for second, share, one, other in waiting}
        self.early = sum(one for one, _ in self.waiting.values())

    def take(self, unit: int | None, bad: bool, challenger: bool, share: float, time: float, closed: float) -> None:
        """One answer to a client. A unit that comes again bets once, when it first fails; others on success too."""
        if closed >= self.second + 1:
            self._settle(closed)
        if bad:
            if self.units.first(unit):
                once, early = unit is None, self.early
                self.arm = on_failure(self.arm, challenger, share, self.margin, once=once, early=early)
        elif unit is None:
            few = self.waiting.get((time // 1, share))
            if few is None:
                few = self.waiting[time // 1, share] = [0, 0]
            few[challenger] += 1
            self.early += not challenger

    def _settle(self, closed: float) -> None:
        self.second = closed // 1
        while self.waiting:
            key = next(iter(self.waiting))
            if key[0] + RIPE >= self.second:
                break
            one, other = self.waiting.pop(key)
            self.early -= one
            self.arm = on_good(self.arm, one, other, key[1])

    def left(self) -> tuple[Waiting, ...]:
        """Successes that are not ripe yet, in the order they came."""
        return tuple([(*key, one, other) for key, (one, other) in self.waiting.items()])
