"""How good variants are: before labels come by their calibration, after them by their losses, block after block. Pure.

A block is a stretch of time whose labels have had the time to come. Of each block and variant three numbers are
followed: ``excess``, the loss above what its calibrated answers expect; ``bias``, labels minus calibrated answers; and
``apart``, its excess above that of the other variants in the same block. A day that was hard for everybody is nobody's
fault, so what is expected is taken off first; how much blocks vary is learned from the blocks before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rivals.observe.cohorts import Bins, by_slice, calibration_error, reliability, slice_losses
from rivals.observe.outcomes import LOSSES, Metric
from rivals.statistics.conformal import Course, step
from rivals.statistics.losses import Floats
from rivals.statistics.performance import calibrated, expected_loss
from rivals.usual import Held
from rivals.values import Finding, Quality

KEPT = 120  # blocks of a variant that are remembered
RECENT = 7  # blocks whose mean is told, where nothing says since when
LEAST = 20  # labels, without which a block says nothing
PART, LEAST_EXCESS, BIAS = 0.05, 0.002, 0.02  # tolerated: a part of the held-out loss, at least, and of the labels
SETTLED = 3  # blocks that say which share of the answers usually gets a label


@dataclass(frozen=True, slots=True)
class Block:
    """One variant in one block; losses are means. ``foreseen`` is over all answers, the others over labelled ones."""

    start: float
    end: float
    answered: int
    labelled: int
    foreseen: float
    expected: float = math.nan
    loss: float = math.nan
    bias: float = math.nan
    reliability: Bins = ()
    slices: dict[str, tuple[int, float]] = field(default_factory=dict)  # labelled rows and summed loss


@dataclass(frozen=True, slots=True)
class Record:
    """A variant's blocks so far, and what is bet on them."""

    blocks: tuple[Block, ...] = ()
    excess: Course = field(default_factory=Course)
    above: Course = field(default_factory=Course)  # labels above what it says
    below: Course = field(default_factory=Course)
    apart: Course = field(default_factory=Course)
    foreseen: Course = field(default_factory=Course)


@dataclass(frozen=True, slots=True)
class Judged:
    """What a variant is measured by: its metric, its labels in order, and how it was on held-out rows."""

    metric: Metric
    labels: tuple[Any, ...]
    held: Held

    @property
    def before(self) -> float:
        """The mean held-out loss."""
        return self.held.losses[self.metric].mean


def block(
    judged: Judged,
    outputs: Floats,
    labels: Sequence[Any],
    start: float,
    end: float,
    codes: Mapping[str, NDArray[np.int64]] | None = None,
    slices: Sequence[Sequence[str]] = (),
) -> Block:
    """A block from a variant's answers (rows, k) and their labels (None: none).

    ``codes``: cells of inputs, for DLE; ``slices`` (rows,): the declared ones that each row falls into.
    """
    rows = len(outputs)
    if not rows:
        return Block(start, end, 0, 0, math.nan)
    happened = _happened(judged, labels)
    expected, said, scale = _expected(judged, outputs, codes or {})
    known = np.isfinite(happened)
    found = Block(start, end, rows, int(known.sum()), float(expected.mean()))
    if known.sum() < LEAST:
        return found
    loss = losses(judged, outputs[known], happened[known])
    truth = _truth(judged, outputs[known], happened[known])
    bias = float((truth - said[known]).mean()) / scale
    sliced = by_slice(loss, [slices[row] for row in np.flatnonzero(known).tolist()]) if len(slices) else {}
    bins = reliability(_chance(outputs[known]), truth) if judged.labels else ()
    return replace(
        found, expected=float(expected[known].mean()), loss=float(loss.mean()), bias=bias, reliability=bins,
        slices=sliced,
    )  # fmt: skip


def losses(judged: Judged, outputs: Floats, happened: Floats) -> Floats:
    """The loss of each row; ``happened`` as indexes of labels, or values."""
    bound = judged.held.bound if judged.held.bound is not None else math.inf
    return LOSSES[judged.metric](happened, outputs, bound)


def foreseen(judged: Judged, outputs: Floats, codes: Mapping[str, NDArray[np.int64]] | None = None) -> Floats:
    """The loss that each answer (rows, k) is expected to have, without its label."""
    return _expected(judged, outputs, codes or {})[0]


def advance(
    records: Mapping[str, Record], blocks: Mapping[str, Block], judged: Mapping[str, Judged]
) -> dict[str, Record]:
    """Every variant's record after a block that all of them met; one that met too few rows stays as it was."""
    excess = {name: one.loss - one.expected for name, one in blocks.items() if math.isfinite(one.loss)}
    after = dict(records)
    for name, one in blocks.items():
        before, tolerated = records.get(name, Record()), _tolerated(judged[name])
        found = replace(before, blocks=(*before.blocks, one)[-KEPT:])
        if math.isfinite(one.foreseen) and one.answered >= LEAST:
            found = replace(found, foreseen=step(before.foreseen, one.foreseen, one.start, tolerated))
        if name in excess and not late(before.blocks, one):
            others = [value for other, value in excess.items() if other != name]
            found = replace(
                found,
                excess=step(before.excess, excess[name], one.start, tolerated),
                above=step(before.above, one.bias, one.start, BIAS),
                below=step(before.below, -one.bias, one.start, BIAS),
                apart=step(before.apart, excess[name] - sum(others) / len(others), one.start, tolerated)
                if others
                else before.apart,
            )
        after[name] = found
    return after


