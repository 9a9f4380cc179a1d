"""E-detectors: has a rate or a mean risen above a limit, watched without end, with a stated rate of false alarms.

An e-process starts once and bets against a null for ever; a change may come at any time, so an e-detector adds up
e-processes that start at every moment: ``M_t = (M_{t-1} + 1) L_t``, which is Shiryaev's and Roberts' statistic. While
values in [0, 1] have means of at most ``limit`` given their past, the expectation of M is at most the number of values
seen when one stops; so an alarm at ``M >= a`` comes on average after ``a`` values or more, whatever their distribution.
``L`` is the wealth of one bet, 1 + stake (x - limit); the money is split over five stakes.

Shin, Ramdas & Rinaldo, "E-detectors: a nonparametric framework for sequential change detection", New England J. of
Statistics in Data Science 2024, arXiv:2203.03532.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rivals.errors import DataError
from rivals.statistics.losses import Floats

ODDS = (1.25, 1.5, 2.0, 4.0, 8.0)  # how far above the limit a mean may be, as a ratio of odds
AT_ONCE = 1_024  # rows
LONGEST = 20.0  # logarithm that is carried into the next window: a change that has ended is forgotten


@dataclass(frozen=True, slots=True)
class EDetector:
    """What an e-detector remembers: the logarithm of M by stream and stake, and when the last rise began."""

    logs: tuple[float, ...] = ()
    rise: float = 0.0  # of the log wealth since its lowest point
    began: float | None = None  # when that was


def stakes(limit: Floats) -> Floats:
    """The stakes on means above each limit: (streams, 5). Raises ``DataError`` for a limit outside (0, 1)."""
    at = np.asarray(limit, np.float64).reshape(-1, 1)
    if not ((at > 0) & (at < 1)).all():
        raise DataError("An e-detector watches means of values in [0, 1]: its limit lies between 0 and 1.")
    odds = at / (1 - at) * np.array(ODDS)
    above = odds / (1 + odds)
    return np.asarray((above - at) / (at * (1 - at)))


def gains(values: Floats, limit: Floats, block: int = 1) -> Floats:
    """Logarithms that values (rows, streams) in [0, 1] add to each bet, by block of rows: (blocks, streams, 5)."""
    bet, at = stakes(limit), np.asarray(limit, np.float64)
    each = np.log1p((values - at)[:, :, None] * bet[None])
    return each if block == 1 else np.add.reduceat(each, np.arange(0, len(each), block), axis=0)


def counted(codes: NDArray[np.int64], limit: Floats, block: int) -> Floats:
    """The same for the shares of levels: ``codes`` (rows,) number a level each, or -1 for none of those watched."""
    bet, at = stakes(limit), np.asarray(limit, np.float64)[:, None]
    blocks, levels = -(-len(codes) // block), len(at)
    place = np.arange(len(codes)) // block * (levels + 1) + codes + 1
    counts = np.bincount(place, minlength=blocks * (levels + 1)).reshape(blocks, levels + 1)
    hits, rows = counts[:, 1:, None], counts.sum(axis=1)[:, None, None]
    return np.asarray(hits * np.log1p(bet * (1 - at)) + (rows - hits) * np.log1p(-bet * at))


def advance(state: EDetector, added: Floats, times: Floats) -> tuple[EDetector, Floats]:
    """Take in ``gains`` (blocks, streams, 5) that ended at ``times``; returns log M after each block, over all bets."""
    blocks, bets = len(added), added[0].size if len(added) else 0
    if not blocks:
        return state, np.empty(0)
    logs = np.array(state.logs) if len(state.logs) == bets else np.full(bets, -np.inf)
    sums = added.reshape(blocks, bets).cumsum(axis=0)
    starts = np.vstack([np.logaddexp(logs, 0.0), -sums[:-1]])  # M_0, and one more e-process before every block
    each = sums + np.logaddexp.accumulate(starts, axis=0)
    top = each.max(axis=1)
    whole = top + np.log(np.exp(each - top[:, None]).mean(axis=1))
    best = int(each[int(whole.argmax())].argmax())  # the bet that has seen most tells when it began
    path = state.rise + sums[:, best]
    floor = np.minimum(np.minimum.accumulate(path), 0.0)  # a rise is counted from its lowest point
    peak = int((path - floor).argmax())
    lowest = np.flatnonzero(path[: peak + 1] <= floor[peak])
    began = state.began
    if len(lowest):
        began = float(times[min(int(lowest[-1]) + 1, blocks - 1)])
    elif began is None:
        began = float(times[0])
    ended = float(path[-1] - floor[-1])
    kept = tuple(float(log) for log in np.minimum(each[-1], LONGEST))
    return EDetector(kept, min(ended, LONGEST), began if ended > 0 else None), whole


def alarms(values: Floats, limit: float, arl: float) -> list[int]:
    """Where a detector that starts anew after each alarm goes off: places in ``values`` (rows,). ``arl``: in rows."""
    added = gains(np.asarray(values, np.float64).reshape(-1, 1), np.array([limit]))
    found, state, at = list[int](), EDetector(), 0
    while at < len(added):
        some = added[at : at + AT_ONCE]
        after, whole = advance(state, some, np.zeros(len(some)))
        over = np.flatnonzero(whole >= math.log(arl))
        state, at = (EDetector(), at + int(over[0]) + 1) if len(over) else (after, at + len(some))
        found += [at - 1] if len(over) else []
    return found
