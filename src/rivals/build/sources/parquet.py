"""Rows from a Parquet file, or a folder of them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from rivals.build.sources.versions import LOG, delta
from rivals.errors import DataError


class Parquet:
    """Rows of the file ``path``, or of all ``*.parquet`` files in the folder ``path`` in the order of their names.

    A folder that is a Delta table is read as one, at its newest ``version`` or at the one that is named.
    """

    def __init__(self, path: str, version: int | None = None) -> None:
        self.path, self.version = path, version

    def read(self) -> pd.DataFrame:
        """All rows. Raises ``DataError`` where there is no file or it is no Parquet."""
        if table := self._table():
            frame: pd.DataFrame = table.to_pandas()
            return frame
        try:
            return pd.concat([pd.read_parquet(file) for file in self._files()], ignore_index=True)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{self.path} is not read as Parquet: {error}") from error

    def digest(self) -> str:
        """SHA-256 over the files, in the order of their names."""
        whole = hashlib.sha256()
        if table := self._table():
            return hashlib.sha256(f"{Path(self.path).resolve()} {table.version()}".encode()).hexdigest()
        for file in self._files():
            with file.open("rb") as stream:
                whole.update(hashlib.file_digest(stream, "sha256").digest())
        return whole.hexdigest()

    def _table(self) -> Any:
        place = Path(self.path)
        if (place / LOG).is_dir():
            return delta(place, self.version)
        if self.version is not None:
            raise DataError(f"{self.path} has no versions: it is no Delta table.")
        return None

    def _files(self) -> list[Path]:
        place = Path(self.path)
        files = sorted(place.rglob("*.parquet")) if place.is_dir() else [place] if place.exists() else []
        if not files:
            raise DataError(f"There is no Parquet file at {self.path}; paths start where rivals is called.")
        return files
