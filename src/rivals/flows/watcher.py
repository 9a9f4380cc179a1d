"""What an autopilot looks at while its stream goes by: the season of the inputs, and the champion's bias on labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rivals.decide.attribution import attribute
from rivals.flows.virtual import Stream
from rivals.observe.bias import LEAST, Bias, on_labels, quality
from rivals.observe.outcomes import Metric
from rivals.observe.season import PARTS, moved
from rivals.values import Cause, Finding

Floats = NDArray[np.float64]
SEASON, WEEK = 28, 7  # blocks whose inputs are compared with what was learned from, and between two such looks


@dataclass
class Watcher:
    """Looks at every block whose labels have had the time to come. ``learned``: inputs of the last training."""

    stream: Stream
    learned: pd.DataFrame
    block: float
    delay: float
    metric: Metric
    bias: Bias | None = None
    findings: list[Finding] = field(default_factory=list)
    blocks: int = 0

    def __post_init__(self) -> None:
        self.first = self.next = float(self.stream.time[0])

    def look(self, now: float, champion: str, said: Floats) -> Cause:
        """What explains all that is known by ``now``; ``said`` (rows, k) is what the champion of the moment said."""
        if self.bias is None or self.bias.variant != champion:
            self.bias = Bias(champion, self.metric, now)
            self.first = self.next
        while self.next + self.block + self.delay <= now:
            self._labels(said)
            self.next += self.block
            self.blocks += 1
            if self.blocks % WEEK == 0:
                self.findings = self._season(self.next)
        return attribute(self.findings, [quality(self.bias)])

    def learn(self, learned: pd.DataFrame) -> None:
        """A training learned from these rows."""
        self.findings, self.learned = [], learned[list(self.learned.columns)]

    def _labels(self, said: Floats) -> None:
        """Take in the block that ended, or wait for the next one where it has few labels."""
        end = self.next + self.block
        first, last = np.searchsorted(self.stream.time, [self.first, end], side="left")
        rows = np.arange(first, last)
        rows = rows[(self.stream.due[rows] <= end + self.delay) & np.isfinite(said[rows]).all(axis=1)]
        if len(rows) >= LEAST and self.bias is not None:
            self.bias = on_labels(self.bias, self.stream.target[rows], said[rows], end)
            self.first = end

    def _season(self, end: float) -> list[Finding]:
        start = end - SEASON * self.block
        if start < self.stream.time[0]:
            return []
        edges = np.searchsorted(self.stream.time, np.linspace(start, end, PARTS + 1), side="left").tolist()
        some = self.stream.frame[list(self.learned.columns)]
        return moved(_table(self.learned), [_table(some.iloc[first:last]) for first, last in pairwise(edges)], start)


def _table(frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
    return {str(name): frame[name].to_numpy() for name in frame.columns}
