"""Traffic in virtual time: rows as requests, with the same routing, exposures and feedback as those that are served.

What a worker does one request at a time is done here for all rows of a stretch of time: the table in force chooses,
each bundle answers its rows in one batch, and exposures and labels go into the store as a journal would bring them.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rivals import plugins
from rivals.build.rows import seconds_of
from rivals.bundles import columns_of
from rivals.errors import DataError
from rivals.flows.workspace import Workspace
from rivals.protocols import Policy, Predictor
from rivals.serve.runtimes import open_bundle
from rivals.statistics.layers import apart
from rivals.values import Columns, Exposure, Feedback, Outcome, Request, RoutingTable

Floats = NDArray[np.float64]
SOURCE = "autopilot"  # the journal's name in the store
NOBODY: Mapping[str, float] = {}


@dataclass(frozen=True, slots=True)
class Stream:
    """Rows in the order of time, and what becomes of them. ``target`` is a label's index or a value, NaN: never known.

    ``due`` is when the label comes, in seconds since the epoch; infinite where it never does.
    """

    frame: pd.DataFrame
    time: Floats
    due: Floats
    labels: Sequence[Any]
    target: Floats
    ids: Sequence[str]
    units: Sequence[str]

    def __len__(self) -> int:
        return len(self.time)


def stream_of(workspace: Workspace, frame: pd.DataFrame, labels: Sequence[Any], due: str | None = None) -> Stream:
    """Make a stream of rows. ``labels`` of a classifier; ``due``: the column that says when each label comes.

    Raises ``DataError`` where time or target is missing.
    """
    data, unit = workspace.spec.data, workspace.endpoint.unit
    if not data.time:
        raise DataError("autopilot needs the key data.time: the column that says when each row is asked.")
    for name in filter(None, (data.time, data.target, due)):
        if name not in frame.columns:
            raise DataError(
                f"The traffic has no column {name!r}.{plugins.nearest(name, list(map(str, frame.columns)))}"
            )
    order = np.argsort(seconds_of(frame[data.time], data.time), kind="stable")
    rows = frame.iloc[order].reset_index(drop=True)
    time = seconds_of(rows[data.time], data.time)
    raw = rows[data.target]
    if labels:
        places = {label: float(place) for place, label in enumerate(labels)}
        target = np.array([places.get(one, np.nan) for one in raw.tolist()], np.float64)
    else:
        target = pd.to_numeric(raw, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    known = ~np.isnan(target)
    comes = seconds_of(rows[due].fillna(0), due) if due else time + data.label_delay
    if due:
        known &= rows[due].notna().to_numpy()
    ids = [f"r{number}" for number in range(len(rows))]  # ids may come again in a stream; these do not
    named = unit != "request" and unit in rows.columns
    units = rows[unit].astype(str).tolist() if named else ids
    return Stream(rows, time, np.where(known, comes, np.inf), labels, target, ids, units)


@dataclass
class Road:
    """A stream on its way through an endpoint, a stretch of time after the other."""

    workspace: Workspace
    stream: Stream
    rng: Random
    served: Floats = field(init=False)  # (rows, k): what clients got
    champion: Floats = field(init=False)  # what the champion of the moment said of every row
    by: NDArray[np.object_] = field(init=False)  # who answered
    _opened: dict[str, Predictor] = field(default_factory=dict)
    _waiting: list[tuple[float, int]] = field(default_factory=list)
    _seq: int = 0

    def __post_init__(self) -> None:
        width = len(self.stream.labels) or 1
        self.served = np.full((len(self.stream), width), np.nan)
        self.champion = np.full((len(self.stream), width), np.nan)
        self.by = np.full(len(self.stream), "", object)

    def drive(self, first: int, last: int, now: float) -> None:
        """Answer the rows [first, last), and tell the labels that are due by ``now``."""
        table = self.workspace.table()
        opens, closes = self._answered(table, first, last) if last > first else ([], [])
        for row in range(first, last):
            if np.isfinite(self.stream.due[row]):
                heapq.heappush(self._waiting, (float(self.stream.due[row]), row))
        feedback = []
        while self._waiting and self._waiting[0][0] <= now:
            due, row = heapq.heappop(self._waiting)
            feedback.append(Feedback(f"{self.stream.ids[row]}/0", label=self.label(row), time=due))
        self._seq += 1
        self.workspace.store.ship(SOURCE, self._seq, opens, closes, feedback)

    def label(self, row: int) -> Any:
        """The label or value of a row, as a client would send it."""
        value = float(self.stream.target[row])
        return self.stream.labels[int(value)] if self.stream.labels else value

    def _answered(self, table: RoutingTable, first: int, last: int) -> tuple[list[Exposure], list[Any]]:
        digests = {one.variant: one.digest for one in table.shadows}
        digests |= {one.variant: one.digest for one in (*table.answering_by_name, *table.arms)}
        if table.holdout:
            digests.setdefault(table.holdout.variant, table.holdout.digest)
        chosen = self._chosen(table, first, last)
        asked: dict[str, list[int]] = {table.champion: list(range(first, last))}
        for row, (name, _) in zip(range(first, last), chosen, strict=True):
            for other in (name, *_paired(table, name)):
                if other != table.champion:
                    asked.setdefault(other, []).append(row)
        said = {name: dict(zip(rows, self._said(digests[name], rows), strict=True)) for name, rows in asked.items()}
        opens, closes = [], []
        for row, (name, propensity) in zip(range(first, last), chosen, strict=True):
            unit, when, key = self.stream.units[row], float(self.stream.time[row]), f"{self.stream.ids[row]}/0"
            self.served[row], self.champion[row], self.by[row] = said[name][row], said[table.champion][row], name
            for other, shadow in ((name, False), *((one, True) for one in _paired(table, name))):
                odds = NOBODY if shadow else propensity
                opens.append(Exposure(key, other, shadow, table.endpoint, table.revision, when, unit, odds))
                closes.append((key, other, Outcome.OK, 0, tuple(said[other][row].tolist())))
        return opens, closes

    def _chosen(self, table: RoutingTable, first: int, last: int) -> list[tuple[str, Mapping[str, float]]]:
        policy = plugins.make(Policy, table.policy)
        looks = sorted(getattr(policy, "columns", ()))
        chosen: list[tuple[str, Mapping[str, float]]] = []
        for row in range(first, last):
            unit = self.stream.units[row]
            if kept := apart(table, unit):
                chosen.append((kept[0], {kept[0]: 1.0}))
                continue
            values = {name: [self.stream.frame[name].iloc[row]] for name in looks if name in self.stream.frame}
            request = Request(self.stream.ids[row], Columns(values, 1), unit, float(self.stream.time[row]))
            choice = policy.choose(table, request, self.rng)
            chosen.append((choice.variant, choice.propensity))
        return chosen

    def _said(self, digest: str, rows: Sequence[int]) -> Floats:
        """What a bundle answers to these rows."""
        opened = self.opened(digest)
        return opened.predict(columns_of(self.stream.frame.iloc[list(rows)], opened.signature))

    def opened(self, digest: str) -> Predictor:
        """A bundle, ready to answer; opened once."""
        if digest not in self._opened:
            blobs = self.workspace.blobs
            self._opened[digest] = open_bundle(blobs.path(digest), blobs.path)
        return self._opened[digest]


def _paired(table: RoutingTable, answered: str) -> list[str]:
    """Who else is asked: a shadow is paired with the champion, both ways."""
    champion = table.champion
    names = {
        one.variant if answered == champion else champion
        for one in table.shadows
        if answered in {champion, one.variant}
    }
    return sorted(names - {answered})
