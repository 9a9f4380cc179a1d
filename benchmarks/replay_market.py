"""Does the market spend a budget well, and does racing stop the right trials? 10,000 schedules over a recorded grid.

A full grid is recorded once: 40 points of each of five kinds of model on four bundled tasks, every fold's losses row by
row and its seconds. Schedules then only look up what a trial would have come to: the market (`rivals.tune.market`),
round-robin, successive halving and random order, each on every task under many seeds, with 40 % of the seconds that the
whole grid took. Regret is the best loss so far above the grid's best, as a share of the way down from the median trial.

Racing (`rivals.tune.race`): trials in random order, fold by fold against the best so far; asked: half of the fits, and
less than 1 % chance of stopping the eventual winner.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_wine, make_classification
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from rivals.flows.drawing import Line, page, plot, plots
from rivals.tune.market import Market, Study
from rivals.tune.race import CHANCE, hopeless

POINTS, FOLDS, SCHEDULES, RACES = 40, 4, 10_000, 2_000
BOLDER = (0.02, 0.05)  # chances that are looked at as well
PART = 0.4  # of the grid's seconds
CHECKS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)  # of the budget
HALVING = 3  # a third of the trials goes on with three times the budget

Floats = NDArray[np.float64]
Order = Callable[["Grid", np.random.Generator], "Spent"]
Spent = list[tuple[float, float]]  # seconds so far, best loss so far


@dataclass(frozen=True)
class Grid:
    """What every trial of a task came to. ``losses`` (studies, points, rows), rows fold by fold; ``seconds`` by fold."""

    losses: Floats
    ends: tuple[int, ...]  # of the folds
    seconds: Floats  # (studies, points, folds)

    @property
    def total(self) -> Floats:
        """Mean losses (studies, points)."""
        return self.losses.mean(axis=2)


# -- recording ------------------------------------------------------------------------------------------------


def points(rng: np.random.Generator) -> list[list[object]]:
    """Forty unfitted estimators of each kind."""

    def log(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(math.log(low), math.log(high))))

    def trees(kind: type) -> object:
        return kind(n_estimators=int(log(5, 60)), max_depth=int(rng.integers(2, 16)),
                    min_samples_leaf=int(log(1, 40)), max_features=float(rng.uniform(0.1, 1)), random_state=0)  # fmt: skip

    kinds: list[Callable[[], object]] = [
        lambda: make_pipeline(StandardScaler(), LogisticRegression(C=log(1e-4, 1e3), max_iter=300)),
        lambda: make_pipeline(StandardScaler(), KNeighborsClassifier(int(log(1, 80)))),
        lambda: DecisionTreeClassifier(
            max_depth=int(rng.integers(1, 16)), min_samples_leaf=int(log(1, 80)), random_state=0
        ),
        lambda: trees(RandomForestClassifier),
        lambda: trees(ExtraTreesClassifier),
    ]
    return [[kind() for _ in range(POINTS)] for kind in kinds]


def tasks() -> list[tuple[Floats, NDArray[np.int64]]]:
    """Four bundled tasks of some hundred rows."""
    hard = make_classification(600, 20, n_informative=6, flip_y=0.2, class_sep=0.7, random_state=0)
    digits = load_digits(return_X_y=True)
    return [load_breast_cancer(return_X_y=True), load_wine(return_X_y=True), (digits[0][:700], digits[1][:700]), hard]


@cache
def recorded(number: int) -> Grid:
    """The grid of a task: every point, every fold, every row's loss (Brier)."""
    inputs, target = tasks()[number]
    labels = np.unique(target)
    studies = points(np.random.default_rng(number))
    folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(inputs, target))
    losses = np.zeros((len(studies), POINTS, len(target)))
    seconds = np.zeros((len(studies), POINTS, FOLDS))
    ends = np.cumsum([len(judged) for _, judged in folds])
    truth = (target[:, None] == labels).astype(float)
    for s, study in enumerate(studies):
        for p, point in enumerate(study):
            for f, (taught, judged) in enumerate(folds):
                started = time.perf_counter()
                said = clone(point).fit(inputs[taught], target[taught]).predict_proba(inputs[judged])
                seconds[s, p, f] = time.perf_counter() - started
                losses[s, p, ends[f] - len(judged) : ends[f]] = ((said - truth[judged]) ** 2).sum(axis=1)
    return Grid(losses, tuple(int(end) for end in ends), seconds)


