"""Rows from a file of JSON lines."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd

from rivals.errors import DataError


class JsonLines:
    """One object a line, its keys are columns."""

    def __init__(self, path: str) -> None:
        self.path = path

    def read(self) -> pd.DataFrame:
        """All rows. Raises ``DataError`` where the file is not there or holds something else."""
        try:
            return pd.read_json(Path(self.path), lines=True)
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path} is not read as JSON lines: {error}") from error

    def digest(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(Path(self.path).read_bytes()).hexdigest()
