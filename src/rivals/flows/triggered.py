"""Whether a training is due: triggers over what drift detection explained last, and what is remembered of trainings.

Light enough for the control process, which carries none out: ``flows/retrain.py`` does, in a process of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from rivals.bundles import read_manifest
from rivals.decide import triggers
from rivals.decide.triggers import Past, Terms
from rivals.flows.workspace import Workspace
from rivals.registry.ledger import Ledger
from rivals.registry.transaction import Transaction
from rivals.spec.watching import RetrainSpec
from rivals.values import Cause, Instruction, Phase, Retrain, Trouble

EXPLAINED = "drift.explained"  # the ledger's entries on causes
PREFIX = "retrained."  # and the number of the training: the name of its challenger
FINAL = {Phase.PROMOTED: True, Phase.ROLLED_BACK: False, Phase.HELD: False, Phase.ABORTED: False}


def due(workspace: Workspace, now: float) -> bool:
    """Whether a training waits to be carried out; a cause or a schedule that asks for one is written down as begun."""
    if workspace.endpoint.retrain is None:
        return False
    if workspace.store.state(_asked_key(workspace)):
        return True  # begun, and whoever carried it out did not live to end it
    asked = consider(workspace, _newest_cause(workspace), now)
    if asked is None:
        return False
    with workspace.store.transaction() as tx:
        tx.put_state(_asked_key(workspace), msgspec.json.encode(asked))
    return True


def asked_of(workspace: Workspace) -> Retrain | None:
    """The training that waits to be carried out."""
    raw = workspace.store.state(_asked_key(workspace))
    return msgspec.json.decode(raw, type=Retrain) if raw else None


def carried_out(workspace: Workspace) -> None:
    """It waits no more."""
    with workspace.store.transaction() as tx:
        tx.put_state(_asked_key(workspace), b"")


def consider(workspace: Workspace, cause: Cause, now: float, *, rows: int = 0) -> Retrain | None:
    """The training that is due now, written down as begun; None: none is, or something holds it (said once)."""
    with workspace.store.transaction() as tx:
        past = past_of(workspace, tx)
        after, instructions = triggers.consider(terms(workspace), past, cause, now, rows=rows)
        if after != past:
            keep(tx, workspace, after)
        for one in instructions:
            tell(tx, workspace, one, now, {"cause": msgspec.to_builtins(cause)})
    return next((one for one in instructions if isinstance(one, Retrain)), None)


def settle(workspace: Workspace) -> None:
    """Learn what became of the challengers of trainings, once each: enough failures in a row stop trainings."""
    for one in workspace.store.rollouts(workspace.endpoint.name):
        key = f"retrain/settled/{one.id}"
        known = one.challenger.variant.startswith(PREFIX) and one.strategy != "watch" and one.phase in FINAL
        if known and workspace.store.state(key) is None:
            with workspace.store.transaction() as tx:
                tx.put_state(key, one.phase.value.encode())
                keep(tx, workspace, triggers.ended(past_of(workspace, tx), good=FINAL[one.phase]))


def terms(workspace: Workspace) -> Terms:
    """What ``endpoint.retrain`` says, as the triggers read it."""
    wish = workspace.endpoint.retrain or RetrainSpec()
    return Terms(
        wish.on, wish.longest, wish.cooldown, wish.budget.most, wish.budget.per, wish.failures, wish.every, wish.grown
    )


# -- what is remembered --------------------------------------------------------------------------------------


def past_of(workspace: Workspace, tx: Transaction) -> Past:
    """What is remembered of trainings; before the first one, when the champion was trained."""
    if raw := tx.state(_key(workspace)):
        return msgspec.json.decode(raw, type=Past)
    table = workspace.table()
    digest = next(arm.digest for arm in table.arms if arm.variant == table.champion)
    return Past(trained=float(read_manifest(workspace.blobs.path(digest)).lineage.get("trained_until", 0.0)))


def keep(tx: Transaction, workspace: Workspace, past: Past) -> None:
    """Remember it."""
    tx.put_state(_key(workspace), msgspec.json.encode(past))


def failed(workspace: Workspace, kind: str, now: float, body: Mapping[str, Any]) -> None:
    """Write down a training that came to nothing, and count it."""
    with workspace.store.transaction() as tx:
        keep(tx, workspace, triggers.ended(past_of(workspace, tx), good=False))
        Ledger(workspace.store).append(tx, workspace.endpoint.name, kind, now, msgspec.to_builtins(body))


def tell(tx: Transaction, workspace: Workspace, one: Instruction, now: float, more: Mapping[str, Any]) -> None:
    """Write an instruction down before anybody acts on it."""
    kind = "retrain.started" if isinstance(one, Retrain) else "retrain.notice"
    body = {"instruction": type(one).__name__, **msgspec.to_builtins(one), **more}
    Ledger(workspace.store).append(tx, workspace.endpoint.name, kind, now, body)


def _newest_cause(workspace: Workspace) -> Cause:
    """What drift detection explained last, if that was after the last training."""
    with workspace.store.transaction() as tx:
        past = past_of(workspace, tx)
    entries = Ledger(workspace.store).entries(workspace.endpoint.name)
    newest = next((one for one in reversed(entries) if one.kind == EXPLAINED), None)
    if newest is None or newest.time <= past.trained:
        return Cause(Trouble.NOTHING, "nothing was explained since the last training")
    known = {name: newest.body[name] for name in Cause.__slots__ if name in newest.body}
    return msgspec.convert(known, Cause)


def _asked_key(workspace: Workspace) -> str:
    return f"retrain/asked/{workspace.endpoint.name}"


def _key(workspace: Workspace) -> str:
    return f"retrain/{workspace.endpoint.name}"
