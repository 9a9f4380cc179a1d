"""What a binary classifier's probabilities are worth: calibration, the ROC and precision-recall curves, thresholds.

``target`` is 0 or 1, ``chance`` the probability of 1. Weights are optional everywhere.
Niculescu-Mizil & Caruana, Predicting good probabilities, ICML 2005: reliability. Wilson, JASA 22 (1927): its intervals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rivals.statistics.losses import Floats, Weight

_Z = 1.959964  # two-sided 95 %


@dataclass(frozen=True, slots=True)
class Reliability:
    """Rows by what was said: in each bin the mean probability, the share of 1 with its 95 % interval, and the rows.

    ``error`` is the mean distance of the two, weighted by rows (expected calibration error).
    """

    said: Floats
    happened: Floats
    low: Floats
    high: Floats
    rows: NDArray[np.int64]
    error: float


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve from left to right."""

    x: Floats
    y: Floats


def reliability(target: NDArray[Any], chance: Floats, weight: Weight = None, bins: int = 10) -> Reliability:
    """Calibration in bins that hold equally many rows; ties stay together."""
    each = np.ones(len(chance)) if weight is None else weight
    edges = np.unique(np.quantile(chance, np.linspace(0, 1, bins + 1)[1:-1]))
    place = np.searchsorted(edges, chance, "right")
    rows = np.bincount(place, minlength=len(edges) + 1)
    mass = np.bincount(place, each, len(rows))
    full = mass > 0
    said = np.bincount(place, each * chance, len(rows))[full] / mass[full]
    happened = np.bincount(place, each * target, len(rows))[full] / mass[full]
    count = rows[full]
    middle = (happened + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    reach = _Z / (1 + _Z**2 / count) * np.sqrt(happened * (1 - happened) / count + _Z**2 / (4 * count**2))
    error = float(np.average(np.abs(said - happened), weights=mass[full]))
    return Reliability(said, happened, middle - reach, middle + reach, count, error)


def roc(target: NDArray[Any], chance: Floats, weight: Weight = None) -> Curve:
    """Share of 1 found (y) by share of 0 alarmed (x)."""
    _, hits, alarms = _cumulated(target, chance, weight)
    return Curve(np.append(0.0, alarms / alarms[-1]), np.append(0.0, hits / hits[-1]))


def precision_recall(target: NDArray[Any], chance: Floats, weight: Weight = None) -> Curve:
    """Precision (y) by the share of 1 found (x)."""
    _, hits, alarms = _cumulated(target, chance, weight)
    return Curve(hits / hits[-1], hits / (hits + alarms))


def thresholds(chance: Floats, most: int = 99) -> Floats:
    """Where to cut: between 0 and 1, at most ``most`` of them, at quantiles of what was said."""
    return np.unique(np.quantile(chance, np.linspace(0, 1, most + 2)[1:-1]))


def cut(outputs: Floats, threshold: float | Floats) -> Floats:
    """Probabilities (rows, 2) as plain decisions: 1 is said from ``threshold`` up."""
    said = (outputs[:, 1] >= threshold).astype(np.float64)
    return np.column_stack([1 - said, said])


def _cumulated(target: NDArray[Any], chance: Floats, weight: Weight) -> tuple[Floats, Floats, Floats]:
    each = np.ones(len(chance)) if weight is None else weight
    order = np.argsort(-chance, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(chance[order])), len(order) - 1)
    hits = np.cumsum((each * (target == 1))[order])[ends]
    alarms = np.cumsum((each * (target != 1))[order])[ends]
    return chance[order][ends], hits, alarms
