"""Weights that follow the losses of all variants, with a bound on what that can cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from rivals.serve.policies._drawn import Drawn, losses, number, scale
from rivals.statistics.bandits import floored
from rivals.statistics.hedge import Hedge as Weights
from rivals.statistics.hedge import begin, step
from rivals.values import Experience


class Hedge(Drawn):
    """Fixed-share Hedge over live losses: every labelled decision is a round.

    With shadows, labels tell the losses of variants that did not answer; else those that did are weighed by how likely
    that was. ``memory``: rounds over which the best one stays the best, more or less. ``floor``, ``every``, ``low``,
    ``high`` as in ``thompson``. ``figures``: ``regret`` against the best single variant so far, and its ``bound``,
    which no stream of losses can exceed.

    ``{use: hedge, with: {variants: [a, b], memory: 10000}}``; Freund & Schapire (1997), Herbster & Warmuth (1998).
    """

    needs = "losses"

    def __init__(
        self,
        variants: Sequence[str],
        memory: float = 10_000,
        floor: float | None = None,
        every: float | str = 60.0,
        low: float = 0.0,
        high: float = 1.0,
    ) -> None:
        super().__init__("hedge", variants, floor, every)
        self._memory, self._scale = number("hedge", "memory", memory, 2.0), scale("hedge", low, high)

    def learn(self, state: Mapping[str, Any], experiences: Sequence[Experience]) -> Mapping[str, Any]:
        """The weights after a block, what they lost, and what they may have."""
        now = msgspec.convert(state["hedge"], Weights) if state else begin(self.order)
        for one in experiences:
            if (found := losses(one, *self._scale)) is not None:
                now = step(now, found[0], memory=self._memory)
        return {
            "hedge": msgspec.to_builtins(now),
            "weights": dict(
                zip(self.order, floored([now.weights[one] for one in self.order], self.floor), strict=True)
            ),
            "figures": {"rounds": now.rounds, "regret": round(now.regret, 6), "bound": round(now.bound, 6)},
        }

    def forget(self, state: Mapping[str, Any], variants: Sequence[str]) -> Mapping[str, Any]:  # noqa: ARG002 -- see below
        """Equal weights: a regret is against variants that were there all the time."""
        return self.learn({}, ())
