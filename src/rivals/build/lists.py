"""Lists to be ranked, as rankers want them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rivals.errors import DataError

MOST = 31  # LightGBM's highest grade, and XGBoost's with exponential gain


def in_lists(groups: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """An order in which the rows of a list stand together, and the number of each row's list in that order."""
    index = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    order = np.argsort(index, kind="stable")
    return order, index[order]


def graded(values: NDArray[Any]) -> NDArray[np.int64]:
    """The target as grades. Raises ``DataError`` where it is something else."""
    grades = np.asarray(values, np.float64)
    if not ((grades == np.floor(grades)) & (grades >= 0) & (grades <= MOST)).all():
        raise DataError(f"A ranker learns from grades, whole numbers from 0 to {MOST}; the target has others.")
    return grades.astype(np.int64)
