"""Rows as clients sent them, checked: after this a model can be asked without a second thought."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from typing import Any, NoReturn

from rivals.errors import RequestError
from rivals.plugins import nearest
from rivals.values import Column, Columns, Signature

FLOAT32 = 3.4028234663852886e38  # the largest number a model can take
Pick = Callable[[Mapping[str, Sequence[Any]]], tuple[Sequence[Any], ...]]
NUMBERS = frozenset({float, int, bool})
TEXTS = frozenset({str})
LATEST = 1e11  # seconds, a few thousand years; milliseconds since the epoch lie beyond it
LONGEST_NAME = 256  # of ids and units, in characters
LONGEST_SLICE = 64  # of a slice's value, in characters
SHOWN = 40  # characters of a wrong value that are quoted back


@dataclass(frozen=True, slots=True)
class Inputs:
    """Columns that requests must bring, and columns that they may bring beside them.

    ``time`` and ``unit`` are columns that routing reads, if there are any; ``slices`` are those quality is watched by.
    """

    columns: tuple[Column, ...]
    beside: frozenset[str] = frozenset()
    time: str | None = None
    unit: str | None = None
    slices: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(init=False, repr=False)  # by column
    _rules: tuple[tuple[str, frozenset[type], bool], ...] = field(init=False, repr=False)
    _numbers: Pick = field(init=False, repr=False, compare=False)
    _texts: Pick = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        nothing = frozenset({type(None)})
        rules = tuple(
            (column.name, kinds | nothing if column.nullable else kinds, column.kind == "number")
            for column in self.columns
            for kinds in [NUMBERS if column.kind == "number" else frozenset({str})]
        )
        object.__setattr__(self, "_rules", rules)
        object.__setattr__(self, "_numbers", _picking([name for name, _, numeric in rules if numeric]))
        object.__setattr__(self, "_texts", _picking([name for name, _, numeric in rules if not numeric]))
        object.__setattr__(self, "kinds", {column.name: column.kind for column in self.columns})

    def check(self, given: Mapping[str, Sequence[Any]]) -> Columns:
        """The columns as rows for a model. Raises ``RequestError`` with a sentence about the first that is wrong."""
        if not given:
            raise RequestError("There are no columns in it.")
        rows = len(next(iter(given.values())))
        if not rows:
            raise RequestError("There are no rows in it.")
        if set(map(len, given.values())) != {rows}:
            name, values = next((name, values) for name, values in given.items() if len(values) != rows)
            raise RequestError(f"Column {name!r} has {len(values)} rows, where others have {rows}.")
        if not self._plain(given):
            self._careful(given)
        if len(given) > len(self._rules):
            self._beside(given)
        return Columns(given, rows)

    def _plain(self, given: Mapping[str, Sequence[Any]]) -> bool:
        """Whether all is there, without a gap or anything odd, as nearly always: a few sweeps in C say so."""
        try:
            numbers = list(chain.from_iterable(self._numbers(given)))
            texts = chain.from_iterable(self._texts(given))
        except KeyError:
            return False
        if not NUMBERS.issuperset(map(type, numbers)) or not TEXTS.issuperset(map(type, texts)):
            return False
        return not numbers or (min(numbers) >= -FLOAT32 and max(numbers) <= FLOAT32)

    def _careful(self, given: Mapping[str, Sequence[Any]]) -> None:
        """Look at each value. Raises ``RequestError``."""
        for name, kinds, numeric in self._rules:
            if name not in given:
                self._missing(given)
            for value in given[name]:
                if type(value) not in kinds or (numeric and value is not None and not -FLOAT32 <= value <= FLOAT32):
                    _refuse(name, value, numeric)

    def time_of(self, columns: Columns) -> float:
        """The latest time of the rows, in seconds since the epoch. Raises ``RequestError`` where there is none."""
        if self.time is None or self.time not in columns.values:
            raise RequestError(f"The clock is the rows' own: bring the column {self.time!r}, seconds since the epoch.")
        values = columns.values[self.time]
        for value in values:
            if type(value) not in NUMBERS or not -LATEST <= value <= LATEST:
                raise RequestError(f"Column {self.time!r} takes seconds since the epoch, not {quote(value)}.")
        return float(max(values))

    def unit_of(self, columns: Columns) -> str:
        """What the rows say they belong to; empty where they do not. Raises ``RequestError`` where they differ."""
        if self.unit is None or self.unit not in columns.values:
            return ""
        first, *others = columns.values[self.unit]
        if any(other != first for other in others):
            raise RequestError(f"One request is one decision, but its rows differ in {self.unit!r}: send them apart.")
        if first is None:
            return ""
        if type(first) in NUMBERS and not -FLOAT32 <= first <= FLOAT32:
            _refuse(self.unit, first, numeric=True)
        # 7 and 7.0 are one customer, whatever number type the client's library prefers.
        return printable(self.unit, str(int(first) if type(first) is float and first.is_integer() else first))

    def slices_of(self, columns: Columns) -> list[tuple[str, ...]]:
        """The declared slices that each row falls into, as "carrier=UA"; a row that brings no value is in "(none)"."""
        if not self.slices:
            return []
        by_name = [
            [f"{name}={_slice(value)}" for value in columns.values.get(name, [None] * columns.rows)]
            for name in self.slices
        ]
        return list(zip(*by_name, strict=True))

    def _missing(self, given: Mapping[str, Any]) -> NoReturn:
        missing = [column.name for column in self.columns if column.name not in given]
        self._beside(given)
        raise RequestError(f"Column {missing[0]!r} is missing; {len(missing)} missing in all: {', '.join(missing)}.")

    def _beside(self, given: Mapping[str, Sequence[Any]]) -> None:
        known = [column.name for column in self.columns]
        for name in given.keys() - set(known):
            if name not in self.beside:
                raise RequestError(f"There is no column {quote(name)}.{nearest(name, known)}")
            for value in given[name]:
                if not isinstance(value, (str, int, float, type(None))):
                    raise RequestError(f"Column {name!r} takes numbers and texts, not {quote(value)}.")


def merged(signatures: Mapping[str, Signature], champion: str, promised: Sequence[Column]) -> tuple[Column, ...]:
    """What requests must bring: all that is ``promised``, and the inputs of every loaded variant, by name.

    Whether a column may be null is the champion's word where it takes it: a challenger that minds is charged for it,
    and no client's request. Raises ``RequestError`` where two variants want one column as number and as text.
    """
    found: dict[str, Column] = {}
    order = [signatures[champion].inputs, *(one.inputs for one in signatures.values()), promised]
    for column in (column for columns in order for column in columns):
        known = found.setdefault(column.name, column)
        if known.kind != column.kind:
            raise RequestError(
                f"Column {column.name!r} is a {known.kind} to one variant and a {column.kind} to another."
            )
    return tuple(found.values())


def printable(what: str, text: str) -> str:
    """The text itself, if it may be an id or a unit. Raises ``RequestError``."""
    if len(text) > LONGEST_NAME or not text.isprintable():
        raise RequestError(f"{what} takes at most {LONGEST_NAME} printable characters.")
    return text


def _picking(names: Sequence[str]) -> Pick:
    """These columns of a request, picked in C; ``KeyError`` where one is missing."""
    return itemgetter(*names) if len(names) > 1 else lambda given: tuple(given[name] for name in names)


def _slice(value: Any) -> str:
    """A slice's value as a short text. 7 and 7.0 are one, whatever number type the client's library prefers."""
    if value is None or value == "":
        return "(none)"
    return str(int(value) if type(value) is float and value.is_integer() else value)[:LONGEST_SLICE]


def _refuse(name: str, value: object, numeric: bool) -> NoReturn:
    if value is None:
        raise RequestError(f"Column {name!r} takes no null: there were no gaps in training.")
    if numeric and type(value) in NUMBERS:
        raise RequestError(f"Column {name!r} takes numbers up to 3.4e38 in size, not {quote(value)}.")
    raise RequestError(f"Column {name!r} takes {'numbers' if numeric else 'texts'}, not {quote(value)}.")


def quote(value: object) -> str:
    """A value for an error's sentence, short."""
    if isinstance(value, int) and abs(value) > FLOAT32:
        return "a number of that size"  # thousands of digits have no repr
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
