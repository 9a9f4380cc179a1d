"""What a question to the bank costs: a metric added afterwards over 200 variants x 100,000 rows, and a list of 10,000 runs.

Prints both beside their bounds (3 s and 100 ms); exit 1 where one is broken.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from rivals.build import bank
from rivals.build.bank import Bank
from rivals.build.query import scores_of
from rivals.registry.store import Store
from rivals.values import Scores, Trained, Version

VARIANTS, ROWS, RUNS = 200, 100_000, 10_000


def main() -> int:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        metric = {name: _metric(Path(folder), name) for name in ("brier", "roc_auc")}
        listing = _listing(Path(folder))
    for name, seconds in metric.items():
        print(f"{name} added over {VARIANTS} variants x {ROWS:,} rows: {seconds:.2f} s (bound 3 s)")
    print(f"listing {RUNS:,} runs: {1000 * listing:.0f} ms (bound 100 ms)")
    return int(max(metric.values()) >= 3 or listing >= 0.1)


def _metric(folder: Path, name: str) -> float:
    folders = [folder / f"v{k}" for k in range(VARIANTS)]
    if not folders[0].exists():
        rng = np.random.default_rng(0)
        target, ids = rng.integers(0, 2, ROWS), np.arange(ROWS).astype(str).astype(object)
        for one in folders:
            chance = np.clip(0.3 + 0.4 * target + rng.normal(0, 0.2, ROWS), 0.01, 0.99)
            outputs = np.column_stack([1 - chance, chance])
            bank.write(one, Bank(ids, np.zeros(ROWS, np.int64), target, outputs, "binary", (0, 1)))
    started = time.perf_counter()
    found = scores_of(folders, name)
    assert len(found) == VARIANTS
    return time.perf_counter() - started


def _listing(folder: Path) -> float:
    store = Store(f"sqlite:///{folder}/runs.db")
    with store.transaction() as tx:
        for k in range(RUNS):
            name = f"variant{k % 50}"
            scores = Scores({"log_loss": 0.4 + k / RUNS, "roc_auc": 0.8, "brier": 0.1})
            tx.put_trained(Trained(name, "d", f"wish{k}", scores, 1.0, 10.0, 100, "native", 0.0), Version(name, "d"))
    best = []
    for _ in range(5):
        started = time.perf_counter()
        assert len(store.runs()) == RUNS
        best.append(time.perf_counter() - started)
    store.close()
    return min(best)


if __name__ == "__main__":
    sys.exit(main())
