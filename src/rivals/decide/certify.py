"""A whole rollout in virtual time, through the real decision code: months of traffic in a second or two.

Only the traffic is simulated: who is routed where, which questions fail, when labels come. Evidence, judges and the
rollout's machine are those that decide in production. Pure: the measure of evidence and the random numbers come in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from rivals.decide.analysis import analyse
from rivals.decide.rollout import advance
from rivals.protocols import Judge
from rivals.values import Evidence, Exposure, Outcome, Pair, Rollout

S = TypeVar("S")  # the state of the evidence
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Block = tuple[float, Sequence[Pair]]

_OK, _ERROR = Outcome.OK, Outcome.ERROR
TICK = 3_600.0  # seconds of virtual time between two looks


@dataclass(frozen=True, slots=True)
class Traffic:
    """Rows in time order, with what either rival would answer and whether it would fail; binary labels.

    All of shape (rows,). ``label`` is NaN where it never comes, ``due`` when it comes; probabilities are of label 1.
    """

    time: Floats
    label: Floats
    due: Floats
    champion: Floats
    challenger: Floats
    champion_failed: Mask
    challenger_failed: Mask
    slices: Sequence[tuple[str, ...]] = ()  # by row; none where none are declared


@dataclass(frozen=True, slots=True)
class Measure(Generic[S]):
    """How evidence is gathered: functions of the room that observes, which this room does not know."""

    begin: Callable[[Rollout], S]
    due: Callable[[S, float], Sequence[float]]
    advance: Callable[[S, Sequence[Exposure], Sequence[Block], float], S]
    evidence: Callable[[S, Rollout, float], Evidence]
    block: float  # seconds


@dataclass(frozen=True, slots=True)
class Course:
    """How a simulated rollout went. ``answered``: clients' requests that the challenger answered, or failed to."""

    rollout: Rollout
    days: float
    max_share: float
    answered: int
    failed: int
    extra_loss: float  # summed Brier score of its answers to clients, above what the champion's would have had
    rows: NDArray[np.intp] = field(default_factory=lambda: np.arange(0), compare=False)  # those requests


def certify(
    traffic: Traffic,
    rollout: Rollout,
    measure: Measure[S],
    judges: Sequence[Judge],
    rng: np.random.Generator,
    *,
    tick: float = TICK,
) -> Course:
    """Run ``rollout`` until it ends or the traffic does, with a look every ``tick`` seconds.

    ``rng`` draws each row's place among the 10,000 slots.
    """
    place = rng.random(len(traffic.time))
    state, now, max_share = measure.begin(rollout), rollout.started, 0.0
    live: list[NDArray[np.intp]] = []
    first = int(np.searchsorted(traffic.time, now, side="left"))
    while first < len(traffic.time) and not rollout.phase.final:
        now += tick
        last = int(np.searchsorted(traffic.time, now, side="right"))
        rows = np.arange(first, last)
        chosen = place[first:last] < rollout.share
        live.append(rows[chosen])
        blocks = [(start, _pairs(traffic, start, start + measure.block, now)) for start in measure.due(state, now)]
        state = measure.advance(state, _exposures(traffic, rows, chosen, rollout), blocks, now)
        rollout, _ = advance(rollout, analyse(measure.evidence(state, rollout, now), judges), now)
        max_share, first = max(max_share, rollout.share), last
    asked = np.concatenate(live) if live else np.arange(0)
    better = (traffic.champion[asked] - traffic.label[asked]) ** 2
    extra = float(np.nansum((traffic.challenger[asked] - traffic.label[asked]) ** 2 - better))
    days = (now - rollout.started) / 86_400
    return Course(rollout, days, max_share, len(asked), int(traffic.challenger_failed[asked].sum()), extra, asked)


def _exposures(traffic: Traffic, rows: NDArray[np.intp], chosen: Mask, rollout: Rollout) -> list[Exposure]:
    """Every row is asked of both: one answers the client, the other one is its shadow."""
    champion, challenger, endpoint = rollout.champion.variant, rollout.challenger.variant, rollout.endpoint
    share, shadow = rollout.share, dict[str, float]()
    propensity = {champion: 1 - share, challenger: share} if share else {champion: 1.0}
    columns = (traffic.time[rows], chosen, traffic.champion_failed[rows], traffic.challenger_failed[rows])
    found = []
    for row, when, theirs, failed, their_failed in zip(rows.tolist(), *(one.tolist() for one in columns), strict=True):
        unit = str(row)
        name = unit + "/0"
        ours, other = (shadow, propensity) if theirs else (propensity, shadow)
        ends = (_ERROR if failed else _OK), (_ERROR if their_failed else _OK)
        found.append(Exposure(name, champion, theirs, endpoint, 0, when, unit, ours, ends[0]))
        found.append(Exposure(name, challenger, not theirs, endpoint, 0, when, unit, other, ends[1]))
    return found


def _pairs(traffic: Traffic, start: float, end: float, now: float) -> list[Pair]:
    """The rows of a block that both answered, with the labels that have come by now."""
    first, last = np.searchsorted(traffic.time, [start, end], side="left")
    rows = np.arange(first, last)
    rows = rows[~(traffic.champion_failed[rows] | traffic.challenger_failed[rows])]
    known = (traffic.due[rows] <= now) & ~np.isnan(traffic.label[rows])
    cut = len(traffic.slices) > 0
    columns = (rows, traffic.time[rows], traffic.champion[rows], traffic.challenger[rows], traffic.label[rows], known)
    return [
        Pair(f"{row}/0", when, (1 - p, p), (1 - q, q), int(label) if has else None, traffic.slices[row] if cut else ())
        for row, when, p, q, label, has in zip(*(column.tolist() for column in columns), strict=True)
    ]
