"""The first member that answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rivals.ensemble.weighing import Answers, leaves_out
from rivals.protocols import Lesson


class Failover:
    """Ask members in ``order``, as the project file names them where nothing is said, until one answers.

    What it is judged by is what the first one says; the others are asked when it fails or is late.
    """

    def __init__(self, order: Sequence[str] | None = None) -> None:
        self.order = None if order is None else list(order)
        self.named = frozenset(self.order or ())

    def learn(self, lesson: Lesson) -> Mapping[str, Any]:
        """The order as it stands in the project file."""
        return {"order": leaves_out("failover", self.order or list(lesson.answers), list(lesson.answers))}

    def ask(self, members: Sequence[str], answers: Answers) -> Sequence[str]:
        """The first one, where nobody has answered yet."""
        if answers:
            return []
        order = sorted(members) if self.order is None else leaves_out("failover", self.order, members)
        return [name for name in order if name in members][:1]

    def combine(self, answers: Answers) -> NDArray[np.float64]:
        """What it says."""
        return next(iter(answers.values()))
