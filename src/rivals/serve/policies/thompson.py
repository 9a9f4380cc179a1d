"""Each variant gets as much traffic as it is likely to be the best one."""

from __future__ import annotations

from collections.abc import Sequence

from rivals.serve.policies._tallied import Tallied
from rivals.statistics.bandits import Tally, thompson
from rivals.statistics.losses import Floats


class Thompson(Tallied):
    """Discounted Thompson sampling: Beta posteriors over rewards; the chances are computed, not sampled.

    ``variants``: who takes part. ``half_life``: rewards after which one counts half, so that what changes is followed.
    ``floor``: the least share of each. ``every``: how often it learns. ``low``, ``high``: the range of rewards (beyond
    it they are clipped); where no reward was told, a labelled answer earns 1 less its loss. A unit counts once in a
    block, and a failure earns nothing.

    ``{use: thompson, with: {variants: [a, b], half_life: 5000}}``; Thompson (1933), Raj & Kalyani, arXiv:1707.09727.
    """

    def __init__(
        self,
        variants: Sequence[str],
        half_life: float = 5_000,
        floor: float = 0.02,
        every: float | str = 60.0,
        low: float = 0.0,
        high: float = 1.0,
    ) -> None:
        super().__init__("thompson", variants, half_life, floor, every, low, high)

    def chances(self, tallies: Sequence[Tally]) -> Floats:
        """How likely each is the best."""
        return thompson(tallies)
