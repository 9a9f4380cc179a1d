"""Retraining: a trigger or a person asks, variants are built anew, and their challenger goes on its way.

``consider`` is what watching ends in: a cause comes in, a training goes out where ``endpoint.retrain`` lets it.
``retrain`` carries one out. Where ``autonomy`` is ``act`` the challenger's rollout begins by itself; else it is
recommended, and a person starts it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pandas as pd

from rivals import plugins
from rivals.bundles import read_manifest
from rivals.decide import triggers
from rivals.decide.triggers import Past, Terms
from rivals.errors import RivalsError
from rivals.flows import fences
from rivals.flows.begin import clock_of, start_rollout
from rivals.flows.events import BuildEvent
from rivals.flows.exposures import Exposures
from rivals.flows.reading import anchored
from rivals.flows.sweep import Sweep, sweep
from rivals.flows.workspace import Workspace
from rivals.protocols import Source
from rivals.registry.ledger import Ledger
from rivals.registry.transaction import Transaction
from rivals.spec.project import RetrainSpec
from rivals.values import Cause, Instruction, Notify, Phase, Retrain, Status, Trouble, Use

FINAL = {Phase.PROMOTED: True, Phase.ROLLED_BACK: False, Phase.HELD: False, Phase.ABORTED: False}


def consider(workspace: Workspace, cause: Cause, now: float, *, rows: int = 0) -> Retrain | None:
    """The training that is due now, written down as begun; None: none is, or something holds it (said once)."""
    if workspace.endpoint.retrain is None:
        return None
    with workspace.store.transaction() as tx:
        past = _past(workspace, tx)
        after, instructions = triggers.consider(terms(workspace), past, cause, now, rows=rows)
        if after != past:
            _keep(tx, workspace, after)
        for one in instructions:
            _tell(tx, workspace, one, now, cause)
    return next((one for one in instructions if isinstance(one, Retrain)), None)


def by_hand(workspace: Workspace, by: str = "", tell: Callable[[BuildEvent], None] = lambda _: None) -> Sweep:
    """A person asks: rows are read as ``endpoint.retrain`` says, and what is due is done now.

    Raises ``RivalsError`` where the endpoint was never served, or there is nothing to learn from.
    """
    lower()
    workspace.table()
    now, frame = clock_of(workspace), read_rows(workspace)
    with workspace.store.transaction() as tx:
        past, asked = triggers.by_hand(terms(workspace), _past(workspace, tx), now, len(frame))
        _keep(tx, workspace, past)
        _tell(tx, workspace, asked, now, None, by=fences.person(by))
    return retrain(workspace, frame, asked, now, tell)


def by_schedule(workspace: Workspace, tell: Callable[[BuildEvent], None] = lambda _: None) -> Sweep | None:
    """What cron calls: a training if a schedule or new data ask for one, and nothing holds it; else None."""
    lower()
    workspace.table()
    now, frame = clock_of(workspace), read_rows(workspace)
    asked = consider(workspace, Cause(Trouble.NOTHING, "nobody looked"), now, rows=len(frame))
    return None if asked is None else retrain(workspace, frame, asked, now, tell)


def retrain(
    workspace: Workspace,
    frame: pd.DataFrame,
    asked: Retrain,
    now: float,
    tell: Callable[[BuildEvent], None] = lambda _: None,
) -> Sweep:
    """Build, gate and, where the endpoint may act alone, roll out. Raises ``RivalsError`` where it came to nothing."""
    with workspace.store.transaction() as tx:
        past = _past(workspace, tx)
    try:
        found = sweep(workspace, frame, asked, len(past.times) + 1, now, tell)
    except RivalsError as error:
        _end(workspace, "retrain.failed", now, {"reason": str(error)})
        raise
    body = {name: value for name, value in msgspec.to_builtins(found).items() if name != "cpu_seconds"}
    if not found.good:
        _end(workspace, "retrain.refused", now, body | {"reason": found.verdict.reason})
        return found
    with workspace.store.transaction() as tx:
        Ledger(workspace.store).append(tx, workspace.endpoint.name, "retrain.built", now, body)
    if workspace.endpoint.autonomy == "act":
        return _roll_out(workspace, found, now)
    told = Notify(f"{found.challenger} is ready; `rivals rollout start {found.challenger}` rolls it out")
    with workspace.store.transaction() as tx:
        _tell(tx, workspace, told, now, None)
    return found


def _roll_out(workspace: Workspace, found: Sweep, now: float) -> Sweep:
    proven = found.verdict.status is Status.PASS
    try:
        start_rollout(proven_before(workspace) if proven else workspace, found.challenger, by="retrain")
    except RivalsError as error:
        _end(workspace, "retrain.refused", now, {"challenger": found.challenger, "reason": str(error)})
        return replace(found, verdict=replace(found.verdict, status=Status.FAIL, reason=str(error)))
    return found


def proven_before(workspace: Workspace) -> Workspace:
    """The project for a challenger whose backtest was proof: live traffic has to show no harm, not to prove it anew."""
    endpoint = workspace.endpoint
    judges = tuple(
        Use(one.name, {"need": "no_harm", **one.options}) if one.name == "quality" else one
        for one in endpoint.rollout.judges
    )
    changed = endpoint.model_copy(update={"rollout": endpoint.rollout.model_copy(update={"judges": judges})})
    return replace(workspace, spec=workspace.spec.model_copy(update={"endpoint": changed}))


def settle(workspace: Workspace) -> None:
    """Learn what became of the last training's challenger, once: enough failures in a row stop trainings."""
    name = workspace.endpoint.name
    for one in workspace.store.rollouts(name):
        key = f"retrain/settled/{one.id}"
        known = one.challenger.variant.startswith("retrained.") and one.strategy != "watch" and one.phase in FINAL
        if known and workspace.store.state(key) is None:
            with workspace.store.transaction() as tx:
                tx.put_state(key, one.phase.value.encode())
                _keep(tx, workspace, triggers.ended(_past(workspace, tx), good=FINAL[one.phase]))


