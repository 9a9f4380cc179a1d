"""Every combination."""

from __future__ import annotations

from random import Random as Chance
from typing import Any

from rivals.errors import SpecError
from rivals.tune.space import Params, Space

MOST = 100_000


class Grid:
    """Every combination of at most ``points`` values of each number, in an order shuffled by the seed.

    Shuffled, because a budget may end before the grid does: whatever was tried by then covers all of it.
    """

    def __init__(self, space: Space, seed: int = 0, points: int = 5) -> None:
        if not 1 <= points <= MOST:
            raise SpecError(f"tuner grid: points is a whole number from 1 up, not {points!r}.")
        found = []
        for one in space.grid(points):
            found.append(one)
            if len(found) > MOST:
                raise SpecError(f"tuner grid: that are more than {MOST:,} combinations; ask for fewer points.")
        Chance(seed).shuffle(found)  # noqa: S311 -- an order, no secret
        self._rest = iter(found)

    def ask(self) -> dict[str, Any] | None:
        """The next combination; None: all were asked."""
        return next(self._rest, None)

    def tell(self, params: Params, score: float) -> None:
        """Nothing is learnt."""
