"""The plain mean of all members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray


class Mean:
    """Ask every member once, at the same time; answer the mean of what they say.

    Hard to beat where members err differently: Clemen, Combining forecasts, Int. J. of Forecasting 5 (1989).
    """

    def ask(self, members: Sequence[str], answers: Mapping[str, NDArray[np.float64]]) -> Sequence[str]:
        """Whoever has not answered yet."""
        return [name for name in members if name not in answers]

    def combine(self, answers: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """The mean, float64, summed in the order of the members' names so that it is the same everywhere."""
        return np.asarray(np.sum([answers[name] for name in sorted(answers)], axis=0) / len(answers), np.float64)
