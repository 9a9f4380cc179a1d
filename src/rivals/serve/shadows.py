"""Where variants are asked in the shadow: a lane per variant, with room for so much and no more.

A lane is a thread that asks a process (``aside``), so a shadow that sleeps, crashes or computes for long holds up
nobody but itself (benchmarks/shadow.py); what finds no room is not asked, and counted.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from rivals.serve.journal import drain
from rivals.serve.question import Question, ask
from rivals.values import Columns, Outcome

ROWS = 8_192  # rows of one variant that wait or are being asked; a single larger request has room when nothing waits
BYTES = 64 << 20  # and their size, roughly
PAUSE = 0.005  # seconds that others may join the first: nobody waits for a shadow, and every batch costs a turn
BATCH = 32  # requests asked in one go: what computes in one go holds up whoever shares its core
GRACE = 0.2  # seconds that a shadow has left when the endpoint closes
CELL = 64  # bytes of a value in a list, roughly; a text is longer by its length


class Shadows:
    """Asks in threads of its own, when there is time; ``back`` gets what was asked, in such a thread.

    A lane waits ``pause`` seconds for others to join the first.
    All methods belong to the loop's thread.
    """

    def __init__(self, back: Callable[[list[Question]], object], pause: float = PAUSE) -> None:
        self._back, self._pause = back, pause
        self._lanes: dict[str, _Lane] = {}
        self._held: dict[int, tuple[_Lane, Question, int]] = {}

    def __len__(self) -> int:
        """Questions that are not back yet."""
        return len(self._held)

    def admit(self, one: Question) -> bool:
        """Keep room for a question; False where there is none. What was admitted is ``put`` later."""
        lane = self._lanes.get(one.variant)
        if lane is None:
            pause = one.limit.wait or self._pause
            lane = self._lanes[one.variant] = _Lane(one.variant, self._back, pause)
        size = _size(one.request.columns)
        if not lane.take(one.request.columns.rows, size, one.limit.at_once):
            return False
        self._held[id(one)] = (lane, one, size)
        return True

    def put(self, questions: Iterable[Question]) -> None:
        """Ask these, each after the ones before it of its variant."""
        for one in questions:
            self._held[id(one)][0].waiting.put(one)

    def release(self, questions: Sequence[Question]) -> None:
        """Their room is free again; call it with what came back."""
        for one in questions:
            lane, _, size = self._held.pop(id(one))
            lane.give(one.request.columns.rows, size)

    def keep(self, variants: Iterable[str]) -> list[Question]:
        """End the lanes of all others; what waits in them, and is not asked any more."""
        unasked = [one for name in self._lanes.keys() - set(variants) for one in self._lanes.pop(name).end()]
        self.release(unasked)
        return unasked

    def close(self) -> list[Question]:
        """End within ``GRACE``, whatever the shadows do; the questions that never came back."""
        lanes = {id(lane): lane for lane, *_ in self._held.values()} | {id(one): one for one in self._lanes.values()}
        for lane in lanes.values():
            lane.end()
        deadline = time.monotonic() + GRACE
        for lane in lanes.values():
            lane.thread.join(max(0.0, deadline - time.monotonic()))
        left = [one for _, one, _ in self._held.values()]
        self._held.clear()
        return left


class _Lane:
    """One variant's questions, in their order, asked by one thread."""

    def __init__(self, variant: str, back: Callable[[list[Question]], object], pause: float) -> None:
        self.waiting: queue.SimpleQueue[Question | None] = queue.SimpleQueue()
        self._requests = self._rows = self._bytes = 0
        self._back, self._pause = back, pause
        # A daemon: a model that never returns must not keep the process.
        self.thread = threading.Thread(target=self._run, name=f"shadow {variant}", daemon=True)
        self.thread.start()

    def take(self, rows: int, size: int, most: int = 0) -> bool:
        """Make room, where there is room; ``most`` requests have it at once, if any number is said."""
        if self._rows and (self._rows + rows > ROWS or self._bytes + size > BYTES):
            return False
        if most and self._requests >= most:
            return False
        self._requests, self._rows, self._bytes = self._requests + 1, self._rows + rows, self._bytes + size
        return True

    def give(self, rows: int, size: int) -> None:
        """Give room back."""
        self._requests, self._rows, self._bytes = self._requests - 1, self._rows - rows, self._bytes - size

    def end(self) -> list[Question]:
        """Ask nothing more than what is being asked; the questions that still waited."""
        waited = []
        with suppress(queue.Empty):
            while True:
                waited.append(self.waiting.get_nowait())
        self.waiting.put(None)
        return [one for one in waited if one is not None]

    def _run(self) -> None:
        while (first := self.waiting.get()) is not None:
            if self._pause and self.waiting.qsize() < BATCH:
                time.sleep(self._pause)
            batch, last = drain(first, self.waiting, BATCH)
            try:
                ask(batch)
            except BaseException as error:  # noqa: BLE001 -- a model that calls exit() ends neither lane nor process
                for one in batch:
                    if one.outcome is Outcome.OPEN:
                        one.outcome, one.reason = Outcome.ERROR, f"{type(error).__name__}: {error}"
            with suppress(RuntimeError):  # the loop may be gone by now
                self._back(batch)
            if last:
                return


def _size(columns: Columns) -> int:
    """Bytes that a request's rows hold, roughly."""
    size = 0
    for values in columns.values.values():
        size += CELL * len(values)
        if values and isinstance(values[0], str | None):
            size += sum(len(value) for value in values if isinstance(value, str))
    return size
