"""An ensemble: its members are asked once each, and their answers combined."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rivals.protocols import Combiner, Predictor
from rivals.serve.runtimes.blocks import finite
from rivals.values import Columns, Signature


class TogetherPredictor:
    """Asks ``members`` (by name) in the order the combiner wants. As many threads may ask as the members allow."""

    def __init__(self, digest: str, signature: Signature, members: Mapping[str, Predictor], combiner: Combiner) -> None:
        self.signature, self.digest = signature, digest
        self._members, self._combiner = members, combiner
        self._names = list(members)
        self._width = len(signature.labels) or 1

    def predict(self, columns: Columns) -> NDArray[np.float64]:
        """Probabilities (rows, labels) or values (rows, 1). Raises what a member raises."""
        answers: dict[str, NDArray[np.float64]] = {}
        while asked := self._combiner.ask(self._names, answers):
            for name in asked:
                rows = asked[name] if isinstance(asked, Mapping) else None
                answers[name] = self._ask(name, columns, rows)
        return finite(self._combiner.combine(answers), columns.rows, self._width, self.digest)

    def _ask(self, name: str, columns: Columns, rows: NDArray[np.bool_] | None) -> NDArray[np.float64]:
        """One member's answer; NaN for rows that it is not asked."""
        member = self._members[name]
        if rows is None or rows.all():
            return member.predict(columns)
        places = np.flatnonzero(rows).tolist()
        some = {key: [values[place] for place in places] for key, values in columns.values.items()}
        said = np.full((columns.rows, self._width), np.nan)
        said[rows] = member.predict(Columns(some, len(places)))
        return said
