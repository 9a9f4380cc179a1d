from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import KNeighborsClassifier

from rivals.build.folds import split
from rivals.build.rows import Rows, prepare
from rivals.build.watchdog import Evaluate, Folds, Leak, variant, watch
from rivals.spec.project import DataSpec
from rivals.values import Use

ROWS = 400


class Linear:
    """Least squares, for values and for chances alike: a hundred clean runs are quick."""

    def fit(self, block: np.ndarray, target: np.ndarray) -> Linear:
        wide = np.column_stack([np.ones(len(block)), block])
        self.weights = np.linalg.solve(wide.T @ wide + 1e-3 * np.eye(wide.shape[1]), wide.T @ target)
        return self

    def predict(self, block: np.ndarray) -> np.ndarray:
        return self.weights[0] + block @ self.weights[1:]

    def predict_proba(self, block: np.ndarray) -> np.ndarray:
        chance = np.clip(self.predict(block), 0.001, 0.999)
        return np.column_stack([1 - chance, chance])


Prepare = Callable[[Rows, np.random.Generator], Any]


def frame(seed: int, rows: int = ROWS) -> pd.DataFrame:
    """Six inputs of which three tell something, and a category of many values that tells nothing."""
    rng = np.random.default_rng(seed)
    inputs = {f"x{k}": rng.normal(size=rows) for k in range(6)}
    signal = inputs["x0"] - inputs["x1"] + 0.5 * inputs["x2"]
    made = pd.DataFrame({**inputs, "shop": rng.integers(0, 150, rows).astype(float)})
    return made.assign(
        y=(rng.random(rows) < 1 / (1 + np.exp(-signal))).astype(int), value=signal + rng.normal(size=rows)
    )


def rows_of(made: pd.DataFrame, task: str = "binary") -> Rows:
    target, other = ("y", "value") if task == "binary" else ("value", "y")
    return prepare(made.drop(columns=other), DataSpec.model_validate({"source": "csv", "task": task, "target": target}))


def folds_of(rows: Rows, seed: int = 0) -> Folds:
    return split(len(rows), folds=3, seed=seed).folds


def evaluation(before: Prepare, model: Any = None) -> Evaluate:
    """The user's own: everything is prepared first, then folds are fitted."""

    def evaluate(rows: Rows, folds: Folds) -> list[np.ndarray]:
        values = rows.signature.task == "regression"
        block = np.asarray(before(rows, np.random.default_rng(0)), float)
        said = []
        for train, others in folds:
            used = (model or Linear()).fit(block[train], rows.target[train])
            said.append(used.predict(block[others])[:, None] if values else used.predict_proba(block[others]))
        return said

    return evaluate


def clean(rows: Rows, _: np.random.Generator) -> np.ndarray:
    block = rows.inputs.to_numpy(float)
    return (block - block.mean(axis=0)) / block.std(axis=0)


def encoded(rows: Rows, _: np.random.Generator) -> np.ndarray:
    """Each shop's mean target, the row's own included."""
    target = pd.Series(rows.target.astype(float))
    return np.column_stack([clean(rows, _), target.groupby(rows.inputs["shop"].to_numpy()).transform("mean")])


def selected(rows: Rows, rng: np.random.Generator) -> np.ndarray:
    """The ten of 500 noise columns that go best with the target, chosen on all rows."""
    noise = rng.normal(size=(len(rows), 500))
    return noise[:, np.argsort(-np.abs(noise.T @ (rows.target - rows.target.mean())))[:10]]


def neighbours(rows: Rows, _: np.random.Generator) -> np.ndarray:
    """The mean target of the nearest rows, itself among them."""
    block = clean(rows, _)
    nearest = np.argsort(((block[:, None] - block[None]) ** 2).sum(axis=2), axis=1)[:, :3]
    return np.column_stack([block, rows.target[nearest].mean(axis=1)])


def blurred(rows: Rows, rng: np.random.Generator) -> np.ndarray:
    """The target itself under much noise."""
    return np.column_stack([clean(rows, rng), rows.target + rng.normal(0, 2.0 * rows.target.std(), len(rows))])


def projected(rows: Rows, rng: np.random.Generator) -> np.ndarray:
    """All inputs and 100 of noise, projected on the target's direction as all rows have it."""
    wide = np.column_stack([clean(rows, rng), rng.normal(size=(len(rows), 100))])
    return (wide @ (wide.T @ (rows.target - rows.target.mean())))[:, None] / len(rows)


