from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from rivals.build.sources.parquet import Parquet
from rivals.errors import DataError


def test_a_file_and_a_folder_of_files_are_read(tmp_path: Path) -> None:
    for name, values in (("b", [3]), ("a", [1, 2])):
        pd.DataFrame({"n": values}).to_parquet(tmp_path / f"{name}.parquet")
    assert Parquet(str(tmp_path)).read()["n"].tolist() == [1, 2, 3]
    assert Parquet(str(tmp_path / "b.parquet")).read()["n"].tolist() == [3]
    before = Parquet(str(tmp_path)).digest()
    assert before == Parquet(str(tmp_path)).digest()
    pd.DataFrame({"n": [4]}).to_parquet(tmp_path / "b.parquet")
    assert before != Parquet(str(tmp_path)).digest()


def test_a_missing_file_and_no_parquet_are_said_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no Parquet file"):
        Parquet(str(tmp_path)).read()
    (tmp_path / "x.parquet").write_text("no")
    with pytest.raises(DataError, match="not read as Parquet"):
        Parquet(str(tmp_path / "x.parquet")).read()
