"""Bring numbers to one scale that a few wild ones do not bend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn.preprocessing import RobustScaler


class Robust:
    """Subtract the median and divide by the distance of the quartiles."""

    columnwise = True  # columns may come to it by different steps

    def __init__(self, columns: str | Sequence[str] = "numeric") -> None:
        self.columns = columns

    def transformer(self, numeric: Sequence[str], text: Sequence[str]) -> Any:  # noqa: ARG002 -- the door's signature
        """Unfitted."""
        return RobustScaler()
