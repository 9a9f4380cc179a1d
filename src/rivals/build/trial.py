"""A point of a search space, tried on the folds: what a variant would lose with these options."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rivals.build.evaluate import measure
from rivals.build.folds import Split
from rivals.build.pipeline import arrays
from rivals.build.rows import Rows
from rivals.build.train import answers
from rivals.build.unfitted import unfitted
from rivals.errors import BuildError
from rivals.values import Use

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A family with its options, on rows and on features that ``pipeline.share`` laid down."""

    family: Use
    rows: Rows
    split: Split
    features: Path
    metric: str
    seed: int = 0
    costs: bool = False  # whether what the first fold's model costs is to be known


@dataclass(frozen=True, slots=True)
class Part:
    """Where a trial stands after a fold.

    ``rows`` has a loss per row answered so far, fold after fold, where the metric is a mean of such; ``loss`` is the
    metric on all of these rows, turned round where more is better; ``seconds`` what this fold took.
    """

    fold: int
    last: bool
    loss: float
    rows: Floats | None
    seconds: float
    costs: tuple[float, float] | None = None  # milliseconds of a row, MB: of the first fold's model


def attempt(wanted: Attempt) -> Iterator[Part]:
    """Fit and answer fold after fold. Raises ``BuildError`` or ``SpecError`` with a sentence."""
    rows, split, signature = wanted.rows, wanted.split, wanted.rows.signature
    metric = measure(wanted.metric, rows.task, signature.labels)
    asked = unfitted(wanted.family, rows.task, wanted.seed)
    said: list[Floats] = []
    costs = None
    for k, (train, _) in enumerate(split.folds):
        started = time.perf_counter()
        block, others = arrays(wanted.features, str(k))
        model = asked.fit(block, rows, train)
        said.append(answers(model, others, signature))
        if wanted.costs and k == 0:
            costs = _costs(model, block.shape[1], rows.task)
        places = np.concatenate([valid for _, valid in split.folds[: k + 1]])
        outputs = np.concatenate(said)
        target, weight = rows.target[places], None if rows.weight is None else rows.weight[places]
        group = None if rows.group is None else rows.group[places]
        loss = metric.of(target, outputs, weight, group) * (1 if metric.lower_is_better else -1)
        if not math.isfinite(loss):
            raise BuildError(f"its {wanted.metric} is no number")
        each = metric.rows(target, outputs) if metric.rows and weight is None else None
        yield Part(k, k + 1 == len(split.folds), float(loss), each, time.perf_counter() - started, costs)


def _costs(model: Any, width: int, task: str) -> tuple[float, float] | None:
    from rivals.build.cost import cost  # noqa: PLC0415 -- converters take a second to import, and few searches ask

    return cost(model, width, labelled=task in {"binary", "multiclass"})
