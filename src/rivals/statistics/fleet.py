"""Failure-arm evidence of many rollouts at once: what certificates are computed with.

The same bets as ``eprocess.on_failure``, one row a rollout and one column a failure, in the order they came. Sums are
taken in the same order, so that the figures are those of the scalar form up to the last bits of ``exp`` and ``log``
(``tests/statistics/test_fleet.py``: within 1e-9 on 1,000 random logs).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rivals.statistics.eprocess import STAKES

Floats = NDArray[np.float64]
AT_ONCE = 2_000_000  # failures bet on in one go


@dataclass(frozen=True, slots=True)
class Fleet:
    """Highest logarithm of the wealth so far, (rollouts, failures), after each failure."""

    harm: Floats
    noninferior: Floats


def fleet(challenger: NDArray[np.bool_], share: Floats, margin: float, count: NDArray[np.int64] | None = None) -> Fleet:
    """Evidence after each failure. ``challenger``: whether it was its, (rollouts, failures); ``share``: its share then.

    ``count``: how many failures of each row there were; what stands behind them is padding and changes nothing.
    """
    rows = max(1, AT_ONCE // max(1, challenger.shape[1]))
    parts = [
        _part(
            challenger[at : at + rows],
            np.broadcast_to(share, challenger.shape)[at : at + rows],
            margin,
            None if count is None else count[at : at + rows],
        )
        for at in range(0, len(challenger), rows)
    ]
    return Fleet(np.concatenate([one.harm for one in parts]), np.concatenate([one.noninferior for one in parts]))


def _part(challenger: NDArray[np.bool_], share: Floats, margin: float, count: NDArray[np.int64] | None) -> Fleet:
    likely = share * (1 + margin) / (share * (1 + margin) + 1 - share)
    there = np.ones(challenger.shape, bool)
    if count is not None:
        there = np.arange(challenger.shape[1]) < count[:, None]
    harm = _highest(np.where(challenger, (1 - share) / share, -1.0), there)
    return Fleet(harm, _highest(np.where(challenger, -1.0, likely / (1 - likely)), there))


def _highest(gain: Floats, there: NDArray[np.bool_]) -> Floats:
    """From what a stake of one wins or loses at each failure to the highest mean wealth so far; every start is 1."""
    now = np.full(gain.shape, -np.inf)
    for stake in STAKES:
        np.logaddexp(now, np.cumsum(np.where(there, np.log1p(stake * gain), 0.0), axis=1), out=now)
    return np.maximum.accumulate(np.maximum(now - np.log(len(STAKES)), 0.0), axis=1)


def first(highest: Floats, threshold: float) -> NDArray[np.int64]:
    """Index of the failure at which a threshold was first met, by row; the number of columns where it never was."""
    met = highest >= threshold
    at: NDArray[np.int64] = np.where(met.any(axis=1), met.argmax(axis=1), highest.shape[1])
    return at
