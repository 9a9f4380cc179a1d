"""Versions that other tools give to data."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pytest

from rivals.build.sources.parquet import Parquet
from rivals.build.sources.versions import version
from rivals.errors import DataError
from rivals.plugins import make
from rivals.protocols import Source
from rivals.values import Use


def csv(folder: Path, text: str = "a,b\n1,2\n") -> Use:
    (folder / "rows.csv").write_text(text)
    return Use("csv", {"path": str(folder / "rows.csv")})


def dvc(folder: Path, md5: str) -> None:
    (folder / "rows.csv.dvc").write_text(f"outs:\n- md5: {md5}\n  size: 8\n  hash: md5\n  path: rows.csv\n")


def test_a_dvc_files_hash_is_the_version(tmp_path: Path) -> None:
    source = csv(tmp_path)
    assert version(source) == ""
    md5 = hashlib.md5(b"a,b\n1,2\n", usedforsecurity=False).hexdigest()
    dvc(tmp_path, md5)
    assert version(source) == f"dvc:{md5}"


def test_a_file_that_dvc_does_not_name_is_refused(tmp_path: Path) -> None:
    dvc(tmp_path, "0" * 32)
    with pytest.raises(DataError, match=r"is not the file that rows.csv.dvc names .*`dvc checkout`"):
        version(csv(tmp_path))
    (tmp_path / "rows.csv.dvc").write_text("outs: []\n")
    with pytest.raises(DataError, match=r"is not read as a \.dvc file"):
        version(csv(tmp_path))


def test_a_delta_table_is_read_at_its_newest_version_or_at_a_pinned_one(tmp_path: Path) -> None:
    deltalake = pytest.importorskip("deltalake", reason="MISSING PART: deltalake")
    table = tmp_path / "table"
    for rows in (2, 3):
        deltalake.write_deltalake(str(table), pd.DataFrame({"a": range(rows)}), mode="append")
    newest, first = Use("parquet", {"path": str(table)}), Use("parquet", {"path": str(table), "version": 0})
    assert (version(newest), version(first)) == ("delta:1", "delta:0")
    assert [len(make(Source, one).read()) for one in (newest, first)] == [5, 2]
    assert Parquet(str(table)).digest() != Parquet(str(table), 0).digest()
    with pytest.raises(DataError, match="at version 9"):
        Parquet(str(table), 9).read()


def test_what_is_no_delta_table_has_no_versions(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match="it is no Delta table"):
        Parquet(str(tmp_path), 3).read()
    assert version(Use("sql", {"query": "select 1"})) == ""
