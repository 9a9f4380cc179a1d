"""Who answers elsewhere: asked without the loop waiting, given up in time, left alone while it is ill."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass
from typing import Protocol

from rivals.serve.fanout import Fan, Settled
from rivals.serve.question import TELLS, Question, ask
from rivals.serve.runtimes.together import FanOut
from rivals.serve.shadows import Shadows
from rivals.values import Outcome

PATIENCE = 1.0  # seconds an arm has for an answer where the client names no deadline
FAILURES = 5  # in a row, after which an arm is left alone
FIRST, LAST = 1.0, 30.0  # seconds it is left alone: doubled each time it fails again


class Timer(Protocol):
    """What ``later`` gives, as asyncio does."""

    def cancel(self) -> None:
        """It is not needed any more."""


Later = Callable[[float, Callable[[], None]], Timer]


@dataclass(slots=True)
class Breaker:
    """Opens after ``FAILURES`` in a row; then lets a single question through from time to time, to see.

    The circuit breaker of M. Nygard, Release It! (2007).
    """

    failures: int = 0
    _wait: float = FIRST
    _again: float = 0.0

    def admits(self, now: float) -> bool:
        """Whether to ask; where it is open, whoever hears yes is the one that tries."""
        if self.failures < FAILURES:
            return True
        if now < self._again:
            return False
        self._again = now + self._wait
        return True

    def tell(self, now: float, *, good: bool) -> None:
        """How a question ended."""
        if good:
            self.failures, self._wait = 0, FIRST
            return
        self.failures += 1
        if self.failures >= FAILURES:
            self._again = now + self._wait
            self._wait = min(2 * self._wait, LAST)


class Away:
    """Asks arms through their lanes; ``settled`` hears of each question once, in the loop, answered or given up.

    What comes back after that is thrown away. Of an ensemble, members that are away are asked likewise; the others are
    asked here, when ``flush`` is called. All methods belong to the loop's thread.
    """

    def __init__(
        self, post: Callable[[Callable[[], None]], object], later: Later, settled: Callable[[Question], None]
    ) -> None:
        self._later, self._settled = later, settled
        self._lanes = Shadows(lambda asked: post(lambda: self._back(asked)), pause=0.0)
        self._breakers: dict[str, Breaker] = {}
        self._waiting: dict[int, tuple[Question, Timer, Settled]] = {}  # by what was sent
        self._near: list[tuple[Question, Settled]] = []  # members that answer here

    def ask(self, one: Question) -> None:
        """Have it asked; it is settled within its deadline, or its ensemble's, or ``PATIENCE``."""
        by = one.asked
        own = isinstance(by, FanOut) and by.deadline
        until = one.arrived + own if own else time.monotonic() + PATIENCE
        if one.request.deadline_ms:
            until = min(until, one.arrived + one.request.deadline_ms / 1e3)
        self._put(one, until, self._settled)

    def flush(self) -> None:
        """Ask the members that answer here, each once for all of its questions."""
        while self._near:
            batch, self._near = self._near, []
            ask([one for one, _ in batch])
            for one, settled in batch:
                settled(one)

    def _put(self, one: Question, until: float, settled: Settled) -> None:
        by = one.asked
        if isinstance(by, FanOut):
            Fan(one, by, until, self._put, settled).go()
        elif isinstance(by, TELLS) or one.limit.laned:
            self._send(one, until, settled)
        else:
            self._near.append((one, settled))

    def _send(self, one: Question, until: float, settled: Settled) -> None:
        breaker = self._breakers.setdefault(one.variant, Breaker())
        now = time.monotonic()
        sent = copy(one)  # an answer that comes too late must not change what was settled
        if not breaker.admits(now):
            why = f"it failed {breaker.failures} times in a row and is left alone for a while"
            _end(one, Outcome.SHED, why, settled)
        elif not self._lanes.admit(sent):
            _end(one, Outcome.SHED, "too many questions wait for it", settled)
        else:
            timer = self._later(max(0.0, until - now), lambda: self._late(sent))
            self._waiting[id(sent)] = one, timer, settled
            self._lanes.put([sent])

    def keep(self, lanes: Iterable[str]) -> None:
        """Forget all others; what still waits for them is settled."""
        kept = set(lanes)
        for sent in self._lanes.keep(kept):
            if waited := self._waiting.pop(id(sent), None):
                one, timer, settled = waited
                timer.cancel()
                _end(one, Outcome.SHED, "it was taken away", settled)
        self.flush()
        for name in self._breakers.keys() - kept:
            del self._breakers[name]

    def close(self) -> None:
        """End the lanes; nobody waits any more."""
        for _, timer, _ in self._waiting.values():
            timer.cancel()
        self._waiting.clear()
        self._lanes.close()

    def _back(self, asked: list[Question]) -> None:
        self._lanes.release(asked)
        for sent in asked:
            if waited := self._waiting.pop(id(sent), None):
                one, timer, settled = waited
                timer.cancel()
                one.outputs, one.latency_us = sent.outputs, sent.latency_us
                self._tell(one, sent.outcome, sent.reason, settled)
        self.flush()

    def _late(self, sent: Question) -> None:
        waited = self._waiting.pop(id(sent), None)
        if waited is None:  # it was answered in this very round
            return
        one, _, settled = waited
        one.latency_us = round((time.monotonic() - one.arrived) * 1e6)
        self._tell(one, Outcome.DEADLINE, "it gave no answer in time", settled)
        self.flush()

    def _tell(self, one: Question, outcome: Outcome, reason: str, settled: Settled) -> None:
        if breaker := self._breakers.get(one.variant):
            breaker.tell(time.monotonic(), good=outcome is Outcome.OK)
        _end(one, outcome, reason, settled)


def _end(one: Question, outcome: Outcome, reason: str, settled: Settled) -> None:
    one.outcome, one.reason = outcome, reason
    settled(one)