# -- schedules ------------------------------------------------------------------------------------------------


def market(grid: Grid, rng: np.random.Generator) -> Spent:
    """The real market, one trial at a time."""
    total, cost = grid.total, grid.seconds.sum(axis=2)
    order = [rng.permutation(POINTS) for _ in total]
    done: list[list[tuple[float, float]]] = [[] for _ in total]
    buys, spent, best, found = Market(seconds=PART * float(cost.sum())), 0.0, math.inf, Spent()
    while True:
        studies = [Study(str(s), tuple(told), exhausted=len(told) == POINTS) for s, told in enumerate(done)]
        name = buys.choose(studies)
        if name is None:
            return found
        s = int(name)
        p = order[s][len(done[s])]
        done[s].append((float(total[s, p]), float(cost[s, p])))
        spent, best = spent + float(cost[s, p]), min(best, float(total[s, p]))
        found.append((spent, best))


def one_by_one(grid: Grid, trials: Sequence[tuple[int, int]]) -> Spent:
    """Whole trials in this order."""
    total, cost, spent, best, found = grid.total, grid.seconds.sum(axis=2), 0.0, math.inf, Spent()
    for s, p in trials:
        spent, best = spent + float(cost[s, p]), min(best, float(total[s, p]))
        found.append((spent, best))
        if spent >= PART * float(cost.sum()):
            break
    return found


def round_robin(grid: Grid, rng: np.random.Generator) -> Spent:
    """Every kind of model in turn."""
    order = [rng.permutation(POINTS) for _ in grid.losses]
    return one_by_one(grid, [(s, int(order[s][turn])) for turn in range(POINTS) for s in range(len(order))])