def by_order(known: np.ndarray) -> Prepare:
    """Something looked up by the row's place, which nobody shuffles with the inputs."""
    return lambda rows, _: np.column_stack([clean(rows, _), known])


def planted(kind: str, seed: int) -> tuple[Evaluate, Rows]:
    rng, made = np.random.default_rng(1000 + seed), frame(seed)
    task = "regression" if seed % 2 else "binary"
    prepared: dict[str, Prepare] = {"encoded": encoded, "selected": selected, "neighbours": neighbours, "blurred": blurred, "projected": projected}  # fmt: skip
    if kind in prepared:
        return evaluation(prepared[kind]), rows_of(made, task)
    if kind == "order":
        rows = rows_of(made, task)
        return evaluation(by_order(rows.target + rng.normal(0, 1.5 * rows.target.std(), ROWS))), rows
    if kind == "twins":
        twice = pd.concat([made, made.sample(40 + 20 * seed, random_state=seed)], ignore_index=True)
        return evaluation(clean, KNeighborsClassifier(1)), rows_of(twice)
    flipped = made["y"] ^ (rng.random(ROWS) < 0.005)
    proxy = (
        made["value"] * 3 + rng.normal(0, 0.1, ROWS) if task == "regression" else flipped * 40.0 + rng.normal(size=ROWS)
    )
    return evaluation(clean), rows_of(made.assign(refund=proxy), task)


LEAKS = [
    (kind, seed) for kind in ("encoded", "selected", "neighbours", "blurred", "projected", "order") for seed in range(3)
]
LEAKS = [*LEAKS[:15], ("order", 0), ("order", 1), ("twins", 0), ("proxy", 0), ("proxy", 1)]
CHECKS = {"order": "noise features", "twins": "same rows", "proxy": "one column"}


def caught(kind: str, seed: int) -> bool:
    evaluate, rows = planted(kind, seed)
    return CHECKS.get(kind, "shuffled labels") in {leak.check for leak in watch(evaluate, rows, folds_of(rows, seed))}


def false_alarms(runs: int) -> list[Leak]:
    found: list[Leak] = []
    for seed in range(runs):
        rows = rows_of(frame(5000 + seed), "regression" if seed % 2 else "binary")
        found += watch(evaluation(clean), rows, folds_of(rows, seed), seed=seed)
    return found


@pytest.mark.parametrize("kind", ["encoded", "selected", "order", "twins", "proxy"])
def test_a_planted_leak_is_caught_by_its_check(kind: str) -> None:
    assert caught(kind, 0)


def test_clean_evaluations_raise_no_alarm() -> None:
    """10 runs; one check in 30,000 is a false alarm."""
    assert false_alarms(10) == []


@pytest.mark.slow
def test_twenty_planted_leaks_are_caught() -> None:
    assert len(LEAKS) == 20
    missed = [one for one in LEAKS if not caught(*one)]
    print(f"planted leaks caught: {len(LEAKS) - len(missed)} of {len(LEAKS)}")
    assert missed == []


@pytest.mark.slow
def test_a_hundred_clean_runs_raise_one_alarm_at_most() -> None:
    alarms = false_alarms(100)
    print(f"false alarms in 100 clean runs: {len(alarms)}")
    assert len(alarms) <= 1


def test_a_variants_own_steps_and_family_are_clean_and_a_column_that_tells_all_is_named() -> None:
    rows = rows_of(frame(1))
    own = variant([Use("scale", {"columns": "numeric"})], Use("sklearn", {"estimator": "LogisticRegression"}))
    assert watch(own, rows, folds_of(rows)) == ()
    told = replace(rows, inputs=rows.inputs.assign(x5=rows.target.astype("float32")))
    (leak,) = watch(own, told, folds_of(told))
    assert leak.check == "one column"
    assert leak.reason.startswith("x5 alone explains 100%")


def test_equal_rows_of_few_values_are_no_leak() -> None:
    made = frame(2)
    few = made.assign(**{f"x{k}": np.sign(made[f"x{k}"]) for k in range(6)}, shop=0.0)
    assert [
        leak.check for leak in watch(evaluation(lambda rows, _: rows.inputs), rows_of(few), folds_of(rows_of(few)))
    ] == []
