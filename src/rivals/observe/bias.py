"""Would the champion be better with its bias taken off? The simplest sign that it learned from another world. Pure.

A copy of the champion is corrected by what came of its own answers over the last ``BLOCKS`` blocks: each label's
probability is multiplied by how often that label came over how often it was said (Saerens, Latinne & Decaestecker,
Neural Computation 14, 2002); a value is moved by the mean residual. Champion and copy are compared on the same rows of
the next block, one bet per block (``BlockBets``), so days that go well or badly for both prove nothing. Where the
world is as it was there is nothing to correct, and the copy, which learns from fewer rows, wins nothing either.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from rivals.observe.outcomes import LOSSES
from rivals.statistics.eprocess import BlockBets, on_block
from rivals.values import Quality

Floats = NDArray[np.float64]

BLOCKS = 28  # that a correction is learned from
LEAST = 30  # labelled rows of a block, below which it is passed over
PRIOR = 50.0  # rows, as if so many had been as the champion says


@dataclass(frozen=True, slots=True)
class Bias:
    """What is remembered of one variant since it became champion. ``seen``: per block (rows, came, said)."""

    variant: str
    metric: str
    start: float
    bets: BlockBets = field(default_factory=BlockBets)
    seen: tuple[tuple[int, tuple[float, ...], tuple[float, ...]], ...] = ()
    loss: float = 0.0
    rows: int = 0
    end: float = 0.0


def on_labels(bias: Bias, target: Floats, outputs: Floats, end: float) -> Bias:
    """Take in a block whose labels have come: indexes of labels or values (n,), and answers (n, k) or (n, 1)."""
    if len(target) < LEAST:
        return bias
    loss = LOSSES[bias.metric]
    own = loss(target, outputs, math.inf)
    bets = bias.bets
    if bias.seen:
        copy = loss(target, corrected(bias, outputs), math.inf)
        bets = on_block(bets, float(np.mean(copy - own)), 0.0)
    came, said = _sums(target, outputs)
    seen = (*bias.seen, (len(target), came, said))[-BLOCKS:]
    return replace(bias, bets=bets, seen=seen, loss=bias.loss + float(own.sum()), rows=bias.rows + len(target), end=end)


def corrected(bias: Bias, outputs: Floats) -> Floats:
    """The answers with the bias of the last blocks taken off."""
    rows = sum(one[0] for one in bias.seen)
    came = np.sum([one[1] for one in bias.seen], axis=0)
    said = np.sum([one[2] for one in bias.seen], axis=0)
    if outputs.shape[1] == 1:
        moved: Floats = outputs + (came - said) / (rows + PRIOR)
        return moved
    share = said / rows
    weighted = outputs * (came + PRIOR * share) / (said + PRIOR * share)
    scaled: Floats = weighted / weighted.sum(axis=1, keepdims=True)
    return scaled


def quality(bias: Bias) -> Quality:
    """As attribution reads it: ``log_biased`` is the proof that the correction helps."""
    now = bias.loss / bias.rows if bias.rows else math.nan
    gain = bias.bets.mean if bias.bets.blocks else 0.0
    return Quality(
        bias.variant, bias.metric, before=math.nan, expected=now + gain, now=now, bias=_off(bias), answered=bias.rows,
        labelled=bias.rows, log_biased=bias.bets.better.highest, start=bias.start, end=bias.end,
    )  # fmt: skip


def _sums(target: Floats, outputs: Floats) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if outputs.shape[1] == 1:
        return (float(target.sum()),), (float(outputs.sum()),)
    came = np.bincount(target.astype(np.int64), minlength=outputs.shape[1]).astype(float)
    return tuple(came.tolist()), tuple(outputs.sum(axis=0).tolist())


def _off(bias: Bias) -> float:
    """Mean of label minus answer, of the last label or the value, over the last blocks."""
    rows = sum(one[0] for one in bias.seen)
    return math.fsum(one[1][-1] - one[2][-1] for one in bias.seen) / rows if rows else math.nan
