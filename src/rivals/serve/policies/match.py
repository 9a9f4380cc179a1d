"""Send requests that fit a rule to the variant it names; split all others by weight."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from rivals.errors import SpecError
from rivals.plugins import nearest
from rivals.serve.policies.split import Split
from rivals.spec.windows import as_window
from rivals.values import Choice, Request, RoutingTable

Holds = Callable[[Request], bool]
LOOKS_AT = ("header", "column", "during")  # one of these is in every condition
ASKS = ("is", "above", "below")  # and one or two of these, but with ``during``
RULES = "rules: [{when: {header: X-Tier, is: gold}, to: boosted}]"


class Match:
    """The variant of the first rule whose conditions all hold; where none does, ``split``.

    ``rules`` are mappings of ``to``, a variant, and ``when``, a condition or a list of them: ``{header: X-Tier, is:
    gold}``, ``{column: carrier, is: [AA, UA]}``, ``{column: distance, above: 500, below: 2000}`` or ``{during:
    "sat,sun 00:00-24:00 Europe/Berlin"}``. One request is one decision, so a column's condition holds where it holds in
    every row; ``above`` and ``below`` leave the bound out. A rule whose variant cannot answer just now is passed over.
    What a rule decides was not drawn: its ``propensity`` is 1, and no comparison of a rollout counts it.
    """

    def __init__(self, rules: Sequence[Mapping[str, Any]]) -> None:
        if not isinstance(rules, (list, tuple)) or not rules:
            raise SpecError(f"policy match needs rules, as {RULES}.")
        self._rules = [_rule(number, rule) for number, rule in enumerate(rules, 1)]
        conditions = [one for rule in rules for one in _conditions(rule)]
        self.variants = frozenset(variant for _, variant in self._rules)
        self.headers = frozenset(str(one["header"]).lower() for one in conditions if "header" in one)
        self.columns = frozenset(str(one["column"]) for one in conditions if "column" in one)
        self._split = Split()
        self._table: RoutingTable | None = None
        self._open: list[tuple[Sequence[Holds], Choice]] = []

    def choose(self, table: RoutingTable, request: Request, rng: Random) -> Choice:
        """A variant, with the propensity of every arm."""
        if not request.pin:
            if table is not self._table:
                self._table, self._open = table, self._choices(table)
            for conditions, choice in self._open:
                if all(holds(request) for holds in conditions):
                    return choice
        return self._split.choose(table, request, rng)

    def _choices(self, table: RoutingTable) -> list[tuple[Sequence[Holds], Choice]]:
        named = {arm.variant for arm in table.named}
        able = [arm.variant for arm in table.answering_by_name]
        able += [arm.variant for arm in table.arms if arm.variant not in named]
        none = dict.fromkeys([*able, *(arm.variant for arm in table.arms)], 0.0)
        chosen = {name: Choice(name, {**none, name: 1.0}) for name in able}
        return [(conditions, chosen[variant]) for conditions, variant in self._rules if variant in chosen]


def _rule(number: int, rule: Any) -> tuple[list[Holds], str]:
    where = f"policy match, rule {number}"
    if not isinstance(rule, Mapping) or set(rule) != {"when", "to"} or not isinstance(rule["to"], str):
        raise SpecError(f"{where}: a rule is 'when' and 'to', as {RULES}.")
    conditions = _conditions(rule)
    if not conditions:
        raise SpecError(f"{where}: 'when' is empty; a rule for all requests is another champion.")
    return [_holds(where, one) for one in conditions], rule["to"]


def _conditions(rule: Mapping[str, Any]) -> list[Any]:
    when = rule["when"]
    return list(when) if isinstance(when, (list, tuple)) else [when]


def _holds(where: str, told: Any) -> Holds:
    """What a condition asks of a request. Raises ``SpecError`` with a sentence."""
    looks = [key for key in LOOKS_AT if isinstance(told, Mapping) and key in told]
    if len(looks) != 1 or not isinstance(told[looks[0]], str):
        raise SpecError(f"{where}: a condition looks at one of {', '.join(LOOKS_AT)}, not at {told!r}.")
    for key in set(told) - {looks[0], *ASKS}:
        raise SpecError(f"{where}: there is no {key!r}.{nearest(str(key), [*LOOKS_AT, *ASKS])}")
    asked = {key: told[key] for key in ASKS if key in told}
    if looks[0] == "during":
        return _during(where, told["during"], asked)
    numbers = all(type(asked[key]) in {int, float} for key in ("above", "below") if key in asked)
    if not asked or not numbers or ("is" in asked and len(asked) > 1) or (looks[0] == "header" and "is" not in asked):
        raise SpecError(f"{where}: a header is asked 'is', a column 'is', or 'above' and 'below' a number: {told!r}.")
    name = told[looks[0]]
    if "is" in asked:
        given = asked["is"] if isinstance(asked["is"], (list, tuple)) else [asked["is"]]
        if not all(isinstance(one, (str, int, float)) for one in given):
            raise SpecError(f"{where}: 'is' takes texts and numbers, or a list of them, not {asked['is']!r}.")
        wanted = frozenset(given)
        if looks[0] == "header":
            texts, name = frozenset(map(str, wanted)), name.lower()
            return lambda request: request.headers.get(name) in texts
        return lambda request: _every(request, name, wanted.__contains__)
    above, below = asked.get("above", float("-inf")), asked.get("below", float("inf"))
    return lambda request: _every(request, name, lambda value: type(value) in {int, float} and above < value < below)


def _every(request: Request, column: str, holds: Callable[[Any], bool]) -> bool:
    values = request.columns.values.get(column)
    return values is not None and all(holds(value) for value in values)


def _during(where: str, text: str, asked: Mapping[str, Any]) -> Holds:
    if asked:
        raise SpecError(f"{where}: 'during' stands alone, as during: mon-thu 09:00-16:00.")
    try:
        window: Any = as_window(text)
    except ValueError as error:
        raise SpecError(f"{where}: {error}.") from None
    return lambda request: bool(window.open(request.time))
