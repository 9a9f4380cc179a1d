"""Is a build as right, and nearly as quick, as scikit-learn's own `cross_val_predict` loop for the same variants?

Both fit the same folds of the same rows with the same gradient-boosted trees, one thread each. The loop is plain
scikit-learn, variant after variant; `rivals train` beside it builds them on all cores, and besides reads the rows, fits
each variant once more on all of them (which is one fit more to each variant's twenty), and writes, measures and
registers its bundle. Half of the loop runs before the build and half after it. Asked: equal losses, and at most 1.15
times the loop's seconds divided by the cores. What two cores that share caches and memory can do is printed beside it:
the same loop once more, its variants dealt to as many processes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
import yaml
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold, cross_val_predict

from rivals.build import bank
from rivals.flows.workspace import open_workspace

ASKED, FOLDS, COLUMNS = 1.15, 20, 16
EQUAL = 1e-6  # of a loss


def variants(small: bool) -> list[dict[str, object]]:
    """Eight of them, of about the same size."""
    trees = 10 if small else 120
    return [{"max_iter": trees, "max_leaf_nodes": 27 + number, "learning_rate": 0.05} for number in range(8)]


def project(wishes: list[dict[str, object]]) -> dict[str, object]:
    """The same variants in a project file."""
    return {
        "project": "against",
        "data": {
            "source": {"use": "parquet", "with": {"path": "rows.parquet"}}, "task": "binary", "target": "y", "id": "row",
            "group": "part", "split": {"folds": FOLDS, "test": 0.0, "by": "group"},  # KFold's parts
        },
        "features": {"plain": []},
        "metrics": ["log_loss"],
        "variants": [
            {"name": f"v{number}", "features": "plain", "family": "sklearn",
             "with": {"estimator": "HistGradientBoostingClassifier", **wish}}
            for number, wish in enumerate(wishes)
        ],
    }  # fmt: skip


def loop(wishes: list[dict[str, object]], frame: pd.DataFrame) -> tuple[float, list[float]]:
    """Seconds, and each variant's loss over the folds."""
    inputs = frame.drop(columns=["y", "row", "part"]).to_numpy(np.float32)
    started, losses = time.perf_counter(), []
    for wish in wishes:
        model = HistGradientBoostingClassifier(random_state=0, **wish)
        said = cross_val_predict(model, inputs, frame["y"], cv=KFold(FOLDS), method="predict_proba")
        losses.append(log_loss(frame["y"], said))
    return time.perf_counter() - started, losses


def dealt(wishes: list[dict[str, object]], frame: pd.DataFrame, cores: int) -> float:
    """Seconds of the loop where every core has its share of the variants."""
    started = time.perf_counter()
    with ProcessPoolExecutor(cores) as pool:
        list(pool.map(partial(loop, frame=frame), [wishes[core::cores] for core in range(cores)]))
    return time.perf_counter() - started


def build(folder: Path) -> tuple[float, list[float]]:
    """Seconds of the command, and each variant's loss over the same folds."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "rivals", "train", "--quiet"], cwd=folder, check=True)
    seconds = time.perf_counter() - started
    workspace = open_workspace(folder)
    losses = []
    for variant in workspace.spec.variants:
        said = bank.read(workspace.state / "bank" / workspace.trained(variant.name).wish)
        losses.append(log_loss(said.target, said.outputs))
    workspace.store.close()
    return seconds, losses


def main() -> int:
    """Print losses, seconds and the ratio; 1 where it is above what was asked or a loss differs."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--small", action="store_true", help="whether it runs at all")
    small = options.parse_args().small
    rng, count = np.random.default_rng(0), 2_000 if small else 60_000
    inputs = rng.normal(size=(count, COLUMNS)).astype(np.float32)
    frame = pd.DataFrame(inputs, columns=[f"x{index}" for index in range(COLUMNS)])
    frame["y"] = (inputs[:, :4].sum(axis=1) + inputs[:, 4] * inputs[:, 5] + rng.normal(size=count) > 0).astype(int)
    frame["row"], frame["part"] = np.arange(count), 0
    for part, (_, judged) in enumerate(KFold(FOLDS).split(inputs)):
        frame.loc[judged, "part"] = part
    wishes, cores = variants(small), len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        frame.to_parquet(Path(name, "rows.parquet"))
        Path(name, "rivals.yaml").write_text(yaml.safe_dump(project(wishes)))
        first, losses = loop(wishes[:4], frame)
        seconds, ours = build(Path(name))
        second, more = loop(wishes[4:], frame)
        ceiling = dealt(wishes, frame, cores)
    theirs, off = first + second, float(np.abs(np.array(ours) - np.array(losses + more)).max())
    ratio = seconds / (theirs / cores)
    print(
        f"scikit-learn's loop {theirs:.1f} s on one core; rivals {seconds:.1f} s on {cores}; losses differ by {off:.1e}"
    )
    print(f"{ratio:.2f} times the loop's seconds divided by the cores; asked: at most {ASKED}")
    print(f"the loop dealt to {cores} processes: {ceiling:.1f} s, {ceiling / (theirs / cores):.2f} times")
    return int(off > EQUAL or (ratio > ASKED and not small))


if __name__ == "__main__":
    sys.exit(main())
