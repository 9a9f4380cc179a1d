from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rivals.build import bank
from rivals.build.bank import Bank
from rivals.build.evaluate import scores
from rivals.build.query import scores_of
from rivals.errors import DataError


@pytest.mark.parametrize("weighted", [False, True])
def test_many_at_once_are_what_each_one_is(tmp_path: Path, weighted: bool) -> None:
    rng = np.random.default_rng(0)
    target, weight = rng.integers(0, 2, 300), np.where(rng.random(300) < 0.2, 0.0, 2.0) if weighted else None
    banks = []
    for k in range(5):
        outputs = rng.dirichlet([1, 1], 300)
        one = Bank(np.arange(300).astype(str), np.arange(300) % 3, target, outputs, "binary", (0, 1), weight)
        bank.write(tmp_path / str(k), one)
        banks.append(one)
    for metric in ("log_loss", "roc_auc", "average_precision"):
        known = [scores(one, [metric]).metrics[metric] for one in banks]
        assert scores_of([tmp_path / str(k) for k in range(5)], metric) == pytest.approx(known)


def test_a_missing_bank_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="predictions in gone cannot be read"):
        scores_of([tmp_path / "gone"], "brier")
