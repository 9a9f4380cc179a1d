"""The variant that earned most gets all but a little, which all share."""

from __future__ import annotations

from collections.abc import Sequence

from rivals.errors import SpecError
from rivals.serve.policies._drawn import number
from rivals.serve.policies._tallied import Tallied
from rivals.statistics.bandits import Tally, greedy
from rivals.statistics.losses import Floats


class Epsilon(Tallied):
    """Epsilon-greedy: ``epsilon`` of the traffic is shared by all, the rest goes to the highest mean reward.

    The other options are those of ``thompson``, which wastes less where one is much better, and finds what changed.

    ``{use: epsilon, with: {variants: [a, b], epsilon: 0.1}}``; Sutton & Barto, Reinforcement Learning (2018), 2.2.
    """

    def __init__(
        self,
        variants: Sequence[str],
        epsilon: float = 0.1,
        half_life: float = 5_000,
        every: float | str = 60.0,
        low: float = 0.0,
        high: float = 1.0,
    ) -> None:
        if not 0 < number("epsilon", "epsilon", epsilon) <= 1:
            raise SpecError(f"policy epsilon: epsilon is above 0 and at most 1, not {epsilon!r}.")
        super().__init__("epsilon", variants, half_life, epsilon / max(1, len(variants)), every, low, high)

    def chances(self, tallies: Sequence[Tally]) -> Floats:
        """All to the highest mean."""
        return greedy(tallies)
