"""The plain mean of all members, or a weighted one by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rivals.ensemble.weighing import Answers, asked, checked, emit_weighted, weighted
from rivals.protocols import Graph


class Mean:
    """Ask every member once, at the same time; answer the mean of what they say.

    Hard to beat where members err differently: Clemen, Combining forecasts, Int. J. of Forecasting 5 (1989).
    """

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        self.weights = None if weights is None else checked(weights)
        self.named = frozenset(self.weights or ())

    def ask(self, members: Sequence[str], answers: Answers) -> Sequence[str]:
        """Whoever has not answered yet."""
        return asked(members, answers, self.weights)

    def combine(self, answers: Answers) -> NDArray[np.float64]:
        """The mean, float64."""
        return weighted(answers, self.weights)

    def emit(self, graph: Graph, answers: Mapping[str, str], width: int) -> str:
        """The same as operators."""
        return emit_weighted(graph, answers, self.weights, width)
