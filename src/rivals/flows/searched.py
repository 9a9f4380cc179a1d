"""What searches have found so far: how it went, what it cost, and which options mattered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

from rivals.build.plan import search_key
from rivals.flows.trial import before
from rivals.flows.workspace import Workspace
from rivals.registry.builds import builds
from rivals.tune.front import front
from rivals.tune.search import Tried, best_of

ENOUGH = 12  # finished trials that say something about options


@dataclass(frozen=True, slots=True)
class Searched:
    """A variant's search. ``history`` has (seconds so far, best loss so far) after each whole trial.

    ``importance`` is each option's part in explaining the loss, between 0 and 1 (mean decrease in impurity of extremely
    randomised trees; Hutter, Hoos and Leyton-Brown 2014 have the idea); empty where too few trials say so.
    """

    variant: str
    trials: int
    stopped: int
    failed: int
    seconds: float
    share: float  # of all searches' seconds
    best: Mapping[str, Any]
    history: tuple[tuple[float, float], ...]
    importance: Mapping[str, float]
    front: tuple[Tried, ...] = ()  # whole trials that no other beats in loss, latency and size, where these were asked


def searched(workspace: Workspace) -> list[Searched]:
    """Every variant that was searched, as it was last built."""
    found: dict[str, list[Tried]] = {}
    for build in builds(workspace.store):
        name = build.trained.variant
        if name not in found and build.extras.get("tuned"):
            trials = before(workspace.state / "tuning" / search_key(build.extras["asked"]))
            found[name] = sorted(trials, key=lambda one: one.number)
    beside = workspace.spec.tuning.beside
    total = math.fsum(one.seconds for trials in found.values() for one in trials)
    return [_summary(name, trials, total, beside) for name, trials in sorted(found.items()) if trials]


def _summary(name: str, trials: Sequence[Tried], total: float, beside: Sequence[str]) -> Searched:
    seconds = list(accumulate(one.seconds for one in trials))
    losses = accumulate((one.loss if one.whole else math.inf for one in trials), min)
    history = tuple((spent, loss) for spent, loss in zip(seconds, losses, strict=True) if math.isfinite(loss))
    best = found.params if (found := best_of(trials)) else {}
    stopped, failed = sum(one.stopped for one in trials), sum(bool(one.error) for one in trials)
    share = seconds[-1] / total if total else 0.0
    best_ones = tuple(front([one for one in trials if one.size_mb is not None], beside)) if beside else ()
    told = importance(trials)
    return Searched(name, len(trials), stopped, failed, seconds[-1], share, best, history, told, best_ones)


def importance(trials: Sequence[Tried]) -> dict[str, float]:
    """How much of the loss each option explains; they add up to 1."""
    known = [one for one in trials if math.isfinite(one.loss) and one.params]
    names = sorted({name for one in known for name in one.params})
    if len(known) < ENOUGH or not names:
        return {}
    columns = [_numbers([one.params.get(name) for one in known]) for name in names]
    losses = np.array([one.loss for one in known])
    # Ranks: one trial that went astray shall not be all that is explained.
    trees = ExtraTreesRegressor(200, random_state=0, min_samples_leaf=2).fit(
        np.column_stack(columns), losses.argsort().argsort()
    )
    return {name: float(part) for name, part in zip(names, trees.feature_importances_, strict=True)}


def _numbers(values: Sequence[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    if all(isinstance(value, int | float) or value is None for value in values):
        return np.array([-1e9 if value is None else float(value) for value in values])
    order = {text: index for index, text in enumerate(sorted({str(value) for value in values}))}
    return np.array([float(order[str(value)]) for value in values])
