"""Why a request went where it went: rule, slot, salt, layer, weights, what judges said then, what others would do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rivals.errors import RivalsError
from rivals.flows.archive import archive_of
from rivals.flows.replay import Replayed, replay
from rivals.flows.workspace import Workspace
from rivals.registry.erasure import tombstones
from rivals.registry.ledger import Ledger
from rivals.statistics.assignment import reweight, slot
from rivals.statistics.layers import apart
from rivals.values import SLOTS, Exposure, RoutingTable


def explain_request(workspace: Workspace, request_id: str, policy: Path | None = None) -> dict[str, Any]:
    """Everything behind one answer, with its label and its paired answers; with ``policy``, what that would have done.

    Raises ``RivalsError`` where the request is not known, and says so where it was erased.
    """
    store = workspace.store
    exposures, kept = store.exposure(request_id), "store"
    if not exposures:
        exposures, kept = _archived(workspace, request_id), "archive"
    primary = next((one for one in exposures if not one.shadow), exposures[0])
    table = store.table_at(primary.endpoint, primary.revision)
    return {
        "id": primary.id,
        "time": primary.time,
        "kept": kept,
        "answered_by": primary.variant,
        "outcome": primary.outcome.value,
        "output": list(primary.output),
        "latency_us": primary.latency_us,
        "unit": primary.unit,
        "propensity": dict(primary.propensity),
        "label": store.label(primary.id) if kept == "store" else store.told([_key(primary)], "label")[0],
        "shadows": [{"variant": one.variant, "output": list(one.output)} for one in exposures if one.shadow],
        "table": _table(table, primary) if table else None,
        "verdict": _verdict(workspace, table, primary.time) if table else None,
        "now": _arm_now(workspace.table(), primary.unit),
        "other_policy": _other(workspace, table, primary, policy) if table and policy else None,
    }


def _key(one: Exposure) -> tuple[str, str, float]:
    return one.id, one.unit, one.time


def _archived(workspace: Workspace, request_id: str) -> list[Exposure]:
    names = {request_id.partition("/")[0]}
    if any(one.partition("/")[0] in names for one, _ in tombstones(workspace.store, workspace.endpoint.name)):
        raise RivalsError(f"Request {request_id!r} was erased with its unit; the ledger says when: `rivals history`.")
    if workspace.endpoint.capture is not None:
        archive = archive_of(workspace)
        for day in reversed(archive.days()):
            found = [
                one.exposure
                for one in archive.read(day)
                if one.exposure.id == request_id or one.exposure.id.rpartition("/")[0] == request_id
            ]
            if found:
                return found
    raise RivalsError(f"No request {request_id!r} is known; ids are those of the answer's X-Request-Id header.")


def _table(table: RoutingTable, primary: Exposure) -> dict[str, Any]:
    unit = primary.unit
    aside = apart(table, unit)
    certain = primary.propensity.get(primary.variant) == 1
    if aside:
        rule = f"{aside[1]}: no rollout touches this unit"
    elif table.state and not certain and primary.propensity:
        rule = f"drawn by the policy {table.policy.name}"
    elif certain and table.named and len(primary.propensity) > 1:
        rule = f"by a rule of the policy {table.policy.name}"
    else:
        rule = "pinned by the request" if certain and len(table.arms) > 1 else "by slot"
    return {
        "revision": table.revision,
        "champion": table.champion,
        "policy": table.policy.name,
        "rule": rule,
        "salt": table.salt,
        "slot": slot(table.salt, unit),
        "slots": SLOTS,
        "weights": {arm.variant: arm.weight for arm in table.arms},
        "learned": dict(table.state.get("weights", {})),
        "rollout": table.rollout,
        "holdout": table.holdout and {"variant": table.holdout.variant, "slots": table.holdout.slots},
        "layer": table.layer and {"name": table.layer.name, "start": table.layer.start, "end": table.layer.end},
    }


def _verdict(workspace: Workspace, table: RoutingTable, time: float) -> dict[str, Any] | None:
    """What the judges had said last when the request came."""
    said = None
    for entry in Ledger(workspace.store).entries(table.endpoint):
        if entry.body.get("rollout") == table.rollout and entry.body.get("verdict") and entry.time <= time:
            verdict = entry.body["verdict"]
            said = {"time": entry.time, "status": verdict["status"], "reason": verdict["reason"], "entry": entry.seq}
    return said


def _other(workspace: Workspace, table: RoutingTable, primary: Exposure, policy: Path) -> dict[str, Any] | None:
    """Where the unit would have gone under another policy, if a rollout ran then."""
    if not table.rollout:
        return None
    found: Replayed = replay(workspace, policy, table.rollout)[0]
    then = [step for step in found.would if step.time <= primary.time]
    if not then:
        return None
    step = then[-1]
    share = 1.0 if step.phase == "promoted" else step.share
    names = [arm.variant for arm in table.arms]
    wanted = [found.champion, found.challenger]
    owners = reweight(table.slots, names, wanted, [1 - share, share])
    aside = apart(table, primary.unit)
    variant = aside[0] if aside else wanted[owners[slot(table.salt, primary.unit)]]
    return {"variant": variant, "phase": step.phase, "share": share, "reason": step.reason, "beyond": step.beyond}


def _arm_now(table: RoutingTable, unit: str) -> dict[str, Any]:
    """Where the same unit would go under the table in force, if it were split."""
    if aside := apart(table, unit):
        return {"revision": table.revision, "variant": aside[0], "weight": 1.0}
    arm = table.arms[table.slots[slot(table.salt, unit)]]
    return {"revision": table.revision, "variant": arm.variant, "weight": arm.weight}
