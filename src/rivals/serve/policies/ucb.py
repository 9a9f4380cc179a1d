"""The variant that may be the best one gets all but the floors: who was asked little may still be."""

from __future__ import annotations

from collections.abc import Sequence

from rivals.serve.policies._drawn import number
from rivals.serve.policies._tallied import Tallied
from rivals.statistics.bandits import Tally, ucb
from rivals.statistics.losses import Floats


class Ucb(Tallied):
    """Upper confidence bounds, discounted: mean reward + ``width`` sqrt(2 ln(all) / many), the highest one answers.

    It changes its mind between blocks, not within one: with long blocks ``thompson`` spreads better. The other options
    are those of ``thompson``.

    ``{use: ucb, with: {variants: [a, b], width: 0.5}}``; Auer et al. (2002), Garivier & Moulines, arXiv:0805.3415.
    """

    def __init__(
        self,
        variants: Sequence[str],
        width: float = 0.5,
        half_life: float = 5_000,
        floor: float | None = None,
        every: float | str = 60.0,
        low: float = 0.0,
        high: float = 1.0,
    ) -> None:
        self._width = number("ucb", "width", width)
        super().__init__("ucb", variants, half_life, floor, every, low, high)

    def chances(self, tallies: Sequence[Tally]) -> Floats:
        """All to the highest bound."""
        return ucb(tallies, self._width)
