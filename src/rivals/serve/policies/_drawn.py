"""What policies that learn have in common: named variants, a floor for each, and one draw for each unit.

The draw is a hash of the unit, so a unit meets one variant for as long as the weights stand, and few units move when
they move a little. A challenger that is being rolled out keeps its slots: those of the champion are what is drawn for.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate
from random import Random
from typing import Any

from rivals.errors import SpecError
from rivals.serve.policies.split import Split
from rivals.spec.durations import as_seconds
from rivals.statistics.assignment import slot
from rivals.values import SLOTS, Choice, Experience, Request, RoutingTable

WHOLE = 2.0**64
FLOORS = 0.04  # what the floors take together where none is named: more variants do not explore more


class Drawn:
    """Draws among ``variants`` by ``table.state["weights"]``; all alike before anything was learned."""

    def __init__(self, name: str, variants: Sequence[str], floor: float | None, every: float | str) -> None:
        self.order = _names(name, variants)
        self.variants = frozenset(self.order)
        floor = FLOORS / len(self.order) if floor is None else floor
        self.floor, self.every = number(name, "floor", floor), seconds(name, every)
        if not 0 < self.floor * len(self.order) <= 1:
            raise SpecError(
                f"policy {name}: {len(self.order)} variants have a floor of up to {1 / len(self.order):.3g}."
            )
        self._split = Split()
        self._table: RoutingTable | None = None
        self._drawing: Drawing | None = None

    def choose(self, table: RoutingTable, request: Request, rng: Random) -> Choice:
        """A variant, with the propensity of every arm."""
        if request.pin:
            return self._split.choose(table, request, rng)
        if table is not self._table:
            self._table, self._drawing = table, self.drawing(table)
        return self._drawing.draw(request.unit) if self._drawing else self._split.choose(table, request, rng)

    def drawing(self, table: RoutingTable) -> Drawing | None:
        """What is drawn from under a table; None: nobody of the named can answer."""
        live, weights = able(table, self.order), table.state.get("weights", {})
        if not live:
            return None
        known = [float(weights.get(name, 1 / len(self.order))) for name in live]
        total = math.fsum(known)
        return Drawing(table, dict(zip(live, [one / total for one in known], strict=True)))


class Drawing:
    """Chances for the champion's units under one table, and the arms that own the other slots."""

    def __init__(self, table: RoutingTable, chances: Mapping[str, float]) -> None:
        self.chances, self.salt = chances, table.salt
        self._slots, self._names = table.slots, [arm.variant for arm in table.arms]
        self._champion = self._names.index(table.champion)
        self._owned = [table.slots.count(index) / SLOTS for index in range(len(table.arms))]
        propensity = self.spread(chances)
        self._choices = {name: Choice(name, propensity) for name in propensity}
        self._order, self._edges = list(chances), list(accumulate(chances.values()))

    def spread(self, chances: Mapping[str, float]) -> dict[str, float]:
        """The propensity of every arm, where the champion's units are drawn by these chances."""
        found = dict.fromkeys(self._names, 0.0) | dict.fromkeys(chances, 0.0)
        for index, (name, share) in enumerate(zip(self._names, self._owned, strict=True)):
            found[name] += 0.0 if index == self._champion else share
        for name, chance in chances.items():
            found[name] += self._owned[self._champion] * chance
        return found

    def owner(self, unit: str) -> str | None:
        """The challenger that the unit's slot belongs to; None: it is drawn."""
        if len(self._names) == 1:
            return None
        index = self._slots[slot(self.salt, unit)]
        return None if index == self._champion else self._names[index]

    def draw(self, unit: str) -> Choice:
        """Who answers the unit."""
        if owner := self.owner(unit):
            return self._choices[owner]
        place = bisect_right(self._edges, fraction(self.salt, unit))
        return self._choices[self._order[min(place, len(self._order) - 1)]]


def fraction(salt: str, unit: str) -> float:
    """A unit's place in [0, 1); it has nothing to do with its slot."""
    raw = blake2b(unit.encode(), digest_size=8, key=salt.encode(), person=b"rivals.drawn").digest()
    return int.from_bytes(raw) / WHOLE


def able(table: RoutingTable, names: Iterable[str]) -> list[str]:
    """Who of them can answer clients under a table, as it was named."""
    named = {arm.variant for arm in table.named}
    known = {arm.variant for arm in table.answering_by_name}
    known |= {arm.variant for arm in table.arms if arm.variant not in named}
    return [name for name in names if name in known]


# -- what experiences say ------------------------------------------------------------------------------


def earned(one: Experience, low: float, high: float) -> float | None:
    """A decision's reward in [0, 1]: as it was told, or what its loss leaves of 1; None: nothing is known."""
    if one.failed:
        return 0.0
    if one.reward is not None:
        return min(1.0, max(0.0, (one.reward - low) / (high - low)))
    return 1.0 - one.losses[one.variant] if one.variant in one.losses else None


def rewards(experiences: Sequence[Experience], low: float, high: float) -> list[tuple[str, float]]:
    """(variant, reward) of each unit, in the order of their first decisions: the unit is what was drawn for."""
    units: dict[str, tuple[str, list[float]]] = {}
    for one in experiences:
        if (reward := earned(one, low, high)) is not None:
            units.setdefault(one.unit, (one.variant, []))[1].append(reward)
    return [(variant, math.fsum(each) / len(each)) for variant, each in units.values()]


def losses(one: Experience, low: float, high: float) -> tuple[dict[str, float], dict[str, float]] | None:
    """Losses weighed by how likely they were to be known, and the largest that each could have been; None: none.

    By labels, of whoever answered; else by the reward, of who did.
    """
    found, seen = dict(one.losses), dict(one.seen)
    if one.failed or not found:
        if (reward := earned(one, low, high)) is None:
            return None
        found, seen = found | {one.variant: 1.0 - reward}, seen if found else dict(one.propensity)
    most = {name: 1.0 / chance for name, chance in seen.items() if chance > 0}
    return {name: loss * most[name] for name, loss in found.items() if name in most}, most


# -- options ------------------------------------------------------------------------------------------


def number(policy: str, option: str, value: Any, least: float = 0.0) -> float:
    """An option that is a finite number of at least ``least``. Raises ``SpecError``."""
    if type(value) not in {int, float} or not least <= value < math.inf:
        raise SpecError(f"policy {policy}: {option} is a number from {least:g} up, not {value!r}.")
    return float(value)


def scale(policy: str, low: Any, high: Any) -> tuple[float, float]:
    """The range of rewards. Raises ``SpecError``."""
    span = (number(policy, "low", low, -math.inf), number(policy, "high", high, -math.inf))
    if not (math.isfinite(span[0]) and span[0] < span[1]):
        raise SpecError(f"policy {policy}: low is below high, as low: 0, high: 20; not {low!r} and {high!r}.")
    return span


def seconds(policy: str, value: float | str) -> float:
    """An option that is a duration of a second at least. Raises ``SpecError``."""
    try:
        return number(policy, "every", as_seconds(value), 1.0)
    except ValueError as error:
        raise SpecError(f"policy {policy}: every: {error}.") from None


def _names(policy: str, variants: Any) -> tuple[str, ...]:
    names = tuple(variants) if isinstance(variants, (list, tuple)) else ()
    if len(set(names)) < 2 or len(set(names)) != len(names) or not all(isinstance(one, str) for one in names):  # noqa: PLR2004 -- one needs no choice
        raise SpecError(f"policy {policy}: variants are two names or more, each once, as [a, b]; not {variants!r}.")
    return names
