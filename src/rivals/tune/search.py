"""One variant's search: a tuner, what was tried so far, and what to try next."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rivals.plugins import make
from rivals.protocols import Tuner
from rivals.tune.front import score
from rivals.tune.market import Study
from rivals.tune.space import Params, Space, named
from rivals.values import Use

REPEATS = 50  # points in a row that were tried already: the tuner has no more


@dataclass(frozen=True, slots=True)
class Tried:
    """A finished trial. ``loss`` is an estimate where the race ``stopped`` it, NaN where it failed with ``error``."""

    params: Mapping[str, Any]
    loss: float
    seconds: float
    folds: int
    stopped: bool = False
    error: str = ""
    number: int = 0  # in the order they were asked
    over: str = ""  # the limit that its bundle does not keep
    latency_ms: float | None = None  # of its model alone, where that is an objective
    size_mb: float | None = None

    @property
    def whole(self) -> bool:
        """Whether all folds were fitted, and nothing speaks against it."""
        return not self.stopped and math.isfinite(self.loss) and not self.over


def best_of(tried: Iterable[Tried]) -> Tried | None:
    """The whole trial with the least loss, the earlier one of equals."""
    return min((one for one in tried if one.whole), key=lambda one: (one.loss, one.number), default=None)


class Search:
    """Ask for points, tell what they came to. A point is tried once, whoever asks for it again.

    ``tried`` is what earlier runs have found, in its order: the tuner learns from it before it is asked.
    """

    def __init__(
        self, name: str, tuner: Use, space: Space, tried: Iterable[Tried] = (), beside: Sequence[str] = ()
    ) -> None:
        self.name, self.space, self.beside = name, space, beside
        self.tuner = make(Tuner, Use(tuner.name, {**tuner.options, "space": space}))
        self.tried: dict[str, Tried] = {}
        self.running: dict[str, int] = {}
        self._exhausted, self._count = False, 0
        for one in sorted(tried, key=lambda one: one.number):
            self._count = max(self._count, one.number + 1)
            self._learn(one)

    @property
    def study(self) -> Study:
        """The search as the market sees it; a stopped trial is worse than the best, and that is known of it."""
        trials = tuple((one.loss if math.isfinite(one.loss) else math.inf, one.seconds) for one in self.tried.values())
        return Study(self.name, trials, len(self.running), self._exhausted)

    @property
    def best(self) -> Tried | None:
        """The whole trial with the least loss, the earlier one of equals."""
        return best_of(self.tried.values())

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """The next point and its number: first the variant as it is; None: there is none."""
        if not self.tried and not self.running:
            return self._begin({})
        for _ in range(REPEATS):
            params = self.tuner.ask()
            if params is None:
                break
            key = named(params)
            if (known := self.tried.get(key)) is not None:
                self.tuner.tell(params, self._score(known))
            elif key not in self.running:
                return self._begin(dict(params))
        self._exhausted = True
        return None

    def hear(self, one: Tried) -> None:
        """What somebody else tried, and may have told before."""
        if named(one.params) not in self.tried:
            self._count = max(self._count, one.number + 1)
            self._learn(one)

    def tell(self, one: Tried) -> None:
        """What a point came to."""
        self.running.pop(named(one.params), None)
        self._learn(one)

    def lost(self, params: Params, number: int, error: str) -> Tried:
        """A point whose process died: it is not tried again."""
        failed = Tried(dict(params), math.nan, 0.0, 0, error=error, number=number)
        self.tell(failed)
        return failed

    def _begin(self, params: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        number, self._count = self._count, self._count + 1
        self.running[named(params)] = number
        return number, params

    def _learn(self, one: Tried) -> None:
        self.tried[named(one.params)] = one
        if self.space.holds(one.params):
            self.tuner.tell(one.params, self._score(one))

    def _score(self, one: Tried) -> float:
        return score(one, [*self.tried.values()], self.beside)
