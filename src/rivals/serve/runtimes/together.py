"""An ensemble: its members are asked, here or where they are, and their answers combined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rivals.protocols import Combiner, Looking, Predictor
from rivals.serve.runtimes.blocks import finite
from rivals.values import Columns, Signature

Said = NDArray[np.float64]


class TogetherPredictor:
    """Asks ``members`` (by name) in the order the combiner wants. As many threads may ask as the members allow."""

    def __init__(
        self,
        digest: str,
        signature: Signature,
        members: Mapping[str, Predictor],
        combiner: Combiner,
        beside: tuple[str, ...] = (),
    ) -> None:
        self.signature, self.beside, self.digest = signature, beside, digest
        self._members, self._combiner = members, combiner
        self._names = list(members)
        self._width = len(self.signature.labels) or 1

    def predict(self, columns: Columns) -> Said:
        """Probabilities (rows, labels) or values (rows, 1). Raises what a member raises."""
        answers: dict[str, Said] = {}
        combiner = looking(self._combiner, columns)
        while asked := combiner.ask(self._names, answers):
            for name in asked:
                rows = asked[name] if isinstance(asked, Mapping) else None
                said = self._members[name].predict(some(columns, rows))
                answers[name] = said if rows is None else among(rows, said, answers.get(name))
        return finite(combiner.combine(answers), columns.rows, self._width, self.digest)


@dataclass(frozen=True, slots=True)
class FanOut:
    """An ensemble some of whose members answer elsewhere: ``rivals.serve.fanout`` asks them all at once.

    ``members`` by name are whatever answers for their bundles; ``digests`` names these. ``deadline`` is in seconds from
    the request's arrival, 0 where nothing is said; of those asked together ``quorum`` must answer, half where it is 0.
    """

    signature: Signature
    members: Mapping[str, Any]
    digests: Mapping[str, str]
    combiner: Combiner
    beside: tuple[str, ...] = ()
    deadline: float = 0.0
    quorum: int = 0


def looking(combiner: Combiner, columns: Columns) -> Combiner:
    """The combiner of these rows."""
    return combiner.look(columns) if isinstance(combiner, Looking) else combiner


def some(columns: Columns, rows: NDArray[np.bool_] | None) -> Columns:
    """The rows that are asked."""
    return columns if rows is None or rows.all() else columns.where(rows.tolist())


def among(rows: NDArray[np.bool_], said: Said, before: Said | None) -> Said:
    """What was said of some rows, where all are; NaN where nobody was asked yet."""
    found = np.full((len(rows), said.shape[1]), np.nan) if before is None else before.copy()
    found[rows] = said
    return found
