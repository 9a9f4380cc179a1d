"""Is a blend learned from the bank better than its best member on rows that nobody saw, and as good as AutoGluon's?

On each task (`tasks.py`) ten members: the six variants of `searching.py` as they are, and one point at random of the
usual space of each of the four kinds of trees. Their answers of five folds are what combiners learn from; the members,
fitted on all rows that teach, then answer those that judge. AutoGluon's ensemble selection (100 rounds, its default for
a layer's end) learns from the same answers.

Asked: greedy's and the stack's loss is at most the best member's, known only afterwards, on at least 7 of 8 tasks; and
within noise of AutoGluon's: the difference row by row is not above 0 with 97.5 % certainty.

    python benchmarks/blends.py --seeds 1
"""

from __future__ import annotations

import argparse
import fcntl
import json
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import searching
import yaml
from tasks import TASKS, laid, loss, task

from rivals.build.pipeline import FINAL, StepsJob, share
from rivals.ensemble.family import blend
from rivals.ensemble.together import together
from rivals.plugins import make
from rivals.protocols import Combiner, Lesson
from rivals.spec.load import load
from rivals.tune.presets import auto
from rivals.tune.space import parse
from rivals.values import Use

FOLDS, FOLDER = 5, Path(".peers/blends")
SELECT = [".peers/autogluon/bin/python", str(Path(__file__).parent / "peers/tabular/with_selection.py")]
WAYS = ("mean", "greedy", "stack")
SURE = 1.96


@dataclass(frozen=True)
class Members:
    """What members said, (members, rows, k), of rows that teach (out of fold) and of those that judge."""

    names: list[str]
    taught: np.ndarray
    judged: np.ndarray
    fold: np.ndarray
    teach: np.ndarray
    judge: np.ndarray


def members(name: str, seed: int) -> tuple[Path, Members]:
    """Fitted once, then read."""
    file = FOLDER / f"{name}-{seed}.npz"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            draft = file.with_suffix(".draft.npz")
            np.savez(draft, **_fitted(name, seed))
            draft.rename(file)
    with np.load(file) as kept:
        return file, Members(
            list(kept["names"]), *(kept[one] for one in ("taught", "judged", "fold", "teach", "judge"))
        )


def _fitted(name: str, seed: int) -> dict[str, Any]:
    one, (teach, judge) = task(name), map(pd.read_parquet, laid(name, seed))
    text = any(not pd.api.types.is_numeric_dtype(kind) for kind in teach.dtypes)
    searching.FOLDS = FOLDS
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        work = Path(folder)
        (work / "rivals.yaml").write_text(yaml.safe_dump(searching.project(one.kind, one.metric, 1, seed, text)))
        spec = load(work / "rivals.yaml")
        rows, at = searching.laid_down(teach, judge, spec, work)
        shared = {each: share(StepsJob(each, spec.features[each], None, at, work / each)) for each in spec.features}
        inner = searching.split(len(teach), folds=FOLDS, test=0.0, seed=seed)
        found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for variant in spec.variants:
            points: list[dict[str, Any]] = [{}]
            if variant.name in {"lightgbm", "xgboost", "forest", "extra"}:
                points += [parse(auto(variant.family or "", variant.with_)).sample(Random(seed))]
            for index, params in enumerate(points):
                where = shared[str(variant.features)]
                said = [searching.fitted(spec, variant.name, params, rows, at, where, str(k)) for k in range(FOLDS)]
                final = searching.fitted(spec, variant.name, params, rows, at, where, FINAL)
                taught = np.empty((len(teach), final.shape[1]))
                for (_, valid), part in zip(inner.folds, said, strict=True):
                    taught[valid] = part
                found[f"{variant.name}{index}"] = taught, final
        fold = np.empty(len(teach), np.int64)
        for k, (_, valid) in enumerate(inner.folds):
            fold[valid] = k
        return {
            "names": np.array(list(found)), "fold": fold,
            "taught": np.stack([taught for taught, _ in found.values()]),
            "judged": np.stack([judged for _, judged in found.values()]),
            "teach": np.asarray(rows.target[: len(teach)], np.float64),
            "judge": np.asarray(rows.target[len(teach) :], np.float64),
        }  # fmt: skip


def answered(way: str, kind: str, metric: str, bank: Members) -> np.ndarray:
    """What the combiner, having learned from the bank, makes of the members' answers."""
    lesson = Lesson(dict(zip(bank.names, bank.taught, strict=True)), bank.teach, kind, metric)
    use = blend(Use(way), lesson, bank.fold).combiner
    asked = {name: partial(np.asarray, said) for name, said in zip(bank.names, bank.judged, strict=True)}
    return np.asarray(together(make(Combiner, use), asked))


def selected(file: Path, kind: str, metric: str, bank: Members) -> np.ndarray:
    """AutoGluon's."""
    into = file.with_suffix(".weights")
    if not into.exists():
        subprocess.run([*SELECT, str(file), kind, metric, str(into)], check=True)
    return np.asarray(np.tensordot(np.array(json.loads(into.read_text())), bank.judged, 1))


def apart(kind: str, truth: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    """How many standard errors the first loses more, row by row."""

    def rows(said: np.ndarray) -> np.ndarray:
        if kind == "regression":
            return np.asarray((said[:, 0] - truth) ** 2)
        return np.asarray(-np.log(np.clip(said[np.arange(len(truth)), truth.astype(int)], 1e-7, 1)))

    off = rows(one) - rows(other)
    return float(off.mean() / max(off.std(ddof=1) / np.sqrt(len(off)), 1e-300))


def main() -> int:
    """Print losses by task; 1 where less was reached than was asked."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seeds", type=int, default=1)
    chosen = options.parse_args()
    print("| loss | best member | chosen by the folds | mean | greedy | stack | AutoGluon's | greedy, stack apart from it |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    good = dict.fromkeys(WAYS, 0)
    noise, many = dict.fromkeys(WAYS, 0), 0
    for seed in range(chosen.seeds):
        for name in TASKS:
            one = task(name)
            file, bank = members(name, seed)
            alone = [loss(one.kind, bank.judge, said) for said in bank.judged]
            folds = [loss(one.kind, bank.teach, said) for said in bank.taught]
            said = {way: answered(way, one.kind, one.metric, bank) for way in WAYS}
            theirs = selected(file, one.kind, one.metric, bank)
            losses = {way: loss(one.kind, bank.judge, said[way]) for way in WAYS}
            off = {way: apart(one.kind, bank.judge, said[way], theirs) for way in WAYS}
            many += 1
            for way in WAYS:
                good[way] += losses[way] <= min(alone)
                noise[way] += off[way] <= SURE
            print(
                f"| {name} {seed} | {min(alone):.5g} ({bank.names[int(np.argmin(alone))]}) | {alone[int(np.argmin(folds))]:.5g} | "
                + " | ".join(f"{losses[way]:.5g}" for way in WAYS)
                + f" | {loss(one.kind, bank.judge, theirs):.5g} | {off['greedy']:+.1f}, {off['stack']:+.1f} |", flush=True,
            )  # fmt: skip
    for way in WAYS:
        print(f"{way}: at most the best member's on {good[way]} of {many}; within noise of AutoGluon's, or below, on {noise[way]}")  # fmt: skip
    return int(max(good["greedy"], good["stack"]) < 7 / 8 * many or min(noise["greedy"], noise["stack"]) < many)


if __name__ == "__main__":
    sys.exit(main())
