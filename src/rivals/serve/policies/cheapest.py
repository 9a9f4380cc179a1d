"""Send every request to the cheapest of several variants that are as good as one another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random
from typing import Any, Literal

from rivals.errors import SpecError
from rivals.serve.policies.split import Split
from rivals.values import Choice, Request, RoutingTable

TIED: Literal["tied"] = "tied"
COSTS = "cost: {boosted: 3.0, logistic: 1.0}"


class Cheapest:
    """The variant of ``cost`` that costs least and may answer just now; equals by name; where there is none, ``split``.

    ``cost`` is, by variant, what an answer costs, in any unit. ``tied``, the default: `rivals serve` fills in, when it
    starts, the microseconds of a row of each that `rivals compare` cannot tell apart from the best. One whose bundle is
    being rolled out, or was taken away, is passed over. While a rollout shares the traffic, ``split`` alone decides:
    what this decides was not drawn, and nothing could be compared.
    """

    def __init__(self, cost: Mapping[str, Any] | Literal["tied"] = TIED) -> None:
        self.asks_cost = cost == TIED
        numbers = isinstance(cost, Mapping) and all(
            type(one) in {int, float} and 0 <= one < math.inf for one in cost.values()
        )
        if not self.asks_cost and (not numbers or not cost or not all(isinstance(name, str) for name in cost)):
            raise SpecError(f"policy cheapest needs what each variant costs, numbers from 0 up, as {COSTS}; or 'tied'.")
        self._cost: Mapping[str, Any] = {} if isinstance(cost, str) else cost
        self.variants = frozenset(self._cost)
        self._split = Split()
        self._table: RoutingTable | None = None
        self._choice: Choice | None = None

    def choose(self, table: RoutingTable, request: Request, rng: Random) -> Choice:
        """A variant, with the propensity of every arm."""
        if not request.pin:
            if table is not self._table:
                self._table, self._choice = table, self._cheapest(table)
            if self._choice is not None:
                return self._choice
        return self._split.choose(table, request, rng)

    def _cheapest(self, table: RoutingTable) -> Choice | None:
        arms = [arm.variant for arm in table.arms]
        able = {*arms, *(arm.variant for arm in table.answering_by_name)} & self._cost.keys()
        if len(arms) > 1 or not able:
            return None
        chosen = min(able, key=lambda name: (self._cost[name], name))
        return Choice(chosen, {**dict.fromkeys([*arms, *sorted(able)], 0.0), chosen: 1.0})
