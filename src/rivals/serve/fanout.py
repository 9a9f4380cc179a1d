"""An ensemble's members asked at once, wherever they are: one question's way through them.

The combiner says whom to ask, as it did when the ensemble was built. Who fails, is late or is left alone by its breaker
is no member any more for this question, and the combiner answers from the rest; a member never fails the call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial

import msgspec
import numpy as np
from numpy.typing import NDArray

from rivals.serve.question import Question, lane_of
from rivals.serve.runtimes.together import FanOut, among, looking, some
from rivals.values import Outcome

Settled = Callable[[Question], None]
Send = Callable[[Question, float, Settled], None]


class Fan:
    """Asks until the combiner wants nobody more, or until ``until`` (``time.monotonic()``); then ``settled`` hears.

    ``send`` puts a question to one member, and tells how it ended once, at the latest at the time it is given: maybe
    before it returns. What a combiner asks one after the other shares the time that is left.
    """

    def __init__(self, one: Question, by: FanOut, until: float, send: Send, settled: Settled) -> None:
        self._one, self._by, self._send, self._settled = one, by, send, settled
        self._until = min(until, one.arrived + by.deadline) if by.deadline else until
        self._begun = time.monotonic()
        self._answers: dict[str, NDArray[np.float64]] = {}
        self._failed: dict[str, tuple[Outcome, str]] = {}
        self._open = self._widest = 0

    def go(self) -> None:
        """Ask whom the combiner wants next; settle, where that is nobody."""
        columns, able = self._one.request.columns, [name for name in self._by.members if name not in self._failed]
        try:
            combiner = looking(self._by.combiner, columns)
            asked = combiner.ask(able, self._answers) if able else []
        except Exception as error:  # noqa: BLE001 -- a combiner may be anybody's
            self._end(Outcome.ERROR, f"{type(error).__name__}: {error}")
            return
        now = time.monotonic()
        if not asked or (self._answers and now >= self._until):
            self._combine()
            return
        self._open, self._widest = len(asked), max(self._widest, len(asked))
        later = len([name for name in able if name not in asked and name not in self._answers])
        until = now + max(0.0, self._until - now) / (1 + later)
        for name in asked:
            rows = asked[name] if isinstance(asked, Mapping) else None
            self._send(self._question(name, rows), until, partial(self._heard, name, rows))

    def _question(self, name: str, rows: NDArray[np.bool_] | None) -> Question:
        one, columns = self._one, some(self._one.request.columns, rows)
        request = one.request
        if columns is not request.columns:
            request = msgspec.structs.replace(request, columns=columns)
        lane = lane_of(self._by.digests[name])
        return Question(request, lane, one.serving, one.table, {}, time.monotonic(), near=self._by.members[name])

    def _heard(self, name: str, rows: NDArray[np.bool_] | None, told: Question) -> None:
        self._open -= 1
        if told.outcome is Outcome.OK:
            said = np.asarray(told.outputs, np.float64)
            if said.shape == (told.request.columns.rows, len(self._by.signature.labels) or 1):
                self._answers[name] = said if rows is None else among(rows, said, self._answers.get(name))
            else:
                self._failed[name] = Outcome.ERROR, f"it answered {said.shape}"
        else:
            self._failed[name] = told.outcome, told.reason
        if not self._open:
            self.go()

    def _combine(self) -> None:
        wanted = min(self._by.quorum or (self._widest + 1) // 2, self._widest)
        why = "; ".join(f"{name}: {reason}" for name, (_, reason) in self._failed.items())
        if not self._answers or (self._failed and len(self._answers) < wanted):
            late = any(outcome is Outcome.DEADLINE for outcome, _ in self._failed.values())
            many = f"{len(self._answers)} of its members answered, {max(wanted, 1)} must"
            self._end(Outcome.DEADLINE if late else Outcome.ERROR, f"{many} ({why})" if why else many)
            return
        try:
            columns = self._one.request.columns
            said = looking(self._by.combiner, columns).combine(self._answers)
            if said.shape != (columns.rows, len(self._by.signature.labels) or 1) or not np.isfinite(said).all():
                raise ValueError(f"what it made of {', '.join(self._answers)} is no answer")  # noqa: TRY301 -- beside the combiner's own
        except Exception as error:  # noqa: BLE001 -- a combiner may be anybody's
            self._end(Outcome.ERROR, f"{type(error).__name__}: {error}")
            return
        self._one.outputs, self._one.partial = said.tolist(), bool(self._failed)
        self._end(Outcome.OK, why)

    def _end(self, outcome: Outcome, reason: str) -> None:
        one = self._one
        one.latency_us = round((time.monotonic() - self._begun) * 1e6)
        one.outcome, one.reason = outcome, reason
        self._settled(one)
