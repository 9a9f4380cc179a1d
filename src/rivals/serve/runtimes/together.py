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
                answers[name] = self._members[name].predict(columns)
        return finite(self._combiner.combine(answers), columns.rows, self._width, self.digest)
