"""Rows from a CSV file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd

from rivals.errors import DataError


class Csv:
    """Rows of the file ``path`` (also .gz, .zip, .xz, .zst); its first line names columns, empty fields are missing."""

    def __init__(self, path: str, separator: str = ",") -> None:
        self.path, self.separator = path, separator

    def read(self) -> pd.DataFrame:
        """All rows. Raises ``DataError`` where the file is not there or no CSV."""
        try:
            return pd.read_csv(self.path, sep=self.separator, low_memory=False)
        except FileNotFoundError as error:
            raise DataError(f"There is no file {self.path}; paths start where rivals is called.") from error
        except (ValueError, UnicodeError) as error:  # pandas' parser errors are ValueErrors
            raise DataError(f"{self.path} is not read as CSV: {error}") from error

    def digest(self) -> str:
        """SHA-256 of the file."""
        try:
            with Path(self.path).open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        except FileNotFoundError as error:
            raise DataError(f"There is no file {self.path}; paths start where rivals is called.") from error
