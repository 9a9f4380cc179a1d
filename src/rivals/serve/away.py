"""Arms in processes of their own: asked without the loop waiting, given up in time, left alone while they are ill."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass
from typing import Protocol

from rivals.serve.question import Question
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

    What comes back after that is thrown away. All methods belong to the loop's thread.
    """

    def __init__(
        self, post: Callable[[Callable[[], None]], object], later: Later, settled: Callable[[Question], None]
    ) -> None:
        self._later, self._settled = later, settled
        self._lanes = Shadows(lambda asked: post(lambda: self._back(asked)), pause=0.0)
        self._breakers: dict[str, Breaker] = {}
        self._waiting: dict[int, tuple[Question, Timer]] = {}  # by what was sent

    def ask(self, one: Question) -> None:
        """Have it asked; it is settled within its deadline, or ``PATIENCE``."""
        breaker = self._breakers.setdefault(one.variant, Breaker())
        now = time.monotonic()
        sent = copy(one)  # an answer that comes too late must not change what was settled
        if not breaker.admits(now):
            self._end(one, Outcome.SHED, f"it failed {breaker.failures} times in a row and is left alone for a while")
        elif not self._lanes.admit(sent):
            self._end(one, Outcome.SHED, "too many questions wait for it")
        else:
            left = one.request.deadline_ms / 1e3 - (now - one.arrived) if one.request.deadline_ms else PATIENCE
            timer = self._later(max(0.0, min(left, PATIENCE)), lambda: self._late(sent))
            self._waiting[id(sent)] = one, timer
            self._lanes.put([sent])

    def keep(self, variants: Iterable[str]) -> None:
        """Forget all others; what still waits for them is settled."""
        kept = set(variants)
        for sent in self._lanes.keep(kept):
            if waited := self._waiting.pop(id(sent), None):
                waited[1].cancel()
                self._end(waited[0], Outcome.SHED, "it was taken away")
        for name in self._breakers.keys() - kept:
            del self._breakers[name]

    def close(self) -> None:
        """End the lanes; nobody waits any more."""
        for _, timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()
        self._lanes.close()

    def _back(self, asked: list[Question]) -> None:
        self._lanes.release(asked)
        for sent in asked:
            if waited := self._waiting.pop(id(sent), None):
                one, timer = waited
                timer.cancel()
                one.outputs, one.latency_us = sent.outputs, sent.latency_us
                self._tell(one, sent.outcome, sent.reason)

    def _late(self, sent: Question) -> None:
        one, _ = self._waiting.pop(id(sent))
        one.latency_us = round((time.monotonic() - one.arrived) * 1e6)
        self._tell(one, Outcome.DEADLINE, "it gave no answer in time")

    def _tell(self, one: Question, outcome: Outcome, reason: str) -> None:
        if breaker := self._breakers.get(one.variant):
            breaker.tell(time.monotonic(), good=outcome is Outcome.OK)
        self._end(one, outcome, reason)

    def _end(self, one: Question, outcome: Outcome, reason: str) -> None:
        one.outcome, one.reason = outcome, reason
        self._settled(one)
