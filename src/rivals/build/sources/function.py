"""Rows from the user's own function."""

from __future__ import annotations

from typing import Any

import pandas as pd

from rivals.build.named import named
from rivals.build.rows import digest, fingerprints
from rivals.errors import DataError


class Function:
    """Rows that ``module:function`` returns as a DataFrame; further options are handed to it.

    ``{use: function, with: {function: "flights:load", months: [1, 2]}}`` calls ``flights.load(months=[1, 2])``, once.
    """

    def __init__(self, function: str, **options: Any) -> None:
        self.function, self.options = function, options
        self._frame: pd.DataFrame | None = None

    def read(self) -> pd.DataFrame:
        """All rows. Raises ``SpecError`` where there is no such function, ``DataError`` where it gives no frame."""
        if self._frame is None:
            frame = named(self.function)(**self.options)
            if not isinstance(frame, pd.DataFrame):
                raise DataError(
                    f"{self.function} returned a {type(frame).__name__}; a source returns a pandas DataFrame."
                )
            self._frame = frame
        return self._frame.copy(deep=False)

    def digest(self) -> str:
        """SHA-256 of what was read: code that gives the same rows has the same digest."""
        return digest(fingerprints(self.read()))
