"""What may vary: one language of search spaces, which every tuner speaks.

In a project file a space maps the name of an option to what it may be::

    C: {float: [0.001, 100], log: true}
    max_depth: {int: [2, 12]}
    penalty: [l1, l2]                                  # one of these
    l1_ratio: {float: [0, 1], when: {penalty: [l1]}}   # only where penalty is l1
    encode.min_frequency: {int: [1, 50], log: true}    # an option of the step `encode`
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from random import Random
from typing import Any

from rivals.errors import SpecError
from rivals.plugins import nearest

Params = Mapping[str, Any]
KEYS = ("float", "int", "choice", "log", "step", "when")
PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True, slots=True)
class Number:
    """A number from ``low`` to ``high``, both of them included; ``log``: equally likely in every factor of ten."""

    low: float
    high: float
    whole: bool = False
    log: bool = False
    step: float | None = None

    def at(self, share: float) -> float | int:
        """The value at that share of the range, from 0 to 1."""
        if self.step is not None:
            count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
            return self._cast(self.low + min(int(share * count), count - 1) * self.step)
        if self.whole:  # every whole number has a part of its own
            low, high = self.low - 0.5, self.high + 0.5
            value = _between(max(low, 0.5) if self.log else low, high, share, log=self.log)
            return self._cast(min(max(round(value), self.low), self.high))
        return self._cast(min(max(_between(self.low, self.high, share, log=self.log), self.low), self.high))

    def holds(self, value: Any) -> bool:
        """Whether the value is in the range; a step is not asked for."""
        return _real(value) and self.low <= value <= self.high and (not self.whole or float(value).is_integer())

    def points(self, most: int) -> list[float | int]:
        """At most so many values, evenly over the range."""
        if self.low == self.high:
            return [self._cast(self.low)]
        count = min(most, self._count())
        shares = [index / (count - 1) for index in range(count)] if count > 1 else [0.5]
        if self.step is not None:
            steps = math.floor((self.high - self.low) / self.step + 1e-9)
            return list(dict.fromkeys(self._cast(self.low + round(share * steps) * self.step) for share in shares))
        return list(dict.fromkeys(self._cast(_between(self.low, self.high, share, log=self.log)) for share in shares))

    def _count(self) -> int:
        step = self.step or (1.0 if self.whole else 0.0)
        return math.floor((self.high - self.low) / step + 1e-9) + 1 if step else 2**31

    def _cast(self, value: float) -> float | int:
        return round(value) if self.whole else float(value)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of ``options``."""

    options: tuple[Any, ...]

    def at(self, share: float) -> Any:
        """The option at that share of the list."""
        return self.options[min(int(share * len(self.options)), len(self.options) - 1)]

    def holds(self, value: Any) -> bool:
        """Whether it is one of the options."""
        return value in self.options

    def points(self, most: int) -> list[Any]:  # noqa: ARG002 -- as Number has it: an option is never left out
        """All options."""
        return list(self.options)


Domain = Number | Choice


@dataclass(frozen=True, slots=True)
class Space:
    """Options by name, and for those that are not always there the values of others that ask for them.

    ``domains`` has every option after those it depends on.
    """

    domains: Mapping[str, Domain]
    when: Mapping[str, Mapping[str, tuple[Any, ...]]] = field(default_factory=dict)

    def active(self, name: str, params: Params) -> bool:
        """Whether the option is there, given the values of those before it."""
        return all(other in params and params[other] in wanted for other, wanted in self.when.get(name, {}).items())

    def sample(self, rng: Random) -> dict[str, Any]:
        """One point at random; as many random numbers are drawn whatever is active."""
        found: dict[str, Any] = {}
        for name, domain in self.domains.items():
            value = domain.at(rng.random())
            if self.active(name, found):
                found[name] = value
        return found

    def holds(self, params: Params) -> bool:
        """Whether the point lies in the space: every active option is there and in its range, and no other."""
        wanted = [name for name in self.domains if self.active(name, params)]
        return set(params) == set(wanted) and all(self.domains[name].holds(params[name]) for name in wanted)

    def grid(self, points: int) -> Iterator[dict[str, Any]]:
        """Every combination of at most so many values of each number, each once."""
        seen = set[str]()
        for values in product(*(domain.points(points) for domain in self.domains.values())):
            found: dict[str, Any] = {}
            for name, value in zip(self.domains, values, strict=True):
                if self.active(name, found):
                    found[name] = value
            if (told := named(found)) not in seen:
                seen.add(told)
                yield found


