"""Summaries of a column that can be merged: quantiles of numbers, the frequent texts, and what is missing.

Whoever sees a part of the rows keeps a sketch of them; sketches of parts add up to that of the whole, in any order. All
are frozen, readable as JSON, and draw no random numbers: the same rows in the same order give the same sketch.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rivals.statistics.losses import Floats

SIZE = 256  # numbers of one weight; ranks are then wrong by about 1 %
FREQUENT = 256  # texts that are counted


@dataclass(frozen=True, slots=True)
class Numbers:
    """Quantiles of a stream of numbers: ``levels[i]`` holds numbers that stand for 2^i each.

    A full level is sorted, and every second number goes up: the odd ones and the even ones in turn.
    Karnin, Lang & Liberty, "Optimal quantile approximation in streams", FOCS 2016, arXiv:1603.05346.
    """

    rows: int = 0
    nulls: int = 0
    low: float = math.inf
    high: float = -math.inf
    levels: tuple[tuple[float, ...], ...] = ()
    turns: int = 0  # how often a level was halved; odd ones go up in every second turn

    def quantiles(self, shares: Sequence[float]) -> Floats:
        """The values below which so large a share of the numbers lies; NaN where there are none."""
        values, weights = self._weighed()
        if not len(values):
            return np.full(len(shares), math.nan)
        place = (np.cumsum(weights) - weights / 2) / weights.sum()
        return np.clip(np.interp(shares, place, values), self.low, self.high)

    def counts(self, edges: Floats) -> Floats:
        """How many numbers are at most the first edge, above it and at most the second, ..., above the last."""
        values, weights = self._weighed()
        counted = np.bincount(np.searchsorted(edges, values, "left"), weights, minlength=len(edges) + 1)
        known = self.rows - self.nulls
        return np.asarray(counted * (known / counted.sum() if known else 0.0))

    def _weighed(self) -> tuple[Floats, Floats]:
        values = np.concatenate([np.empty(0), *(np.array(level) for level in self.levels)])
        weights = np.concatenate([np.empty(0), *(np.full(len(one), 2.0**i) for i, one in enumerate(self.levels))])
        order = np.argsort(values, kind="stable")
        return values[order], weights[order]


def of_numbers(values: Floats, size: int = SIZE) -> Numbers:
    """A sketch of numbers (rows,); NaN is a gap."""
    known = values[~np.isnan(values)]
    if not len(known):
        return Numbers(len(values), len(values))
    ends = float(known.min()), float(known.max())
    levels, turns = _fitted([known], 0, size)
    return Numbers(len(values), len(values) - len(known), *ends, levels, turns)


def merge_numbers(one: Numbers, other: Numbers, size: int = SIZE) -> Numbers:
    """The sketch of both streams."""
    deep = max(len(one.levels), len(other.levels))
    both = [np.array(_level(one, i) + _level(other, i)) for i in range(deep)]
    levels, turns = _fitted(both, one.turns + other.turns, size)
    return Numbers(
        one.rows + other.rows,
        one.nulls + other.nulls,
        min(one.low, other.low),
        max(one.high, other.high),
        levels,
        turns,
    )


def _level(sketch: Numbers, index: int) -> tuple[float, ...]:
    return sketch.levels[index] if index < len(sketch.levels) else ()


def _fitted(levels: list[Floats], turns: int, size: int) -> tuple[tuple[tuple[float, ...], ...], int]:
    """Halve what is too full, from below."""
    index = 0
    while index < len(levels):
        if len(levels[index]) > size:
            ordered = np.sort(levels[index])
            odd = len(ordered) % 2  # the largest stays where it is
            paired = ordered[: len(ordered) - odd]
            if index + 1 == len(levels):
                levels.append(np.empty(0))
            levels[index + 1] = np.concatenate([levels[index + 1], paired[turns % 2 :: 2]])
            levels[index] = ordered[len(ordered) - odd :]
            turns += 1
        index += 1
    return tuple(tuple(level.tolist()) for level in levels), turns


@dataclass(frozen=True, slots=True)
class Texts:
    """The frequent texts of a stream; each count may be too low by ``lost``, and by no more.

    Misra & Gries, "Finding repeated elements", 1982; merged as in Agarwal et al., "Mergeable summaries", PODS 2012.
    """

    rows: int = 0
    nulls: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    lost: int = 0

    @property
    def others(self) -> int:
        """Rows with a text that is not counted here, as far as is known."""
        return self.rows - self.nulls - sum(self.counts.values())


def of_texts(values: Sequence[str | None] | NDArray[np.object_], size: int = FREQUENT) -> Texts:
    """A sketch of texts (rows,); None is a gap."""
    counted = Counter(values)
    nulls = counted.pop(None, 0)
    return _frequent(len(values), nulls, counted, 0, size)


def merge_texts(one: Texts, other: Texts, size: int = FREQUENT) -> Texts:
    """The sketch of both streams."""
    counted = Counter(one.counts)
    counted.update(other.counts)
    return _frequent(one.rows + other.rows, one.nulls + other.nulls, counted, one.lost + other.lost, size)


def _frequent(rows: int, nulls: int, counted: Counter[str], lost: int, size: int) -> Texts:
    ordered = sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))
    off = ordered[size][1] if len(ordered) > size else 0
    return Texts(rows, nulls, {name: many - off for name, many in ordered[:size] if many > off}, lost + off)
