"""What is particular to the family torch; its door's claims are in tests/doors."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from rivals import plugins
from rivals.errors import SpecError
from rivals.protocols import Family
from rivals.testing import prepared
from rivals.testing.rows import check_bundle
from rivals.values import Use

torch = pytest.importorskip("torch", reason="MISSING PART: torch; make parts installs it")
pytest.importorskip("skorch", reason="MISSING PART: skorch; make parts installs it")
HERE = __name__


class Own(torch.nn.Module):
    """A project's own network: a wide way and a deep one."""

    def __init__(self, inputs: int, outputs: int, width: int = 4) -> None:
        super().__init__()
        self.wide = torch.nn.Linear(inputs, outputs)
        self.deep = torch.nn.Sequential(
            torch.nn.Linear(inputs, width),
            torch.nn.BatchNorm1d(width),
            torch.nn.ReLU(),
            torch.nn.Linear(width, outputs),
        )

    def forward(self, rows: Any) -> Any:
        return self.wide(rows) + self.deep(rows)


def no_network(inputs: int, outputs: int) -> int:
    return inputs + outputs


def family(**options: Any) -> Family:
    return plugins.make(Family, Use("torch", {"hidden": [8], "epochs": 4, "lr": 0.02, **options}))


def block_of(task: Any) -> tuple[Any, Any]:
    rows = prepared(("a", "b"), task)
    return np.nan_to_num(rows.inputs.to_numpy(np.float32)), rows


def test_training_neither_hears_nor_moves_the_lots_of_others() -> None:
    block, rows = block_of("binary")
    said = []
    for other in (1, 2):
        torch.manual_seed(other)
        np.random.seed(other)  # noqa: NPY002 -- what the test is about
        random.seed(other)
        made = family(dropout=0.3, patience=2).estimator("binary", 5).fit(block, rows.labels)
        said.append(made.predict_proba(block))
        after = torch.rand(1), np.random.rand()  # noqa: NPY002 -- as above
        torch.manual_seed(other)
        np.random.seed(other)  # noqa: NPY002 -- as above
        assert after == (torch.rand(1), np.random.rand())  # noqa: NPY002 -- as above
    np.testing.assert_array_equal(*said)
    third = family(dropout=0.3, patience=2).estimator("binary", 6).fit(block, rows.labels)
    assert not np.array_equal(third.predict_proba(block), said[0])


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_weight_counts_as_so_many_rows_and_none_as_none(task: str) -> None:
    block, rows = block_of(task)
    weight = np.random.default_rng(0).integers(0, 3, len(block)).astype(float)
    whole = {"batch": 10_000, "optimizer": "sgd", "epochs": 20}  # one batch, so that only sums count
    made = family(**whole).estimator(task, 0)
    ask = "predict" if task == "regression" else "predict_proba"
    weighted = clone(made).fit(block, rows.labels, sample_weight=weight)
    many = weight.astype(int)
    repeated = clone(made).fit(np.repeat(block, many, axis=0), np.repeat(rows.labels, many))
    size = 10.0 if task == "regression" else 1.0
    np.testing.assert_allclose(getattr(weighted, ask)(block), getattr(repeated, ask)(block), atol=1e-5 * size)
    ignored = clone(made).fit(block, rows.labels)
    assert not np.allclose(getattr(weighted, ask)(block), getattr(ignored, ask)(block), atol=1e-3 * size)


def test_patience_stops_early_and_learns_as_well() -> None:
    block, rows = block_of("regression")
    stopped = family(epochs=400, patience=3, hidden=[16]).estimator("regression", 0).fit(block, rows.labels)
    assert np.sqrt(np.mean((stopped.predict(block) - rows.labels) ** 2)) < 0.7 * rows.labels.std()


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_network_of_the_projects_own_is_served_as_it_was_fitted(task: Any) -> None:
    rows = prepared(("a", "b"), task)
    own = plugins.make(Family, Use("torch", {"module": f"{HERE}:Own", "width": 6, "epochs": 3}))
    rows = type(rows)(rows.inputs.fillna(0.0), rows.target, rows.signature, rows.ids)
    check_bundle(Pipeline([("model", own.estimator(task, 0))]), rows, served=True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"hiden": [3]}, "'hiden'.*'hidden'"),
        ({"hidden": 3}, "list of widths"),
        ({"epochs": 0}, "epochs is a whole number"),
        ({"lr": "fast"}, "lr is a number"),
        ({"dropout": 2}, "from 0 to 1"),
        ({"valid": 0, "patience": 2}, "valid is the share"),
        ({"activation": "step"}, "relu"),
        ({"module": f"{HERE}:no_network"}, "int, which is no torch.nn.Module"),
        ({"module": f"{HERE}:Own", "wide": 3}, "called with inputs, outputs and its own options: .*wide"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(options: dict[str, Any], said: str) -> None:
    block, rows = block_of("binary")
    with pytest.raises(SpecError, match=said):
        family(**options).estimator("binary", 0).fit(block, rows.labels)


def test_gaps_are_refused_with_a_way_out() -> None:
    with pytest.raises(ValueError, match="impute"):
        family().estimator("binary", 0).fit(np.array([[np.nan], [1.0]]), [0, 1])


def test_the_command_line_and_serving_import_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys, rivals, rivals.app.cli, rivals.serve.server, rivals.serve.runtimes, rivals.plugins as p\n"
        "from rivals.protocols import Family\n"
        "assert 'torch' in p.names(Family)\n"
        "assert not {'torch', 'skorch'} & set(sys.modules), 'torch is imported'"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
