"""A bank of known make: two members that see different halves of the truth, one that sees noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rivals.protocols import Lesson

Floats = NDArray[np.float64]


def banked(rows: int, seed: int = 0) -> tuple[Lesson, NDArray[np.int64]]:
    """Members left, right and noise; folds 0 to 2 and -1, held out."""
    rng = np.random.default_rng(seed)
    left, right, noise = rng.normal(size=(3, rows))
    target = (rng.random(rows) < 1 / (1 + np.exp(-2 * (left + right)))).astype(np.int64)
    answers = {name: chances(seen) for name, seen in (("left", left), ("right", right), ("noise", noise))}
    return Lesson(answers, target, "binary", "log_loss"), np.arange(rows) % 4 - 1


def chances(seen: Floats) -> Floats:
    """Probabilities of two labels."""
    second = 1 / (1 + np.exp(-1.3 * seen))
    return np.column_stack([1 - second, second])


def values(rows: int, seed: int = 0) -> Lesson:
    """The same for values: two members that see halves of them, one that sees noise."""
    rng = np.random.default_rng(seed)
    left, right, noise = rng.normal(size=(3, rows))
    target = 5 + left + right + rng.normal(size=rows) * 0.1
    answers = {"left": 5 + left, "right": 5 + right, "noise": 5 + noise}
    return Lesson({name: said[:, None] for name, said in answers.items()}, target, "regression", "rmse")