def quality(name: str, record: Record, judged: Judged) -> Quality:
    """A variant's quality since it changed, as far as blocks tell, or lately; and the evidence that it is worse."""
    courses = [record.excess, record.above, record.below, record.apart]
    leading = max(courses, key=lambda one: one.log_e)
    newest = record.blocks[-1]
    since = leading.began if leading.began is not None and leading.log_e > 1 else -math.inf
    some = [one for one in record.blocks if one.start >= since and math.isfinite(one.loss)][-RECENT:]
    weights = [one.labelled for one in some]
    return Quality(
        name,
        judged.metric,
        judged.before,
        _mean([one.expected for one in some], weights) if some else newest.foreseen,
        _mean([one.loss for one in some], weights),
        _mean([one.bias for one in some], weights),
        newest.answered,
        newest.labelled,
        usual_share(record.blocks[:-1]),
        max(record.excess.log_e, record.apart.log_e),
        max(0.0, max(record.above.log_e, record.below.log_e) - math.log(2)),
        some[0].start if some else newest.start,
        newest.end,
        newest.loss,
        calibration_error([one.reliability for one in some]),
        slice_losses([one.slices for one in some]),
    )


def promised(name: str, record: Record, judged: Judged) -> Finding | None:
    """The quality foreseen without labels, as a finding; None before the first block."""
    known = [one for one in record.blocks if math.isfinite(one.foreseen)]
    if not known:
        return None
    newest, way = known[-1], "dle" if judged.held.tables else "cbpe"
    past = _mean([one.foreseen for one in known[:-1]][-KEPT:] or [judged.before])
    more = newest.foreseen - past
    told = f"{judged.metric} foreseen {newest.foreseen:.4g}, {past:.4g} before"
    course = record.foreseen
    return Finding(
        f"{name}: foreseen {judged.metric}", way, newest.foreseen, more / (2 * _tolerated(judged)), course.log_e,
        course.began, "error", name, newest.answered, told=told,
    )  # fmt: skip


def late(before: Sequence[Block], now: Block) -> bool:
    """Whether so few labels came that they are a selection."""
    usual = usual_share(before)
    return not math.isnan(usual) and now.labelled < usual * now.answered / 2


def usual_share(blocks: Sequence[Block]) -> float:
    """The share of answers that got a label, in the middle of all blocks; NaN before there were a few."""
    shares = [one.labelled / one.answered for one in blocks if one.answered]
    return float(np.median(shares)) if len(shares) >= SETTLED else math.nan


def _tolerated(judged: Judged) -> float:
    return max(LEAST_EXCESS, PART * judged.before)


def _expected(judged: Judged, outputs: Floats, codes: Mapping[str, NDArray[np.int64]]) -> tuple[Floats, Floats, float]:
    """By row: the loss that is expected, and what a label is expected to be; and the unit of a bias."""
    held = judged.held
    if not held.calibrations:
        rows = len(outputs)
        each = expected_loss(held.tables, codes, rows) if held.tables else np.full(rows, judged.before)
        return each, outputs[:, 0], math.sqrt(judged.before) or 1.0
    chances = calibrated(outputs, held.calibrations)
    each = np.zeros(len(outputs))
    for label in range(outputs.shape[1]):
        each += chances[:, label] * losses(judged, outputs, np.full(len(outputs), float(label)))
    place = np.full(len(outputs), 1) if outputs.shape[1] == 2 else outputs.argmax(axis=1)  # noqa: PLR2004 -- labels
    return each, chances[np.arange(len(outputs)), place], 1.0


def _chance(outputs: Floats) -> Floats:
    """What a label was said to come with: the second of two, or the one that was said."""
    chance: Floats = outputs[:, 1] if outputs.shape[1] == 2 else outputs.max(axis=1)  # noqa: PLR2004 -- labels
    return np.clip(chance, 0.0, 1.0)


def _truth(judged: Judged, outputs: Floats, happened: Floats) -> Floats:
    """What a bias is the mean of: values, or whether the label was the second one, or the one that was said."""
    if not judged.labels:
        return happened
    if len(judged.labels) == 2:  # noqa: PLR2004 -- labels
        return happened
    return np.asarray(happened == outputs.argmax(axis=1), np.float64)


def _happened(judged: Judged, labels: Sequence[Any]) -> Floats:
    """Labels as indexes, or values; NaN where there is none that fits."""
    if judged.labels:
        places = {label: float(index) for index, label in enumerate(judged.labels)}
        found = [math.nan if isinstance(one, (list, dict)) else places.get(one, math.nan) for one in labels]
    else:
        found = [float(one) if isinstance(one, (int, float)) else math.nan for one in labels]
    return np.array(found, np.float64)


def _mean(values: Sequence[float], weights: Sequence[float] | None = None) -> float:
    known = weights if weights is not None else [1.0] * len(values)
    total = math.fsum(known)
    return math.fsum(v * w for v, w in zip(values, known, strict=True)) / total if total else math.nan
