"""The variant that may be the best one for this request, by columns of the request."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from rivals.errors import SpecError
from rivals.serve.policies._drawn import Drawing, Drawn, earned, fraction, number, scale
from rivals.statistics.bandits import Lines, Ridge, empty, keep_for, regressed
from rivals.values import Choice, Experience, Request, RoutingTable

CONTEXT = "context: {distance: [0, 3000], carrier: [AA, UA]}"


class Linucb(Drawn):
    """LinUCB: each variant's reward as a line in the context, and the one with the highest upper bound answers.

    ``context`` names columns of the request: of numbers their range ``[from, to]``, which becomes 0 to 1 (beyond it
    they are clipped), of texts the ``[values, ...]`` to be told apart; what is missing is 0 in all of it. Many rows
    have their mean. ``width``: how many standard errors are hoped for; ``ridge``: how strongly slopes are held at 0.
    Every other variant is drawn with the chance ``floor``, so propensities are exact. ``half_life``, ``every``,
    ``low``, ``high`` as in ``thompson``. It learns from captured inputs: ``endpoint.capture: {features: all}``.

    ``{use: linucb, with: {variants: [a, b], context: {distance: [0, 3000]}}}``; Li et al., arXiv:1003.0146.
    """

    needs = "inputs"

    def __init__(
        self,
        variants: Sequence[str],
        context: Mapping[str, Sequence[Any]],
        width: float = 1.0,
        ridge: float = 1.0,
        half_life: float = 50_000,
        floor: float | None = None,
        every: float | str = 60.0,
        low: float = 0.0,
        high: float = 1.0,
    ) -> None:
        super().__init__("linucb", variants, floor, every)
        self._context = Context(context)
        self.columns = frozenset(self._context.columns)
        self._width, self._ridge = number("linucb", "width", width), number("linucb", "ridge", ridge, 1e-9)
        self._keep = keep_for(number("linucb", "half_life", half_life, 1.0))
        self._scale = scale("linucb", low, high)
        self._lines: Lines | None = None
        self._live: list[str] = []

    def choose(self, table: RoutingTable, request: Request, rng: Random) -> Choice:
        """A variant, with the propensity of every arm for this request."""
        if request.pin:
            return self._split.choose(table, request, rng)
        if table is not self._table:
            self._table, self._drawing = table, self.drawing(table)
            self._live = list(self._drawing.chances) if self._drawing else []
            known = table.state.get("arms", {})
            arms = [Ridge(*known[name]) if name in known else empty(self._context.size) for name in self._live]
            self._lines = Lines(arms, self._ridge, self._width) if arms else None
        if self._drawing is None or self._lines is None:
            return self._split.choose(table, request, rng)
        best = self._lines.best(self._context.of(request.columns.values, request.columns.rows))
        return self._drawn(self._drawing, best, request.unit)

    def learn(self, state: Mapping[str, Any], experiences: Sequence[Experience]) -> Mapping[str, Any]:
        """The sums after a block; a decision without inputs teaches nothing."""
        known = state.get("arms", {})
        before = {name: Ridge(*known[name]) if name in known else empty(self._context.size) for name in self.order}
        found = []
        for one in experiences:
            rows = len(next(iter(one.inputs.values()), ()))
            if rows and (reward := earned(one, *self._scale)) is not None:
                found.append((one.variant, self._context.of(one.inputs, rows), reward))
        after = regressed(before, found, self._keep)
        counts = {f"count.{name}": round(ridge.many, 3) for name, ridge in after.items()}
        return {"arms": {name: list(ridge) for name, ridge in after.items()}, "figures": counts}

    def forget(self, state: Mapping[str, Any], variants: Sequence[str]) -> Mapping[str, Any]:
        """Their sums are empty again."""
        return self.learn({"arms": {name: one for name, one in state["arms"].items() if name not in variants}}, ())

    def _drawn(self, drawing: Drawing, best: int, unit: str) -> Choice:
        spare = self.floor * len(self._live)
        place = fraction(drawing.salt, unit)
        chosen = self._live[min(int(place / self.floor), len(self._live) - 1) if place < spare else best]
        chances = dict.fromkeys(self._live, self.floor)
        chances[self._live[best]] += 1 - spare
        return Choice(drawing.owner(unit) or chosen, drawing.spread(chances))


class Context:
    """Columns as numbers from 0 to 1, after a 1."""

    def __init__(self, context: Mapping[str, Sequence[Any]]) -> None:
        if not isinstance(context, Mapping) or not context:
            raise SpecError(f"policy linucb needs a context, as {CONTEXT}.")
        self._ranges: dict[str, tuple[float, float]] = {}
        self._levels: dict[str, dict[str, int]] = {}
        for column, told in context.items():
            values = list(told) if isinstance(told, (list, tuple)) else []
            if values and all(isinstance(one, str) for one in values):
                self._levels[str(column)] = {level: place for place, level in enumerate(dict.fromkeys(values))}
            elif len(values) == 2 and all(type(one) in {int, float} for one in values) and values[0] < values[1]:  # noqa: PLR2004 -- from and to
                self._ranges[str(column)] = (float(values[0]), float(values[1]))
            else:
                raise SpecError(
                    f"policy linucb: {column!r} has a range or a list of texts, as {CONTEXT}; not {told!r}."
                )
        self.size = 1 + len(self._ranges) + sum(map(len, self._levels.values()))
        self.columns = (*self._ranges, *self._levels)

    def of(self, values: Mapping[str, Sequence[Any]], rows: int) -> list[float]:
        """The mean context of some rows."""
        found = [1.0]
        for column, (low, high) in self._ranges.items():
            each = [(one - low) / (high - low) for one in values.get(column, ()) if type(one) in {int, float}]
            found.append(math.fsum(min(1.0, max(0.0, one)) for one in each) / rows)
        for column, levels in self._levels.items():
            counts = [0] * len(levels)
            for one in values.get(column, ()):
                if (place := levels.get(one) if isinstance(one, str) else None) is not None:
                    counts[place] += 1
            found += [count / rows for count in counts]
        return found
