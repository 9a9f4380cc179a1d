"""Retraining: what is due is built anew, gated, and its challenger goes on its way.

Where ``autonomy`` is ``act`` the challenger's rollout begins by itself; else it is recommended, and a person starts it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pandas as pd

from rivals import plugins
from rivals.decide import triggers
from rivals.decide.judges.failures import questions_needed
from rivals.errors import RivalsError
from rivals.flows import fences, triggered
from rivals.flows.begin import clock_of, start_rollout
from rivals.flows.events import BuildEvent
from rivals.flows.exposures import Exposures
from rivals.flows.reading import anchored
from rivals.flows.sweep import Sweep, sweep
from rivals.flows.workspace import Workspace
from rivals.protocols import Source
from rivals.registry.ledger import Ledger
from rivals.spec.watching import RetrainSpec
from rivals.values import Cause, Notify, Retrain, Status, Trouble, Use

SLACK = 1.5  # of the time in which so many questions usually come
CHANGED = {"drift", "quality"}  # reasons that speak against the champion
Tell = Callable[[BuildEvent], None]


def by_hand(workspace: Workspace, by: str = "", tell: Tell = lambda _: None) -> Sweep:
    """A person asks: rows are read as ``endpoint.retrain`` says, and challengers are trained now.

    Raises ``RivalsError`` where the endpoint was never served, or there is nothing to learn from.
    """
    lower()
    workspace.table()
    now, frame = clock_of(workspace), read_rows(workspace)
    with workspace.store.transaction() as tx:
        past = triggered.past_of(workspace, tx)
        after, asked = triggers.by_hand(triggered.terms(workspace), past, now, len(frame))
        triggered.keep(tx, workspace, after)
        triggered.tell(tx, workspace, asked, now, {"by": fences.person(by)})
    return retrain(workspace, frame, asked, now, tell)


def by_schedule(workspace: Workspace, tell: Tell = lambda _: None) -> Sweep | None:
    """What cron calls: a training if a schedule or new data ask for one, and nothing holds it; else None."""
    lower()
    workspace.table()
    if workspace.endpoint.retrain is None:
        raise RivalsError("endpoint.retrain says when a training is due; `rivals retrain` alone trains now.")
    now, frame = clock_of(workspace), read_rows(workspace)
    cause = Cause(Trouble.NOTHING, "a schedule or new data")
    asked = triggered.consider(workspace, cause, now, rows=len(frame))
    return None if asked is None else retrain(workspace, frame, asked, now, tell)


def as_asked(workspace: Workspace, tell: Tell = lambda _: None) -> Sweep | None:
    """Carry out what the control process has begun; None where there is nothing. Who is killed goes on next time."""
    lower()
    asked = triggered.asked_of(workspace)
    if asked is None:
        return None
    try:
        found = retrain(workspace, read_rows(workspace), asked, clock_of(workspace), tell)
    finally:
        triggered.carried_out(workspace)
    return found


def retrain(
    workspace: Workspace, frame: pd.DataFrame, asked: Retrain, now: float, tell: Tell = lambda _: None
) -> Sweep:
    """Build, gate and, where the endpoint may act alone, roll out. Raises ``RivalsError`` where it came to nothing."""
    with workspace.store.transaction() as tx:
        past = triggered.past_of(workspace, tx)
    try:
        found = sweep(workspace, frame, asked, len(past.times) + 1, now, tell)
    except RivalsError as error:
        triggered.failed(workspace, "retrain.failed", now, {"reason": str(error)})
        raise
    # How long it took is not what was decided: two rehearsals have one ledger.
    body = {name: value for name, value in msgspec.to_builtins(found).items() if not name.endswith("seconds")}
    if not found.good:
        triggered.failed(workspace, "retrain.refused", now, body | {"reason": found.verdict.reason})
        return found
    with workspace.store.transaction() as tx:
        Ledger(workspace.store).append(tx, workspace.endpoint.name, "retrain.built", now, body)
    if workspace.endpoint.autonomy == "act":
        return _roll_out(workspace, found, now)
    told = Notify(f"{found.challenger} is ready; `rivals rollout start {found.challenger}` rolls it out")
    with workspace.store.transaction() as tx:
        triggered.tell(tx, workspace, told, now, {})
    return found


def _roll_out(workspace: Workspace, found: Sweep, now: float) -> Sweep:
    proven = found.verdict.status is Status.PASS or found.asked.why in CHANGED
    waiting = patient(workspace, now)
    try:
        start_rollout(without_harm(waiting) if proven else waiting, found.challenger, by="retrain")
    except RivalsError as error:
        triggered.failed(workspace, "retrain.refused", now, {"challenger": found.challenger, "reason": str(error)})
        return replace(found, verdict=replace(found.verdict, status=Status.FAIL, reason=str(error)))
    return found


def without_harm(workspace: Workspace) -> Workspace:
    """The project for a challenger that live traffic has to find no harm in, and need not prove better.

    Its backtest was that proof; or the world changed, and half of it is the former champion.
    """
    endpoint = workspace.endpoint
    judges = tuple(
        Use(one.name, {"need": "no_harm", **one.options}) if one.name == "quality" else one
        for one in endpoint.rollout.judges
    )
    changed = endpoint.model_copy(update={"rollout": endpoint.rollout.model_copy(update={"judges": judges})})
    return replace(workspace, spec=workspace.spec.model_copy(update={"endpoint": changed}))


def patient(workspace: Workspace, now: float) -> Workspace:
    """The project with a deadline that its traffic can meet; one that the project file names stays as it is.

    The judge of failures needs some hundred questions that went well, and on little traffic no challenger could show so
    many in a fortnight: every one would be held, and trainings end after a few of these.
    """
    wish = workspace.endpoint.rollout
    if "deadline" in wish.model_fields_set or not any(one.name == "failures" for one in wish.judges):
        return workspace
    needed = questions_needed(wish.risk.failure_limit, wish.risk.alpha)
    asked = workspace.store.units_asked(workspace.endpoint.name, now - wish.deadline, now, most=2 * needed)
    deadline = SLACK * wish.deadline * needed / asked if asked else wish.deadline
    changed = wish.model_copy(update={"deadline": max(wish.deadline, deadline)})
    endpoint = workspace.endpoint.model_copy(update={"rollout": changed})
    return replace(workspace, spec=workspace.spec.model_copy(update={"endpoint": endpoint}))


def read_rows(workspace: Workspace) -> pd.DataFrame:
    """The rows that a training learns from: captured exposures with their labels, or the source as it is now."""
    wish = workspace.endpoint.retrain or RetrainSpec()
    if wish.rows == "exposures":
        return Exposures(str(workspace.file)).read()
    return plugins.make(Source, anchored(workspace, workspace.spec.data.source)).read()


def lower() -> None:
    """Let whatever serves on this machine go first: this process, and all it starts, take what is left over."""
    with contextlib.suppress(OSError, AttributeError):
        os.nice(19)
    with contextlib.suppress(OSError, AttributeError):  # Linux alone knows it
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