def terms(workspace: Workspace) -> Terms:
    """What ``endpoint.retrain`` says, as the triggers read it."""
    wish = workspace.endpoint.retrain or RetrainSpec()
    return Terms(
        wish.on, wish.window, wish.cooldown, wish.budget.most, wish.budget.per, wish.failures, wish.every, wish.grown
    )


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


# -- what is remembered ----------------------------------------------------------------------------------------


def _past(workspace: Workspace, tx: Transaction) -> Past:
    raw = tx.state(_key(workspace))
    if raw:
        return msgspec.json.decode(raw, type=Past)
    table = workspace.table()
    digest = next(arm.digest for arm in table.arms if arm.variant == table.champion)
    until = read_manifest(workspace.blobs.path(digest)).lineage.get("trained_until")
    return Past(trained=float(until) if until is not None else 0.0)


def _keep(tx: Transaction, workspace: Workspace, past: Past) -> None:
    tx.put_state(_key(workspace), msgspec.json.encode(past))


def _key(workspace: Workspace) -> str:
    return f"retrain/{workspace.endpoint.name}"


def _end(workspace: Workspace, kind: str, now: float, body: Mapping[str, Any]) -> None:
    with workspace.store.transaction() as tx:
        _keep(tx, workspace, triggers.ended(_past(workspace, tx), good=False))
        Ledger(workspace.store).append(tx, workspace.endpoint.name, kind, now, msgspec.to_builtins(body))


def _tell(
    tx: Transaction, workspace: Workspace, one: Instruction, now: float, cause: Cause | None, *, by: str = ""
) -> None:
    kind = "retrain.started" if isinstance(one, Retrain) else "retrain.notice"
    body = {"instruction": type(one).__name__, **msgspec.to_builtins(one), **({"by": by} if by else {})}
    body |= {"cause": msgspec.to_builtins(cause)} if cause is not None else {}
    Ledger(workspace.store).append(tx, workspace.endpoint.name, kind, now, body)
