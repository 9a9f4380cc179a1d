"""What answers turned out to mean: paired losses over blocks of time whose labels have come, rewards by unit. Pure.

Sums are exact before they are rounded once (``math.fsum``), so no figure depends on the order of its rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rivals.statistics.losses import BINARY, brier, log_loss, squared
from rivals.values import Pair, Rewarded

Floats = NDArray[np.float64]
Metric = Literal["brier", "log_loss", "squared"]

LEAST_LIKELY = 1e-3  # clipped log loss: no answer is worse than this probability for what happened


@dataclass(frozen=True, slots=True)
class Difference:
    """A block's mean paired loss difference, challenger minus champion, over its labelled rows."""

    mean: float
    rows: int


def matured(next_block: float, now: float, block: float, label_delay: float) -> list[float]:
    """Starts of the blocks from ``next_block`` on that ended at least ``label_delay`` ago.

    Labels as they come would favour whichever variant's labels come sooner (trap 2); a block is whole or not counted.
    """
    starts = []
    while next_block + block + label_delay <= now:
        starts.append(next_block)
        next_block += block
    return starts


def difference(
    pairs: Sequence[Pair], metric: Metric, labels: Sequence[Any], *, bound: float, min_pairs: int
) -> Difference | None:
    """The mean difference over labelled pairs, or None where fewer than ``min_pairs`` have a label.

    ``labels`` are those of the outputs, in their order; a label that is not among them is no label. Silence is not
    evidence: a block without enough labels is skipped, never counted as equal.
    """
    _, each = losses(pairs, metric, labels, bound)
    return Difference(math.fsum(each) / len(each), len(each)) if len(each) >= max(1, min_pairs) else None


def losses(
    pairs: Sequence[Pair], metric: Metric, labels: Sequence[Any], bound: float = math.inf
) -> tuple[list[Pair], Floats]:
    """The pairs that have a label, and the loss difference of each (n,): challenger minus champion, finite."""
    truths = truths_of([pair.label for pair in pairs], metric, labels)
    known = [(pair, truth) for pair, truth in zip(pairs, truths, strict=True) if truth is not None]
    if not known:
        return [], np.zeros(0)
    target = np.array([truth for _, truth in known], np.float64)
    champion = np.array([pair.champion for pair, _ in known], np.float64)
    challenger = np.array([pair.challenger for pair, _ in known], np.float64)
    each = LOSSES[metric](target, challenger, bound) - LOSSES[metric](target, champion, bound)
    finite = np.isfinite(each)
    return [pair for (pair, _), has in zip(known, finite.tolist(), strict=True) if has], each[finite]


def by_unit(rewards: Iterable[Rewarded]) -> list[Rewarded]:
    """One row for each unit, for the unit is what was randomised (trap 1): the mean of its rewards.

    It counts for the variant of its first answer, as it was assigned then; units come in the order of those.
    """
    rows: dict[str, list[Rewarded]] = {}
    for one in sorted(rewards, key=lambda one: (one.time, one.id, one.variant)):
        rows.setdefault(one.unit, []).append(one)
    return [replace(few[0], reward=math.fsum(one.reward for one in few) / len(few)) for few in rows.values()]


def mean_rewards(rewards: Iterable[Rewarded]) -> dict[str, tuple[float, int]]:
    """The mean reward of a unit by variant, and over how many units; of a cohort whose rewards have come."""
    found: dict[str, list[float]] = {}
    for one in by_unit(rewards):
        found.setdefault(one.variant, []).append(one.reward)
    return {variant: (math.fsum(each) / len(each), len(each)) for variant, each in sorted(found.items())}


def truths_of(told: Sequence[Any], metric: Metric, labels: Sequence[Any]) -> list[float | None]:
    """Labels as indexes (or as the values they are, for ``squared``); None where there is none that fits."""
    if metric == "squared":
        return [float(one) if isinstance(one, (int, float)) and math.isfinite(one) else None for one in told]
    places = {label: float(index) for index, label in enumerate(labels)}
    # A label from outside may be anything JSON can say; a list or an object is none of ours.
    return [None if isinstance(one, (list, dict)) else places.get(one) for one in told]


def _brier(target: Floats, outputs: Floats, _: float) -> Floats:
    """Brier score in [0, 1]: (p - y)^2, which for several classes is half the sum over them."""
    each = brier(target.astype(np.int64), outputs)
    return each if outputs.shape[1] == BINARY else each / 2


def _log_loss(target: Floats, outputs: Floats, _: float) -> Floats:
    """Log loss, clipped and scaled to [0, 1]."""
    worst = -math.log(LEAST_LIKELY)
    return np.minimum(log_loss(target.astype(np.int64), outputs), worst) / worst


def _squared(target: Floats, outputs: Floats, bound: float) -> Floats:
    """Squared error, clipped at ``bound``."""
    return np.minimum(squared(target, outputs), bound)


LOSSES: Mapping[str, Callable[[Floats, Floats, float], Floats]] = {
    "brier": _brier,
    "log_loss": _log_loss,
    "squared": _squared,
}
