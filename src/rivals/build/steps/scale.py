"""Bring numbers to one scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn.preprocessing import StandardScaler

from rivals.errors import SpecError


class Scale:
    """Subtract the mean and divide by the standard deviation, as linear models and networks want it.

    Not for trees: they gain nothing, and float32 scaling moves values across their thresholds, so that the compiled
    model answers differently and is served from a process of its own.
    """

    columnwise = True

    def __init__(self, columns: str | Sequence[str] = "numeric") -> None:
        self.columns = columns

    def transformer(self, numeric: Sequence[str], text: Sequence[str]) -> Any:  # noqa: ARG002 -- the door's signature
        """A scaler; texts are refused."""
        if text:
            raise SpecError(f"step scale: {', '.join(text)} holds texts; name numeric columns.")
        return StandardScaler()
