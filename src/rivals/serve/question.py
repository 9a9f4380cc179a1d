"""One request put to one variant, and how variants are asked: together."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rivals.errors import BundleError, RequestError
from rivals.protocols import Policy, Predictor
from rivals.serve.entries import Closed, Opened
from rivals.serve.inputs import Inputs
from rivals.values import SLOTS, Answer, Arm, Columns, Outcome, Request, RoutingTable, Signature

Done = Callable[[Answer | RequestError], None]


@dataclass(frozen=True, slots=True)
class Serving:
    """A routing table with everything that it needs to answer, loaded."""

    table: RoutingTable
    predictors: Mapping[str, Predictor]  # by variant
    policy: Policy
    inputs: Inputs
    alone: RoutingTable = field(init=False)  # the champion without rivals
    leased: bool = field(init=False)  # whether anybody but the champion may be asked

    def __post_init__(self) -> None:
        object.__setattr__(self, "alone", alone(self.table))
        others = self.table.shadows or self.table.holdout
        object.__setattr__(self, "leased", len(self.table.arms) > 1 or bool(others))

    @property
    def signature(self) -> Signature:
        """What the endpoint takes and gives: the champion's."""
        return self.predictors[self.table.champion].signature


def digests(table: RoutingTable) -> dict[str, str]:
    """Who may be asked under a table, arms first, and the bundle of each."""
    arms = {arm.variant: arm.digest for arm in table.arms}
    shadows = {shadow.variant: shadow.digest for shadow in table.shadows}
    return {**arms, **shadows, **({table.holdout.variant: table.holdout.digest} if table.holdout else {})}


def alone(table: RoutingTable) -> RoutingTable:
    """The same table with its champion only: nobody is kept apart where nobody is rolled out."""
    champion = next(arm for arm in table.arms if arm.variant == table.champion)
    return replace(
        table, arms=(Arm(champion.variant, champion.digest, 1.0),), slots=bytes(SLOTS), shadows=(), holdout=None
    )


@dataclass(slots=True, eq=False)
class Question:
    """One request put to one variant; ``outcome`` and what follows are filled in when it was asked."""

    request: Request
    variant: str
    serving: Serving
    table: RoutingTable
    propensity: Mapping[str, float]
    arrived: float = 0.0  # time.monotonic()
    done: Done | None = None  # None: a shadow, for which nobody waits
    degraded: bool = False
    outcome: Outcome = Outcome.OPEN
    latency_us: int = 0
    outputs: Sequence[Sequence[float]] = ()
    reason: str = ""  # why it failed

    @property
    def late(self) -> bool:
        """Whether the client's deadline has passed."""
        limit = self.request.deadline_ms if self.done else 0.0
        return bool(limit) and (time.monotonic() - self.arrived) * 1e3 > limit

    def opened(self) -> Opened:
        """For the journal."""
        request, revision = self.request, self.table.revision
        shadow, rows = self.done is None, request.columns.rows
        name, unit, slices = request.id, request.unit, self.serving.inputs.slices_of(request.columns)
        return Opened(name, rows, self.variant, shadow, revision, request.time, unit, self.propensity, slices=slices)

    def closed(self) -> Closed:
        """For the journal."""
        outputs = self.outputs if self.outcome is Outcome.OK else ()
        rows = self.request.columns.rows
        return Closed(self.request.id, rows, self.variant, self.outcome, self.latency_us, outputs)


def ask(questions: Sequence[Question]) -> None:
    """Ask each variant once for all of its rows; every question then has its outcome."""
    groups: dict[int, list[Question]] = {}
    for one in questions:
        groups.setdefault(id(one.serving.predictors[one.variant]), []).append(one)
    for group in groups.values():
        _ask_together(group)


def stand_in(failed: Question) -> Question:
    """The champion, asked instead. It was not drawn for this request, so it has no propensity."""
    table, request = failed.table, failed.request
    return Question(request, table.champion, failed.serving, table, {}, failed.arrived, failed.done, degraded=True)


def _ask_together(group: list[Question]) -> None:
    predictor = group[0].serving.predictors[group[0].variant]
    started = time.perf_counter()
    try:
        values = _answers(predictor, _together(group, predictor))
    except Exception as error:  # noqa: BLE001 -- whatever a model raises is its failure, not ours
        if len(group) > 1:  # ask again one by one, so that one bad row is one failure
            for one in group:
                _ask_together([one])
            return
        group[0].outcome, group[0].reason = Outcome.ERROR, f"{type(error).__name__}: {error}"
        group[0].latency_us = _microseconds(started)
        return
    latency, row = _microseconds(started), 0
    for one in group:
        rows = one.request.columns.rows
        one.outputs, one.latency_us = values[row : row + rows], latency
        one.outcome = Outcome.DEADLINE if one.late else Outcome.OK
        row += rows


def _together(group: list[Question], predictor: Predictor) -> Columns:
    """All rows of a group, in the columns that its variant takes."""
    if len(group) == 1:
        return group[0].request.columns
    parts = [one.request.columns for one in group]
    names = [column.name for column in predictor.signature.inputs]
    values = {name: [value for part in parts for value in part.values[name]] for name in names}
    return Columns(values, sum(part.rows for part in parts))


def _answers(predictor: Predictor, columns: Columns) -> list[list[float]]:
    output = predictor.predict(columns)
    wanted = (columns.rows, len(predictor.signature.labels) or 1)
    if output.shape != wanted or not math.isfinite(np.sum(output)):
        raise BundleError(f"The answer has shape {output.shape}, not {wanted}, or numbers that are not finite.")
    values: list[list[float]] = output.tolist()
    return values


def _microseconds(started: float) -> int:
    return round((time.perf_counter() - started) * 1e6)
