"""Split traffic by weight; a unit always meets the same variant."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from rivals.errors import RequestError
from rivals.plugins import nearest
from rivals.statistics.assignment import slot
from rivals.values import SLOTS, Choice, Request, RoutingTable


class Split:
    """The arm that owns the slot of the request's unit.

    No options. A request that names a variant gets it, if it is an arm or a shadow of the table: ``propensity`` is
    then 1 for it. Anything else is a ``RequestError`` (404).
    """

    def __init__(self) -> None:
        self._table: RoutingTable | None = None
        self._choices: list[Choice] = []

    def choose(self, table: RoutingTable, request: Request, rng: Random) -> Choice:  # noqa: ARG002 -- a door's signature
        """An arm, with the propensity of every arm."""
        if request.pin:
            return _pinned(table, request.pin)
        if table is not self._table:  # counted once per table, not per request
            self._table, self._choices = table, _choices(table)
        return self._choices[table.slots[slot(table.salt, request.unit)]]


def _choices(table: RoutingTable) -> list[Choice]:
    propensity: Mapping[str, float] = {
        arm.variant: table.slots.count(index) / SLOTS for index, arm in enumerate(table.arms)
    }
    return [Choice(arm.variant, propensity) for arm in table.arms]


def _pinned(table: RoutingTable, variant: str) -> Choice:
    known = list(dict.fromkeys(arm.variant for arm in (*table.arms, *table.answering_by_name)))
    known += [shadow.variant for shadow in table.shadows]
    if variant not in known:
        sentence = f"{table.endpoint!r} has no variant {variant!r}.{nearest(variant, known)}"
        raise RequestError(f"{sentence} It has: {', '.join(dict.fromkeys(known))}.", 404)
    return Choice(variant, {variant: 1.0})
