"""All traffic but the floors to the variant that is the best one by now; it changes on proof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from rivals.errors import DataError, SpecError
from rivals.serve.policies._drawn import Drawn, losses, scale
from rivals.statistics.bandits import floored
from rivals.statistics.switching import Rules, Switcher, begin, evidence, step
from rivals.values import Experience


class Best(Drawn):
    """Switches by live losses (or rewards): two thresholds and a minimum dwell, on evidence that may be watched.

    The first of ``variants`` begins. A switch needs proof that another one is better by ``margin`` now; within ``rest``
    rounds after a switch it also needs proof that the one in place was better before, and within ``dwell`` rounds there
    is none. So where nothing changes there are two within ``rest`` rounds with probability ``alpha`` at most. A round
    is a labelled decision. ``floor``, ``every``, ``low``, ``high`` as in ``thompson``; shadows tell the losses of those
    that do not answer, and make it many times as quick.

    ``{use: best, with: {variants: [a, b], margin: 0.01}}``; method and delays: ``rivals.statistics.switching``.
    """

    needs = "losses"

    def __init__(
        self,
        variants: Sequence[str],
        margin: float = 0.0,
        dwell: int = 100,
        rest: int = 20_000,
        alpha: float = 0.01,
        floor: float | None = None,
        every: float | str = 60.0,
        low: float = 0.0,
        high: float = 1.0,
    ) -> None:
        super().__init__("best", variants, floor, every)
        self._scale = scale("best", low, high)
        try:
            self._rules = Rules(margin, dwell, rest, alpha)
        except (DataError, TypeError) as error:
            raise SpecError(f"policy best: {error}") from None

    def learn(self, state: Mapping[str, Any], experiences: Sequence[Experience]) -> Mapping[str, Any]:
        """Who is in after a block, and the evidence on the others."""
        now = msgspec.convert(state["switcher"], Switcher) if state else begin(self.order[0], self.order)
        for one in experiences:
            if (found := losses(one, *self._scale)) is not None:
                now = step(now, *found, self._rules)
        return self._told(now)

    def forget(self, state: Mapping[str, Any], variants: Sequence[str]) -> Mapping[str, Any]:
        """Evidence on them begins anew; so does all of it where the one in place is among them."""
        now = msgspec.convert(state["switcher"], Switcher)
        fresh = begin(now.incumbent, self.order).rivals
        kept = (
            {} if now.incumbent in variants else {name: one for name, one in now.rivals.items() if name not in variants}
        )
        return self._told(replace(now, rivals={**fresh, **kept}))

    def _told(self, now: Switcher) -> dict[str, Any]:
        chances = [float(name == now.incumbent) for name in self.order]
        proof, _ = self._rules.thresholds(len(now.rivals))
        against = max((evidence(one.leave) for one in now.rivals.values()), default=0.0)
        figures = {"rounds": now.rounds, "since": now.since, "switches": now.switched, "proof": round(proof, 3)}
        return {
            "switcher": msgspec.to_builtins(now),
            "weights": dict(zip(self.order, floored(chances, self.floor), strict=True)),
            "figures": figures | {"against": round(max(0.0, against), 3)},
        }
