"""Rules on the rows say which member answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rivals.ensemble.weighing import Answers
from rivals.errors import SpecError
from rivals.protocols import Combiner
from rivals.rules import rules as read
from rivals.values import Columns


class Switch:
    """Ask the member of the first rule that holds, ``otherwise`` where none does; row by row.

    ``rules`` are those of the policy ``match``: ``[{when: {column: distance, above: 2000}, to: far}]``. Of one that
    cannot answer the rules rest: the next one that holds decides, then ``otherwise``, then whoever is left. Headers are
    not in the bank, nor is the time where the project names no column for it: what the switch is judged by is what it
    says where no such condition holds.
    """

    def __init__(self, rules: Sequence[Mapping[str, Any]], otherwise: str) -> None:
        if not isinstance(otherwise, str):
            raise SpecError(f"Switch takes the name of a member as 'otherwise', not {otherwise!r}.")
        self._rules, self.otherwise = read(rules, "combiner switch", "boosted"), otherwise
        self.named = frozenset([otherwise, *(rule.to for rule in self._rules)])
        self.columns = frozenset(one.column for rule in self._rules for one in rule.conditions)

    def look(self, rows: Columns) -> Combiner:
        """The switch of these rows."""
        return _Switched([(rule.to, rule.rows(rows)) for rule in self._rules], self.otherwise, rows.rows)

    def ask(self, members: Sequence[str], answers: Answers) -> Sequence[str]:
        """Without rows, ``otherwise``."""
        return [] if answers else [self.otherwise if self.otherwise in members else min(members)]

    def combine(self, answers: Answers) -> NDArray[np.float64]:
        """For each row what was said of it."""
        return _said(answers)


class _Switched:
    """A switch that has seen its rows: by rule whom to ask, and of which."""

    def __init__(self, rules: Sequence[tuple[str, NDArray[np.bool_]]], otherwise: str, rows: int) -> None:
        self._rules, self._otherwise, self._rows = rules, otherwise, rows

    def ask(self, members: Sequence[str], answers: Answers) -> Mapping[str, NDArray[np.bool_]]:
        """Of every row without an answer, whom its rules say."""
        waiting = np.ones(self._rows, np.bool_)
        for said in answers.values():
            waiting &= np.isnan(said[:, 0])
        everybody = np.ones(self._rows, np.bool_)
        found = dict[str, NDArray[np.bool_]]()
        for name, rows in [*self._rules, *((name, everybody) for name in (self._otherwise, *sorted(members)))]:
            mine = waiting & rows
            if name in members and mine.any():
                found[name] = found.get(name, False) | mine
                waiting &= ~mine
        return found

    def combine(self, answers: Answers) -> NDArray[np.float64]:
        """For each row what was said of it."""
        return _said(answers)


def _said(answers: Answers) -> NDArray[np.float64]:
    said = np.stack([answers[name] for name in sorted(answers)])
    first = (~np.isnan(said[:, :, 0])).argmax(axis=0)
    return np.asarray(said[first, np.arange(said.shape[1])], np.float64)
