"""How much a variant can bear, what share it may have, how many replicas it needs: pure functions over numbers.

Rates are requests a second, shares lie in [0, 1], times are seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

HEADROOM = 0.8  # of what was measured at the knee: waiting grows without bound as use nears one (M/M/1)
TOLERANCE = 0.1  # a signal within this of its target moves nothing, as with the HorizontalPodAutoscaler
GAIN = 1.1  # twice the clients must answer a tenth more, or the knee is passed


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a variant bears: ``rate`` of one replica at its knee, and how many replicas are ready."""

    rate: float
    ready: int = 1

    def bears(self, headroom: float = HEADROOM) -> float:
        """Requests a second that may be planned for."""
        return self.rate * self.ready * headroom


@dataclass(frozen=True, slots=True)
class Point:
    """A measurement: with so many clients at once, so many answers a second, 99 % of them within ``p99``."""

    clients: int
    rate: float
    p99: float


def knee(points: Sequence[Point], p99: float = math.inf) -> Point | None:
    """The last point on the way up: more clients get slower answers, and hardly more of them. None: none within p99.

    ``points`` are in the order of their clients.
    """
    best: Point | None = None
    for point in points:
        if point.p99 > p99 or (best is not None and point.rate < GAIN * best.rate):
            break
        best = point
    return best


def allowed(asked: float, load: float, capacity: Capacity | None, headroom: float = HEADROOM) -> float:
    """The share that a variant may have of ``load``: never more than asked, never more than it bears.

    Who was never measured, or has nothing ready, gets nothing.
    """
    if capacity is None or capacity.ready < 1 or asked <= 0:
        return 0.0
    return asked if asked * load <= capacity.bears(headroom) else capacity.bears(headroom) / load


def plan(
    champion: str,
    asked: Mapping[str, float],
    load: float,
    capacities: Mapping[str, Capacity],
    *,
    headroom: float = HEADROOM,
    leaving: str = "",
) -> dict[str, float]:
    """Shares by variant, adding up to one. ``asked`` are the challengers'; what they cannot bear is the champion's.

    ``leaving`` was champion before: it keeps what the new one cannot bear yet.
    """
    shares = {name: allowed(share, load, capacities.get(name), headroom) for name, share in asked.items()}
    shares = {name: share for name, share in shares.items() if share > 0}
    rest = 1.0 - sum(shares.values())
    if leaving:
        first = allowed(rest, load, capacities.get(champion), headroom)
        if first < rest:
            shares[leaving] = rest - first
            rest = first
    return {champion: rest, **shares}


def replicas(load: float, rate: float, least: int, most: int, headroom: float = HEADROOM) -> int:
    """How many bear ``load``, within the bounds."""
    return min(most, max(least, math.ceil(load / (rate * headroom) - 1e-9)))


def follow(signal: float, target: float, ready: int, least: int, most: int) -> int:
    """How many replicas a signal asks for: in proportion to its distance from the target.

    The rule of Kubernetes' HorizontalPodAutoscaler; a signal per replica (in flight) or of all (p99, queue time).
    """
    ratio = signal / target
    if abs(ratio - 1) <= TOLERANCE:
        return min(most, max(least, ready))
    return min(most, max(least, math.ceil(max(1, ready) * ratio - 1e-9)))


class Steady:
    """Up at once, down only to the most that was asked for in the last ``patience`` seconds (the HPA's window)."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self._asked: list[tuple[float, int]] = []

    def __call__(self, now: float, wanted: int) -> int:
        """How many to have, where so many are wanted now."""
        self._asked = [(at, one) for at, one in self._asked if now - at < self.patience]
        self._asked.append((now, wanted))
        return max(one for _, one in self._asked)
