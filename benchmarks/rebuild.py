"""What does a re-run cost when one of twelve variants was changed? Beside a project that has this variant alone.

Both are whole `rivals train` commands: rows read, planned, divided, features made, the variant fitted per fold, bundled,
registered. Five rounds, interleaved; the ratio of medians, asked: at most 1.1.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

ASKED, ROUNDS, ROWS, VARIANTS = 1.1, 5, 60_000, 12


def wish(changed: int, only: int | None = None) -> dict[str, object]:
    """A project of twelve forests, one of them changed ``changed`` times; or that one ``only``."""
    variants = [
        {
            "name": f"forest{number}",
            "features": "plain",
            "family": "sklearn",
            "with": {
                "estimator": "RandomForestClassifier",
                "n_estimators": 40,
                "max_depth": 6 + (number == 0) * changed,
            },
        }
        for number in range(VARIANTS)
    ]
    return {
        "project": "rebuild",
        "data": {"source": {"use": "parquet", "with": {"path": "rows.parquet"}}, "task": "binary", "target": "y"},
        "features": {"plain": ["impute", "scale"]},
        "variants": variants if only is None else [variants[only]],
    }


def train(folder: Path, project: dict[str, object]) -> float:
    """Seconds of the command."""
    (folder / "rivals.yaml").write_text(yaml.safe_dump(project))
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "rivals", "train", "--quiet"], cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> int:
    """Print the two medians and their ratio; 1 where it is above what was asked."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(ROWS, 12))
    frame = pd.DataFrame(inputs, columns=[f"x{i}" for i in range(12)])
    frame["y"] = (inputs[:, :3].sum(axis=1) + rng.normal(size=ROWS) > 0).astype(int)
    with tempfile.TemporaryDirectory() as name:
        whole, alone = Path(name) / "whole", Path(name) / "alone"
        for folder in (whole, alone):
            folder.mkdir()
            frame.to_parquet(folder / "rows.parquet")
        print(f"all {VARIANTS}: {train(whole, wish(0)):.1f} s")
        train(alone, wish(0, only=0))  # its MLflow database is there before the first round, as the other's is
        again, single = [], []
        for round_ in range(1, ROUNDS + 1):
            again.append(train(whole, wish(round_)))
            single.append(train(alone, wish(round_, only=0)))
    ratio = statistics.median(again) / statistics.median(single)
    print(f"one of {VARIANTS} changed: {statistics.median(again):.2f} s; alone: {statistics.median(single):.2f} s; "
          f"ratio {ratio:.2f} (asked: at most {ASKED})")  # fmt: skip
    return int(ratio > ASKED)


if __name__ == "__main__":
    sys.exit(main())
