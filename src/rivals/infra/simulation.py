"""A scaling policy against recorded traffic: first come, first served, by replicas that come late and leave late.

Every replica answers one request at a time, so it bears ``1 / seconds`` of them; requests wait in one queue. That is
the pessimist's picture of a replica that batches: its rate at the knee is what to give as ``rate``.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from rivals.infra.scaling import HEADROOM, Steady, follow, replicas
from rivals.placement import Scale

WINDOW = 60.0  # seconds over which the p99 and the load are seen


@dataclass(frozen=True, slots=True)
class Policy:
    """When replicas come and go. ``peak``: a load, in requests a second, that is always planned for."""

    scale: Scale
    rate: float  # of one replica, at its knee
    start: float = 30.0  # seconds until a new replica is ready
    look: float = 15.0  # seconds between two looks at the signal (Kubernetes': 15)
    patience: float = 300.0  # seconds before fewer are had (Kubernetes': 300)
    queue: int = 100  # requests that wait for each replica at most; more are refused
    peak: float = 0.0
    headroom: float = HEADROOM


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the requests: latencies in seconds, waiting included; ``hours`` are replicas' hours."""

    requests: int
    shed: int
    p50: float
    p99: float
    most: int
    hours: float
    moves: tuple[tuple[float, int], ...]  # when, and how many replicas were wanted from then on


def simulate(arrivals: Sequence[float], policy: Policy) -> Outcome:
    """Play sorted times of arrival, in seconds, against the policy. Raises ``ValueError`` where there are none."""
    if not arrivals:
        raise ValueError("no request was recorded")
    return _Run(policy, arrivals[0]).play(arrivals)


class _Run:
    def __init__(self, policy: Policy, now: float) -> None:
        self.policy, self.took = policy, 1.0 / policy.rate
        scale = policy.scale
        self.have = replicas(policy.peak, policy.rate, scale.least, scale.most, policy.headroom)
        self.free = [now] * self.have  # a heap: when each ready replica is free again
        self.coming: deque[float] = deque()  # when each started one is ready
        self.steady = Steady(policy.patience)
        self.open: deque[float] = deque()  # when requests under way began to be answered to the end, sorted
        self.recent: deque[tuple[float, float]] = deque()  # arrivals of the window, and what they took
        self.took_all: list[float] = []
        self.shed, self.most = 0, self.have
        self.used, self.at = 0.0, now
        self.moves: list[tuple[float, int]] = [(now, self.have)]

    def play(self, arrivals: Sequence[float]) -> Outcome:
        look = arrivals[0] + self.policy.look
        for now in arrivals:
            while look <= now:
                self._ready(look)
                self._scale(look)
                look += self.policy.look
            self._ready(now)
            self._ask(now)
        self._pass(arrivals[-1])
        took = sorted(self.took_all) or [math.nan]
        p50, p99 = (took[min(len(took) - 1, int(share * len(took)))] for share in (0.5, 0.99))
        hours = self.used / 3600
        return Outcome(len(arrivals), self.shed, p50, p99, self.most, hours, tuple(self.moves))

    def _ask(self, now: float) -> None:
        while self.open and self.open[0] <= now:
            self.open.popleft()
        if len(self.open) >= len(self.free) * (1 + self.policy.queue):
            self.shed += 1
            self.recent.append((now, math.inf))
            return
        end = max(now, heapq.heappop(self.free)) + self.took
        heapq.heappush(self.free, end)
        self.open.append(end)  # sorted: who comes first ends first, for all take as long
        self.took_all.append(end - now)
        self.recent.append((now, end - now))

    def _scale(self, now: float) -> None:
        policy, scale = self.policy, self.policy.scale
        while self.recent and now - self.recent[0][0] > WINDOW:
            self.recent.popleft()
        least = replicas(policy.peak, policy.rate, scale.least, scale.most, policy.headroom)
        wanted = self.steady(
            now, max(least, follow(self._signal(now), scale.target, len(self.free), scale.least, scale.most))
        )
        if wanted != self.have:
            self.moves.append((now, wanted))
        while self.have < wanted:
            self.coming.append(now + policy.start)
            self.have += 1
        while self.have > wanted:
            self._pass(now)
            if self.coming:
                self.coming.pop()
            else:
                heapq.heappop(self.free)  # the one that is free first: it ends what it has
            self.have -= 1
        self.most = max(self.most, self.have)

    def _signal(self, now: float) -> float:
        match self.policy.scale.signal:
            case "in_flight":
                while self.open and self.open[0] <= now:
                    self.open.popleft()
                return len(self.open) / len(self.free)
            case "p99_ms":
                took = sorted(one for _, one in self.recent)
                last = took[min(len(took) - 1, int(0.99 * len(took)))] if took else 0.0
                return min(last, 1e6) * 1e3
            case "cpu":  # of the last look: what was answered, as a share of what could be
                asked = sum(1 for at, one in self.recent if now - at <= self.policy.look and one < math.inf)
                return 100 * asked * self.took / (self.policy.look * len(self.free))

    def _ready(self, now: float) -> None:
        while self.coming and self.coming[0] <= now:
            self._pass(self.coming[0])
            heapq.heappush(self.free, self.coming.popleft())

    def _pass(self, now: float) -> None:
        """Count the time of those that are had; ones that start cost as much."""
        self.used += (len(self.free) + len(self.coming)) * max(0.0, now - self.at)
        self.at = max(self.at, now)
