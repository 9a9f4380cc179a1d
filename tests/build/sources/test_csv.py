from __future__ import annotations

from pathlib import Path

import pytest

from rivals.build.sources.csv import Csv
from rivals.errors import DataError


def test_rows_are_read_and_named_by_their_bytes(tmp_path: Path) -> None:
    file, other = tmp_path / "rows.csv", tmp_path / "other.csv"
    file.write_text("a;b\n1;x\n;y\n")
    other.write_text("a;b\n1;x\n2;y\n")
    source = Csv(str(file), separator=";")
    assert source.read()["a"].isna().tolist() == [False, True]
    assert source.digest() == Csv(str(file)).digest() != Csv(str(other)).digest()


def test_a_missing_file_and_no_csv_are_said_so(tmp_path: Path) -> None:
    for call in (Csv("nowhere.csv").read, Csv("nowhere.csv").digest):
        with pytest.raises(DataError, match=r"no file nowhere\.csv"):
            call()
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DataError, match="not read as CSV"):
        Csv(str(tmp_path / "empty.csv")).read()
