"""Each variant gets as much traffic as it is likely to be the best one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rivals.serve.policies._drawn import number
from rivals.serve.policies._tallied import Tallied
from rivals.statistics.bandits import Tally, followed, keep_for, thompson
from rivals.statistics.losses import Floats
from rivals.values import Experience


class Thompson(Tallied):
    """Discounted Thompson sampling: Beta posteriors over rewards; the chances are computed, not sampled.

    ``variants``: who takes part. ``half_life``: rewards after which one counts half; where the last ones, of the
    half-life ``recent``, say something else than all of them, only those are believed. ``floor``: the least share of
    each, 4 % shared by all where it is not named. ``every``: how often it learns. ``low``, ``high``: the range of
    rewards (beyond it they are clipped); where no reward was told, a labelled answer earns 1 less its loss. A unit
    counts once in a block; a failure earns nothing.

    ``{use: thompson, with: {variants: [a, b]}}``; Thompson (1933), Raj & Kalyani, arXiv:1707.09727.
    """

    def __init__(
        self,
        variants: Sequence[str],
        half_life: float = 5_000,
        recent: float = 300,
        floor: float | None = None,
        every: float | str = 60.0,
        low: float = 0.0,
        high: float = 1.0,
    ) -> None:
        super().__init__("thompson", variants, half_life, floor, every, low, high)
        self._keeps = (self._keep, keep_for(number("thompson", "recent", recent, 1.0)))

    def chances(self, tallies: Sequence[Tally]) -> Floats:
        """How likely each is the best."""
        return thompson(tallies)

    def learn(self, state: Mapping[str, Any], experiences: Sequence[Experience]) -> Mapping[str, Any]:
        """Both tallies after a block, the shares they give, the mean rewards, and how often something changed."""
        long, lately = self.known(state, "arms"), self.known(state, "recent")
        arms, recent, changes = followed(long, lately, self.rewards(experiences), self._keeps)
        after = self.told(arms)
        figures = {**after["figures"], "changes": state.get("figures", {}).get("changes", 0) + changes}
        return {**after, "recent": {name: list(tally) for name, tally in recent.items()}, "figures": figures}
