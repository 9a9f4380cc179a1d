from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from rivals.build import bank
from rivals.build.bank import FILE, Bank
from rivals.errors import DataError


def banked(labels: int = 2) -> Bank:
    rng = np.random.default_rng(0)
    return Bank(
        ids=np.array(["x", "y", "ü"], dtype=object),
        fold=np.array([0, 1, -1]),
        target=np.array([0, 1, 0]),
        outputs=rng.dirichlet(np.ones(labels), 3),
        task="binary" if labels == 2 else "multiclass",
        labels=tuple(f"l{k}" for k in range(labels)),
        weight=np.array([1.0, 0.0, 2.0]),
        time=np.array([5.0, 6.0, 7.0]),
        group=np.array(["g", "g", "h"], dtype=object),
    )


def same(one: Bank, other: Bank) -> bool:
    fields = ("ids", "fold", "target", "outputs", "weight", "time", "group")
    return (one.task, one.labels) == (other.task, other.labels) and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in fields
    )


@pytest.mark.parametrize("labels", [2, 12])
def test_what_is_written_is_read(labels: int, tmp_path: Path) -> None:
    bank.write(tmp_path / "deep" / "er", banked(labels))
    assert same(bank.read(tmp_path / "deep" / "er"), banked(labels))


def test_values_of_a_regression_and_absent_columns_come_back(tmp_path: Path) -> None:
    plain = replace(
        banked(), task="regression", labels=(), target=np.array([0.5, 1.0, 2.0]),
        outputs=np.array([[1.0], [2.0], [3.0]]),
        weight=None, time=None, group=None,
    )  # fmt: skip
    file = bank.write(tmp_path, plain)
    again = bank.read(tmp_path)
    assert again.outputs.tolist() == [[1.0], [2.0], [3.0]]
    assert again.weight is again.time is again.group is None
    assert pq.read_schema(file).names == ["row", "fold", "target", "weight", "time", "group", "value"]


def test_the_same_bank_is_the_same_file(tmp_path: Path) -> None:
    assert bank.write(tmp_path / "a", banked()).read_bytes() == bank.write(tmp_path / "b", banked()).read_bytes()


def test_rows_that_count_for_nothing_are_not_judged() -> None:
    assert banked().judged.ids.tolist() == ["x", "ü"]
    assert len(replace(banked(), weight=None).judged) == 3


def test_a_missing_or_damaged_bank_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="rivals train"):
        bank.read(tmp_path)
    raw = bank.write(tmp_path, banked()).read_bytes()
    (tmp_path / FILE).write_bytes(raw[: len(raw) // 2])
    with pytest.raises(DataError, match="cannot be read"):
        bank.read(tmp_path)
