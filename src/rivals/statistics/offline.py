"""Comparison of many models on the same rows: influence of blocks, bootstrapped; and who cannot be told apart.

Rows of one day share their weather, so days are drawn, not rows. A metric of any kind is broken down to one
influence per block by leaving the block out (the jackknife); everything else is done on those few numbers.

Efron, Tibshirani, An Introduction to the Bootstrap (1993), chapters 11 and 16: jackknife, studentised bootstrap.
Hansen, Lunde, Nason, The Model Confidence Set, Econometrica 79 (2011): the tie group.
Romano, Wolf, Stepwise multiple testing as formalized data snooping, Econometrica 73 (2005): the largest of many t.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rivals.statistics.losses import Floats, Metric, Target, Weight

LEAST = 10  # blocks that carry a bootstrap
MOST = 60  # blocks where rows have no order that matters
GROUPS = 2_000  # blocks of groups: of more, several are one block, which is as honest and costs no more memory
DAY = 86_400.0
ROUNDING = 1e-12  # relative


@dataclass(frozen=True, slots=True)
class Difference:
    """An estimated difference with its simultaneous interval."""

    estimate: float
    low: float
    high: float


def blocks_of(
    rows: int, time: Floats | None = None, group: NDArray[Any] | None = None, *, length: float = DAY
) -> NDArray[np.int64]:
    """Number the block of every row: its group, its day (``length`` in seconds), or a stretch of rows.

    With fewer than ten days, stretches of equal size in the order of time; without time, the rows' own order.
    """
    if group is not None and len(set(group.tolist())) >= LEAST:
        return np.unique(group, return_inverse=True)[1].astype(np.int64) % GROUPS
    if time is not None and len(days := np.unique(np.floor(time / length), return_inverse=True)[0]) >= LEAST:
        return np.searchsorted(days, np.floor(time / length)).astype(np.int64)
    place = np.arange(rows) if time is None else np.argsort(np.argsort(time, kind="stable"), kind="stable")
    count = min(rows, MOST if time is None else LEAST)
    return (place * count // max(rows, 1)).astype(np.int64)


def influences(
    metric: Metric, target: Target, outputs: Floats, weight: Weight, blocks: NDArray[np.int64],
    group: NDArray[Any] | None = None,
) -> tuple[float, Floats]:  # fmt: skip
    """The metric, and what every block adds to it: (blocks,) numbers around zero, by leaving each block out.

    A block without which the metric is undefined counts as no influence.
    """
    whole, count = metric.of(target, outputs, weight, group), int(blocks.max()) + 1
    if metric.rows is not None or metric.by_group:  # a mean: no need to compute it again for every block
        if metric.by_group:  # a group that lies in several blocks is shared among them
            values, sizes, index = metric.groups(target, outputs, weight, group)
            each, per_row = (sizes / np.bincount(index))[index], values[index]
        else:
            assert metric.rows is not None
            each, per_row = np.ones(len(target)) if weight is None else weight, metric.rows(target, outputs)
        lost = np.bincount(blocks, each * per_row, count)
        size = np.bincount(blocks, each, count)
        rest = size.sum() - size
        without = np.divide(lost.sum() - lost, rest, out=np.full(count, np.nan), where=rest > 0)
    else:
        without = np.empty(count)
        for block in range(count):
            kept = blocks != block
            without[block] = metric.compute(target[kept], outputs[kept], None if weight is None else weight[kept])
    return whole, np.nan_to_num((count - 1) * (whole - without))


def drawn(blocks: int, draws: int, rng: np.random.Generator) -> Floats:
    """How often each block is drawn: (draws, blocks), each row adding up to ``blocks``."""
    return rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=draws).astype(np.float64)


def interval(estimate: float, influence: Floats, counts: Floats, alpha: float) -> tuple[float, float]:
    """Studentised bootstrap interval of one estimate, (1 - alpha), with equal tails."""
    error = _errors(influence[None])[0]
    if not error:
        return float(estimate), float(estimate)
    t = _studentised(influence[None], counts)[:, 0]
    least, most = np.quantile(t, [alpha / 2, 1 - alpha / 2])
    return float(estimate - most * error), float(estimate - least * error)


def differences(estimates: Floats, influence: Floats, counts: Floats, alpha: float) -> list[Difference]:
    """Intervals that all hold together with probability 1 - alpha: ``influence`` is (comparisons, blocks)."""
    errors = _errors(influence)
    largest = np.abs(_studentised(influence, counts)).max(axis=1, initial=0.0)
    reach = float(np.quantile(largest, 1 - alpha)) * errors
    return [Difference(float(e), float(e - r), float(e + r)) for e, r in zip(estimates, reach, strict=True)]


def confidence_set(losses: Floats, influence: Floats, counts: Floats, alpha: float) -> list[int]:
    """Who may be the best: the model confidence set, which holds the best one with probability 1 - alpha.

    ``losses`` is (models,), less is better; ``influence`` is (models, blocks). All pairs are looked at (the range
    statistic), for two models that err alike are told apart sooner than either from the average. The worst is dropped
    while equality of those left is refuted; equal predictions are never told apart.
    """
    one, other = np.triu_indices(len(losses), k=1)
    if not len(one):
        return [0]
    apart = influence[one] - influence[other]
    rounding = ROUNDING * float(np.abs(influence).max())
    errors = _errors(apart, rounding)
    gap = losses[one] - losses[other]
    t = np.divide(gap, errors, out=np.zeros(len(gap)), where=errors > 0)
    drawn_t = np.abs(_studentised(apart, counts, rounding))
    left = np.ones(len(losses), bool)
    while left.sum() > 1:
        pairs = left[one] & left[other]
        if float(np.mean(drawn_t[:, pairs].max(axis=1) >= np.abs(t[pairs]).max())) >= alpha:
            break
        furthest = int(np.where(pairs, np.abs(t), -1.0).argmax())
        left[one[furthest] if t[furthest] > 0 else other[furthest]] = False
    return [int(index) for index in np.flatnonzero(left)]


def _errors(influence: Floats, rounding: float = 0.0) -> Floats:
    """Standard errors from influences, by block: sqrt(sum / (G (G - 1))); what is all ``rounding`` is zero."""
    blocks = influence.shape[1]
    around = influence - influence.mean(axis=1, keepdims=True)
    errors = np.sqrt((around**2).sum(axis=1) / (blocks * max(blocks - 1, 1)))
    return np.asarray(np.where(errors > rounding, errors, 0.0), np.float64)


def _studentised(influence: Floats, counts: Floats, rounding: float = 0.0) -> Floats:
    """Drawn deviations in units of their own drawn standard errors: (draws, comparisons)."""
    blocks = influence.shape[1]
    around = influence - influence.mean(axis=1, keepdims=True)
    mean = counts @ around.T / blocks
    spread = np.sqrt(np.clip(counts @ (around**2).T / blocks - mean**2, 0, None) / max(blocks - 1, 1))
    t: Floats = np.divide(mean, spread, out=np.zeros_like(mean), where=spread > rounding)
    return t
