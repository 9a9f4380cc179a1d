"""Points at random."""

from __future__ import annotations

from random import Random as Chance
from typing import Any

from rivals.tune.space import Params, Space


class Random:
    """Independent points at random: the n-th is the same for the same seed, whoever asks and wherever it runs.

    Bergstra and Bengio, Random search for hyper-parameter optimization, JMLR 2012.
    """

    def __init__(self, space: Space, seed: int = 0) -> None:
        self._space, self._seed, self._count = space, seed, 0

    def ask(self) -> dict[str, Any]:
        """The next point."""
        self._count += 1
        return self._space.sample(Chance(f"{self._seed}/{self._count}"))  # noqa: S311 -- a point, no secret

    def tell(self, params: Params, score: float) -> None:
        """Nothing is learnt."""
