"""NannyML's car loans: 50,000 rows as a reference, 50,000 in which the world changes after row 25,000.

The files are read from the package's wheel, which `make parts` fetches; they are not part of this repository.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rivals import plugins
from rivals.build.reference import number, text
from rivals.observe.looking import AlarmBudget, look
from rivals.protocols import Detector, Window
from rivals.statistics.losses import score
from rivals.statistics.performance import calibrated, expected_accuracy, expected_roc_auc, of_labels
from rivals.values import Use

WHEEL = Path(__file__).resolve().parents[2] / ".parts" / "nannyml-0.13.1-py3-none-any.whl"
CHUNK, CHANGE = 5_000, 25_000
NUMBERS = ["car_value", "debt_to_income_ratio", "loan_length", "driver_tenure"]
TEXTS = ["salary_range", "repaid_loan_on_prev_car", "size_of_downpayment"]
pytestmark = pytest.mark.skipif(not WHEEL.exists(), reason="MISSING PART: nannyml's wheel; make parts fetches it")


@pytest.fixture(scope="module")
def loans() -> tuple[pd.DataFrame, pd.DataFrame]:
    with zipfile.ZipFile(WHEEL) as wheel:
        names = ("reference", "analysis", "analysis_target")
        tables = [pd.read_csv(wheel.open(f"nannyml/datasets/data/synthetic_car_loan_{name}.csv")) for name in names]
    reference, analysis, target = tables
    for table in (reference, analysis):
        table[TEXTS] = table[TEXTS].astype(str).astype(object)
    return reference, analysis.merge(target, on="id")


def test_accuracy_and_auc_are_known_without_labels_to_a_hundredth_in_every_chunk(loans) -> None:
    reference, analysis = loans
    said = reference["y_pred_proba"].to_numpy()
    lines = of_labels(np.column_stack([1 - said, said]), reference["repaid"].to_numpy(int))
    off = []
    for rows in (reference, analysis):
        for start in range(0, len(rows), CHUNK):
            chunk = rows.iloc[start : start + CHUNK]
            said, truth = chunk["y_pred_proba"].to_numpy(), chunk["repaid"].to_numpy(int)
            both = np.column_stack([1 - said, said])
            chances = calibrated(both, lines)
            accuracy, auc = (score(name, truth, both) for name in ("accuracy", "roc_auc"))
            off.append((expected_accuracy(both, chances) - accuracy, expected_roc_auc(said, chances[:, 1]) - auc))
    worst = np.abs(off).max(axis=0)
    print(f"car loans, {len(off)} chunks: worst error {worst[0]:.4f} of accuracy, {worst[1]:.4f} of ROC-AUC")
    assert len(off) == 20
    assert (worst <= 0.01).all()


def test_drift_is_reported_within_two_chunks_and_never_before(loans) -> None:
    reference, analysis = loans
    sketches = {name: number(reference[name].to_numpy(float)) for name in [*NUMBERS, "y_pred_proba"]}
    sketches |= {name: text(reference[name]) for name in TEXTS}
    detectors = {name: plugins.make(Detector, Use(name)) for name in ("edetector", "adwin", "psi", "unseen")}
    memory, loud = {}, {}
    for start in range(0, len(analysis), CHUNK):
        chunk = analysis.iloc[start : start + CHUNK]
        times = np.arange(start, start + len(chunk), dtype=np.float64)
        seen = [
            (sketch, Window(name, start, start + CHUNK, times, chunk[name].to_numpy(), "score" if name == "y_pred_proba" else "input"))
            for name, sketch in sketches.items()
        ]  # fmt: skip
        findings, memory = look(seen, detectors, memory, AlarmBudget(1.0, 30.0))
        loud[start] = [one.column for one in findings if one.drifted]
    print("car loans, alarms by chunk:", {start: sorted(set(names)) for start, names in loud.items() if names})
    assert not any(names for start, names in loud.items() if start < CHANGE)
    assert any(names for start, names in loud.items() if CHANGE <= start < CHANGE + 2 * CHUNK)
