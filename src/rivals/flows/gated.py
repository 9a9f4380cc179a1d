"""What the gate said last, for those who must obey it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from rivals.flows.workspace import Workspace
from rivals.values import Status, Verdict


@dataclass(frozen=True, slots=True)
class GateReport:
    """The worst verdict counts. ``digest``: of the bundle that was looked at; ``at``: when, by the wall's clock."""

    variant: str
    champion: str
    status: Status
    verdicts: tuple[Verdict, ...]
    digest: str = ""
    against: str = ""  # the champion's bundle then
    asked: str = ""  # of the judges, as the project file has them
    at: float = 0.0


def asked_of(workspace: Workspace) -> str:
    """The name of what the gate asks: SHA-256 of its judges and their options."""
    return hashlib.sha256(msgspec.json.encode(workspace.spec.gate, order="deterministic")).hexdigest()


def refused_by_gate(workspace: Workspace, variant: str) -> str:
    """Why the gate keeps this very bundle from going live; empty where it does not, or nobody asked it."""
    raw = workspace.store.state(gate_key(variant)) if workspace.spec.gate else None
    report = msgspec.json.decode(raw, type=GateReport) if raw else None
    if report is None or report.status is not Status.FAIL or report.digest != workspace.trained(variant).digest:
        return ""
    return "; ".join(f"{one.judge}: {one.reason}" for one in report.verdicts if one.status is Status.FAIL)


def gate_key(variant: str) -> str:
    """Where the store keeps what the gate said of a variant."""
    return f"gate/{variant}"
