"""Send requests that fit a rule to the variant it names; split all others by weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from rivals.rules import Rule
from rivals.rules import rules as read
from rivals.serve.policies.split import Split
from rivals.values import Choice, Request, RoutingTable


class Match:
    """The variant of the first rule whose conditions all hold; where none does, ``split``.

    ``rules`` are mappings of ``to``, a variant, and ``when``, a condition or a list of them: ``{header: X-Tier, is:
    gold}``, ``{column: carrier, is: [AA, UA]}``, ``{column: distance, above: 500, below: 2000}`` or ``{during:
    "sat,sun 00:00-24:00 Europe/Berlin"}``. One request is one decision, so a column's condition holds where it holds in
    every row; ``above`` and ``below`` leave the bound out. A rule whose variant cannot answer just now is passed over.
    What a rule decides was not drawn: its ``propensity`` is 1, and no comparison of a rollout counts it.
    """

    def __init__(self, rules: Sequence[Mapping[str, Any]]) -> None:
        self._rules = read(rules, "policy match", "boosted")
        conditions = [one for rule in self._rules for one in rule.conditions]
        self.variants = frozenset(rule.to for rule in self._rules)
        self.headers = frozenset(one.name for one in conditions if one.at == "header")
        self.columns = frozenset(one.name for one in conditions if one.at == "column")
        self._split = Split()
        self._table: RoutingTable | None = None
        self._open: list[tuple[Rule, Choice]] = []

    def choose(self, table: RoutingTable, request: Request, rng: Random) -> Choice:
        """A variant, with the propensity of every arm."""
        if not request.pin:
            if table is not self._table:
                self._table, self._open = table, self._choices(table)
            for rule, choice in self._open:
                if rule.holds(request):
                    return choice
        return self._split.choose(table, request, rng)

    def _choices(self, table: RoutingTable) -> list[tuple[Rule, Choice]]:
        named = {arm.variant for arm in table.named}
        able = [arm.variant for arm in table.answering_by_name]
        able += [arm.variant for arm in table.arms if arm.variant not in named]
        none = dict.fromkeys([*able, *(arm.variant for arm in table.arms)], 0.0)
        chosen = {name: Choice(name, {**none, name: 1.0}) for name in able}
        return [(rule, chosen[rule.to]) for rule in self._rules if rule.to in chosen]
