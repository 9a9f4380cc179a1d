"""Failure-arm evidence of many rollouts at once: what certificates are computed with.

The same bets as ``eprocess.on_failure`` and ``on_good``, one row a rollout and one column an event, in the order they
came: so many good units, and then a failure, or a change of the split. The figures are those of the scalar form up to
the last bits of ``exp`` and ``log`` (``tests/statistics/test_fleet.py``: within 1e-9 on 1,000 random logs).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rivals.statistics.eprocess import FINE, HARMS, believed

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
AT_ONCE = 500_000  # events bet on in one go


@dataclass(frozen=True, slots=True)
class Events:
    """What happened in each rollout, all of shape (rollouts, events).

    ``failed``: the event ended with a failure, of the ``challenger`` where that is true; what neither failed nor had
    good units is padding and changes nothing. ``good`` and ``ours``: the champion's and the challenger's good units
    before it. ``share``: the challenger's share of the pair in all of the event.
    """

    failed: Mask
    challenger: Mask
    share: Floats
    good: Ints
    ours: Ints


@dataclass(frozen=True, slots=True)
class Fleet:
    """Highest logarithm of the wealth so far, (rollouts, events), after each event."""

    harm: Floats
    noninferior: Floats


def fleet(events: Events, margin: float, *, once: bool = True) -> Fleet:
    """Evidence after each event; without ``once`` units may come again, so that only failures are bet on."""
    rows = max(1, AT_ONCE // max(1, events.failed.shape[1]))
    parts = [
        _part(
            Events(*(getattr(events, name)[at : at + rows] for name in Events.__slots__)),
            margin,
            once=once,
        )
        for at in range(0, len(events.failed), rows)
    ]
    return Fleet(np.concatenate([one.harm for one in parts]), np.concatenate([one.noninferior for one in parts]))


def _part(events: Events, margin: float, *, once: bool) -> Fleet:
    failed, challenger, share = events.failed, events.challenger, events.share
    base = _bases(events) if once else np.zeros(failed.shape)
    harm, fine = np.full(failed.shape, -np.inf), np.full(failed.shape, -np.inf)
    for odds in HARMS:
        rate = 1 - base + odds * base
        gain = _tilted(failed, challenger, share, odds / rate, 1.0)
        lift = share * (1 / rate) + 1 - share
        gain += -(events.good + events.ours) * np.log(lift) - events.ours * np.log(rate)
        np.logaddexp(harm, np.cumsum(gain, axis=1), out=harm)
    for ratio in (1 + margin / 2, 1.0, *FINE):
        gain = _tilted(failed, challenger, share, np.float64(ratio), 1 + margin)
        np.logaddexp(fine, np.cumsum(gain, axis=1), out=fine)
    return Fleet(_highest(harm), _highest(fine))


def _tilted(failed: Mask, challenger: Mask, share: Floats, ratio: Floats | np.float64, null: float) -> Floats:
    """What a failure adds to a bet, by whose it was."""
    gain = np.log((share * null + 1 - share) / (share * ratio + 1 - share)) + challenger * np.log(ratio / null)
    found: Floats = np.where(failed, gain, 0.0)
    return found


def _bases(events: Events) -> Floats:
    """The champion's failure rate as the past has it at each event: renewed whenever its settled units doubled."""
    fell = events.failed & ~events.challenger
    units, failures = np.cumsum(events.good + fell, axis=1), np.cumsum(fell, axis=1)
    length = np.frexp(units.astype(np.float64))[1]  # as int.bit_length
    renewed = np.diff(length, axis=1, prepend=0) != 0
    latest = np.maximum.accumulate(np.where(renewed, np.arange(units.shape[1]), -1), axis=1)
    found = believed(units.astype(np.float64), failures.astype(np.float64))
    after = np.where(latest < 0, 0.0, np.take_along_axis(found, np.maximum(latest, 0), axis=1))
    return np.concatenate([np.zeros((len(after), 1)), after[:, :-1]], axis=1)


def _highest(summed: Floats) -> Floats:
    """From the logarithm of the summed bets to the highest mean so far; every start is 1."""
    return np.maximum.accumulate(np.maximum(summed - np.log(len(HARMS)), 0.0), axis=1)


def first(highest: Floats, threshold: float) -> Ints:
    """Index of the event at which a threshold was first met, by row; the number of columns where it never was."""
    met = highest >= threshold
    at: Ints = np.where(met.any(axis=1), met.argmax(axis=1), highest.shape[1])
    return at