def named(params: Params) -> str:
    """Parameters as one text, the same for equal ones."""
    return json.dumps(params, sort_keys=True, default=str)


def parse(raw: object) -> Space:
    """A space as a project file has it. Raises ``SpecError`` that names the key."""
    if not isinstance(raw, Mapping) or not raw:
        raise SpecError("space maps the name of an option to what it may be, as C: {float: [0.001, 100], log: true}.")
    domains = {str(name): _domain(str(name), value) for name, value in raw.items()}
    when = {
        str(name): _conditions(str(name), value["when"], domains)
        for name, value in raw.items()
        if isinstance(value, Mapping) and "when" in value
    }
    return Space({name: domains[name] for name in _ordered(domains, when)}, when)


def _between(low: float, high: float, share: float, *, log: bool) -> float:
    return math.exp(math.log(low) + share * (math.log(high) - math.log(low))) if log else low + share * (high - low)


def _domain(name: str, raw: object) -> Domain:
    if isinstance(raw, list | tuple):
        return _choice(name, list(raw))
    if not isinstance(raw, Mapping):
        raise SpecError(f"space.{name} is a list of values, or {{float: [low, high]}} or {{int: [low, high]}}.")
    if wrong := sorted(set(map(str, raw)) - set(KEYS)):
        raise SpecError(f"space.{name} has no key {wrong[0]!r}.{nearest(wrong[0], list(KEYS))}")
    kinds = [kind for kind in KEYS[:3] if kind in raw]
    if len(kinds) != 1:
        raise SpecError(f"space.{name} has one of float, int and choice, not {len(kinds)} of them.")
    if kinds == ["choice"]:
        return _choice(name, raw["choice"])
    return _number(name, raw, kinds[0])


def _choice(name: str, raw: object) -> Choice:
    if not isinstance(raw, list | tuple) or not raw or not all(isinstance(one, PLAIN) for one in raw):
        raise SpecError(f"space.{name} is a list of one or more plain values: texts, numbers, true, false or null.")
    return Choice(tuple(raw))


def _number(name: str, raw: Mapping[str, Any], kind: str) -> Number:
    ends, whole = raw[kind], kind == "int"
    if not isinstance(ends, list | tuple) or len(ends) != 2 or not all(_real(one) for one in ends):  # noqa: PLR2004 -- low, high
        raise SpecError(f"space.{name} is {{{kind}: [low, high]}} with two numbers.")
    low, high = (float(one) for one in ends)
    if low > high:
        raise SpecError(f"space.{name}: low is {low:g} and high is {high:g}; turn them round.")
    if whole and not (low.is_integer() and high.is_integer()):
        raise SpecError(f"space.{name}: an int goes from a whole number to a whole number, not {low:g} to {high:g}.")
    log, step = raw.get("log", False), raw.get("step")
    if not isinstance(log, bool):
        raise SpecError(f"space.{name}: log is true or false.")
    if log and low <= 0:
        raise SpecError(f"space.{name}: log needs a low above 0, and it is {low:g}.")
    if step is not None and (not _real(step) or step <= 0 or log):
        raise SpecError(f"space.{name}: step is a number above 0, and goes not with log.")
    return Number(low, high, whole, log, None if step is None else float(step))


def _real(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _conditions(name: str, raw: object, domains: Mapping[str, Domain]) -> dict[str, tuple[Any, ...]]:
    if not isinstance(raw, Mapping) or not raw:
        raise SpecError(f"space.{name}: when maps another option to the values that ask for this one.")
    found: dict[str, tuple[Any, ...]] = {}
    for other, wanted in raw.items():
        if other not in domains or other == name:
            raise SpecError(f"space.{name}: when names {other!r}, which is no option here.{nearest(other, [*domains])}")
        found[str(other)] = tuple(wanted) if isinstance(wanted, list | tuple) else (wanted,)
        domain = domains[other]
        if isinstance(domain, Choice) and (strange := [one for one in found[other] if one not in domain.options]):
            raise SpecError(f"space.{name}: when asks for {other}: {strange[0]!r}, which it never is.")
    return found


def _ordered(domains: Mapping[str, Domain], when: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Options after those they depend on, else as they were written."""
    found: list[str] = []
    while len(found) < len(domains):
        ready = [one for one in domains if one not in found and all(other in found for other in when.get(one, {}))]
        if not ready:
            open_ = [one for one in domains if one not in found]
            raise SpecError(f"space: {', '.join(open_)} ask for one another in a circle ('when').")
        found += ready[:1]
    return found