def anyhow(grid: Grid, rng: np.random.Generator) -> Spent:
    """All trials in random order."""
    every = rng.permutation(len(grid.losses) * POINTS)
    return one_by_one(grid, [(int(one) // POINTS, int(one) % POINTS) for one in every])


def halving(grid: Grid, rng: np.random.Generator) -> Spent:
    """Successive halving over folds: one for all, all for the best third of a third. Jamieson & Talwalkar 2016."""
    limit, spent, best, found = PART * float(grid.seconds.sum()), 0.0, math.inf, Spent()
    left = [(int(one) // POINTS, int(one) % POINTS) for one in rng.permutation(len(grid.losses) * POINTS)]
    have = 0
    for folds in (1, 2, FOLDS):
        scored = []
        for s, p in left:
            spent += float(grid.seconds[s, p, have:folds].sum())
            loss = float(grid.losses[s, p, : grid.ends[folds - 1]].mean())
            if folds == FOLDS:
                best = min(best, loss)
                found.append((spent, best))
            scored.append((loss, s, p))
            if spent >= limit:
                break
        left, have = [(s, p) for _, s, p in sorted(scored)[: max(1, len(scored) // HALVING)]], folds
        if spent >= limit:
            break
    return found or [(spent, float(np.median(grid.total)))]


ORDERS: dict[str, Order] = {
    "market": market,
    "successive halving": halving,
    "round-robin": round_robin,
    "random": anyhow,
}


def regrets(work: tuple[str, int, int, int]) -> Floats:
    """Regret at the checks (schedules, checks) of one way on one task."""
    name, number, first, many = work
    grid = recorded(number)
    lowest, usual, whole = float(grid.total.min()), float(np.median(grid.total)), PART * float(grid.seconds.sum())
    rows = []
    for seed in range(first, first + many):
        told = ORDERS[name](grid, np.random.default_rng([number, seed]))
        row = []
        for check in CHECKS:
            best = min((loss for spent, loss in told if spent <= check * whole * 1.0001), default=usual)
            row.append(max(0.0, best - lowest) / (usual - lowest))
        rows.append(row)
    return np.array(rows)


# -- racing ---------------------------------------------------------------------------------------------------


def races(work: tuple[int, float]) -> tuple[int, int, int, int]:
    """Fits done, fits there were, winners stopped, races: every kind of model, in random orders, under a chance."""
    number, chance = work
    grid = recorded(number)
    done = there = stopped = run = 0
    for s, losses in enumerate(grid.losses):
        known: dict[tuple[int, int, int], bool] = {}
        winner = int(grid.total[s].argmin())

        def gone(
            p: int, best: int, fold: int, losses: Floats = losses, known: dict[tuple[int, int, int], bool] = known
        ) -> bool:
            key = (p, best, fold)
            if key not in known:
                known[key] = hopeless(losses[p, : grid.ends[fold]], losses[best], chance)
            return known[key]

        for seed in range(RACES // len(grid.losses)):
            best = -1
            for p in np.random.default_rng([number, s, seed]).permutation(POINTS).tolist():
                folds = next((f + 1 for f in range(FOLDS - 1) if best >= 0 and gone(p, best, f)), FOLDS)
                done, there = done + folds, there + FOLDS
                if folds < FOLDS:
                    stopped += p == winner
                elif best < 0 or grid.total[s, p] < grid.total[s, best]:
                    best = p
            run += 1
    return done, there, stopped, run


def curves(found: dict[str, Floats]) -> list[Line]:
    """Regret over the budget, a line for each way."""
    return [Line(name, np.array(CHECKS), rows.mean(axis=0)) for name, rows in found.items()]


def main() -> int:
    """Print regrets and races; 1 where racing does not hold what was asked, or the market loses to all others."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--plot", type=Path, help="draw the curves of regret into this HTML file")
    chosen = options.parse_args()
    many = len(tasks())
    each = SCHEDULES // (len(ORDERS) * many)
    with ProcessPoolExecutor(min(os.cpu_count() or 1, many), mp_context=get_context("fork")) as pool:
        started = time.perf_counter()
        for number in range(many):
            recorded(number)  # before the processes are made: they have it by fork
        print(
            f"recorded {many} tasks x 5 kinds x {POINTS} points x {FOLDS} folds in {time.perf_counter() - started:.0f} s"
        )
        started = time.perf_counter()
        found = {
            name: np.concatenate(list(pool.map(regrets, [(name, number, 0, each) for number in range(many)])))
            for name in ORDERS
        }
        took = time.perf_counter() - started
        raced = {
            chance: np.array(list(pool.map(races, [(number, chance) for number in range(many)]))).sum(axis=0).tolist()
            for chance in (CHANCE, *BOLDER)
        }
    print(f"{sum(len(one) for one in found.values()):,} schedules in {took:.0f} s (asked: under 60)")
    print("regret after a share of the budget, mean".ljust(42) + "".join(f"{check:>8.0%}" for check in CHECKS))
    for name, rows in found.items():
        print(name.ljust(42) + "".join(f"{value:>8.3f}" for value in rows.mean(axis=0)))
    for chance, (done, there, stopped, run) in raced.items():
        print(
            f"racing at {chance}: {done / there:.1%} of the fits, winner stopped in {stopped / run:.2%} of {run:,} races"
        )
    print("asked: half of the fits, winner stopped in under 1 %")
    done, there, stopped, run = raced[CHANCE]
    if chosen.plot:
        chosen.plot.write_text(
            page("Regret", [plots(plot("Mean regret", "share of the budget", "regret", curves(found)))])
        )
    return int(done / there > 0.5 or stopped / run >= 0.01 or took >= 60)


if __name__ == "__main__":
    sys.exit(main())
