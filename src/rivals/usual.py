"""What is usual: inputs and answers as they were at build, which drift and quality are measured against.

``Reference`` is ``reference.json`` of a bundle, so that what a variant was like travels with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class NumberSketch:
    """A numeric column; ``quantiles`` at 0, 5, ..., 100 %.

    ``counts`` are of rows up to the first of ``edges``, above it and up to the second, ..., above the last.
    """

    rows: int
    nulls: int
    mean: float
    std: float
    quantiles: Sequence[float]
    edges: Sequence[float] = ()
    counts: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class TextSketch:
    """A text column: the most frequent values, and how many rows had another one."""

    rows: int
    nulls: int
    counts: Mapping[str, int]
    others: int


Sketch = NumberSketch | TextSketch


@dataclass(frozen=True, slots=True)
class Calibration:
    """A rising line from what is said to what happens: ``said`` and ``happened`` (knots,)."""

    said: tuple[float, ...]
    happened: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Tables:
    """A loss as a sum of tables: ``base``, and for each column what each of its cells adds."""

    base: float
    cells: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Held:
    """A variant on rows it was not fitted on. ``losses`` by metric, as they are bet on: brier, log_loss or squared.

    Classifiers have a calibration for each label, regressors ``tables`` that predict the squared error; above
    ``bound`` those are clipped.
    """

    rows: int
    losses: Mapping[str, NumberSketch]
    calibrations: tuple[Calibration, ...] = ()
    tables: Tables | None = None
    bound: float | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """``reference.json``. ``scores`` by label, or under "value"; what happened is in ``labels``, or in ``targets``."""

    numbers: Mapping[str, NumberSketch]
    texts: Mapping[str, TextSketch]
    scores: Mapping[str, NumberSketch]
    labels: TextSketch | None = None
    targets: NumberSketch | None = None
    held: Held | None = None

    @property
    def happened(self) -> NumberSketch | TextSketch | None:
        """What the label was, whatever its kind."""
        return self.labels if self.labels is not None else self.targets
