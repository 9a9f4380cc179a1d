"""Bandits whose state is a discounted tally of rewards for each variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rivals.serve.policies._drawn import Drawn, number, rewards, scale
from rivals.statistics.bandits import Tally, discounted, floored, keep_for
from rivals.statistics.losses import Floats
from rivals.values import Experience


class Tallied(Drawn):
    """Learns tallies; ``chances`` makes shares of them."""

    def __init__(
        self,
        name: str,
        variants: Sequence[str],
        half_life: float,
        floor: float | None,
        every: float | str,
        low: float,
        high: float,
    ) -> None:
        super().__init__(name, variants, floor, every)
        self.half_life = number(name, "half_life", half_life, 1.0)
        self._keep = keep_for(self.half_life)
        self._scale = scale(name, low, high)

    def chances(self, tallies: Sequence[Tally]) -> Floats:
        """The share of each variant before the floor, (variants,)."""
        raise NotImplementedError

    def learn(self, state: Mapping[str, Any], experiences: Sequence[Experience]) -> Mapping[str, Any]:
        """The tallies after a block, the shares they give, and the mean rewards."""
        return self.told(discounted(self.known(state, "arms"), self.rewards(experiences), self._keep))

    def forget(self, state: Mapping[str, Any], variants: Sequence[str]) -> Mapping[str, Any]:
        """Their tallies are empty again."""
        parts = {"arms", "recent"} & state.keys()
        rest = {part: {name: one for name, one in state[part].items() if name not in variants} for part in parts}
        return self.learn({**state, **rest}, ())

    def known(self, state: Mapping[str, Any], part: str) -> dict[str, Tally]:
        """Tallies of a state."""
        return {name: Tally(*state.get(part, {}).get(name, ())) for name in self.order}

    def rewards(self, experiences: Sequence[Experience]) -> list[tuple[str, float]]:
        """What was earned, by unit."""
        return rewards(experiences, *self._scale)

    def told(self, arms: Mapping[str, Tally]) -> dict[str, Any]:
        """Tallies, and the shares they give, as a state."""
        shares = floored(self.chances(list(arms.values())), self.floor)
        return {
            "arms": {name: list(tally) for name, tally in arms.items()},
            "weights": dict(zip(arms, shares, strict=True)),
            "figures": {f"reward.{name}": round(tally.mean, 6) for name, tally in arms.items() if tally.many},
        }
