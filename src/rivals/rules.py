"""Rules on what is asked: ``{when: {column: distance, above: 2000}, to: boosted}``.

The policy ``match`` asks them of a request as a whole, the combiner ``switch`` of each row. What a request says beside
its rows reaches a combiner as columns of its own: ``header:x-tier``, and ``request:time``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rivals.errors import SpecError
from rivals.plugins import nearest
from rivals.values import Columns, Request

HEADER, TIME = "header:", "request:time"
LOOKS_AT = ("header", "column", "during")  # one of these is in every condition
ASKS = ("is", "above", "below")  # and one or two of these, but with ``during``


@dataclass(frozen=True, slots=True)
class Condition:
    """What is asked of a header, a column or the time; ``test`` of one value of it."""

    at: str  # header, column or during
    name: str  # a header's is in lower case
    test: Callable[[Any], bool]

    @property
    def column(self) -> str:
        """Where a combiner finds what it looks at."""
        return {"header": HEADER + self.name, "column": self.name, "during": TIME}[self.at]

    def holds(self, request: Request) -> bool:
        """Whether it holds of the whole request: of a column, in every row."""
        match self.at:
            case "header":
                return self.test(request.headers.get(self.name))
            case "during":
                return self.test(request.time)
        values = request.columns.values.get(self.name)
        return values is not None and all(map(self.test, values))

    def rows(self, columns: Columns) -> NDArray[np.bool_]:
        """Of which rows it holds; of none where nothing is known."""
        values = columns.values.get(self.column)
        if values is None:
            return np.zeros(columns.rows, np.bool_)
        return np.fromiter(map(self.test, values), np.bool_, columns.rows)


@dataclass(frozen=True, slots=True)
class Rule:
    """Where all its conditions hold, ``to`` answers."""

    conditions: tuple[Condition, ...]
    to: str

    def holds(self, request: Request) -> bool:
        """Whether it holds of the whole request."""
        return all(one.holds(request) for one in self.conditions)

    def rows(self, columns: Columns) -> NDArray[np.bool_]:
        """Of which rows it holds."""
        return np.asarray(np.logical_and.reduce([one.rows(columns) for one in self.conditions]), np.bool_)


def is_beside(column: str) -> bool:
    """Whether a column is made of what a request says beside its rows."""
    return column == TIME or column.startswith(HEADER)


def beside(columns: Columns, wanted: Sequence[str], headers: Mapping[str, str], time: float) -> Columns:
    """The rows with what their request says beside them, as the columns ``wanted``."""
    told = {name: time if name == TIME else headers.get(name.removeprefix(HEADER)) for name in wanted}
    return Columns({**columns.values, **{name: [value] * columns.rows for name, value in told.items()}}, columns.rows)


def rules(told: Any, where: str, to: str) -> tuple[Rule, ...]:
    """Rules as they are written. Raises ``SpecError`` with a sentence that names ``where`` and, by example, ``to``."""
    example = f"rules: [{{when: {{header: X-Tier, is: gold}}, to: {to}}}]"
    if not isinstance(told, (list, tuple)) or not told:
        raise SpecError(f"{where} needs rules, as {example}.")
    return tuple(_rule(f"{where}, rule {number}", rule, example) for number, rule in enumerate(told, 1))


def _rule(where: str, rule: Any, example: str) -> Rule:
    if not isinstance(rule, Mapping) or set(rule) != {"when", "to"} or not isinstance(rule["to"], str):
        raise SpecError(f"{where}: a rule is 'when' and 'to', as {example}.")
    when = rule["when"]
    conditions: Sequence[Any] = when if isinstance(when, (list, tuple)) else [when]
    if not conditions:
        raise SpecError(f"{where}: 'when' is empty; a rule for all requests is another champion.")
    return Rule(tuple(_condition(where, one) for one in conditions), rule["to"])


def _condition(where: str, told: Any) -> Condition:
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
        if looks[0] == "header":
            return Condition("header", name.lower(), frozenset(map(str, given)).__contains__)
        return Condition("column", name, frozenset(given).__contains__)
    above, below = asked.get("above", float("-inf")), asked.get("below", float("inf"))
    return Condition("column", name, lambda value: type(value) in {int, float} and above < value < below)


def _during(where: str, text: str, asked: Mapping[str, Any]) -> Condition:
    if asked:
        raise SpecError(f"{where}: 'during' stands alone, as during: mon-thu 09:00-16:00.")
    from rivals.spec.windows import as_window  # noqa: PLC0415 -- pydantic, which a worker without windows does not need

    try:
        window: Any = as_window(text)
    except ValueError as error:
        raise SpecError(f"{where}: {error}.") from None
    return Condition("during", "", lambda now: now is not None and bool(window.open(now)))
