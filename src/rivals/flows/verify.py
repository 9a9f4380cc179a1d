"""Check the ledger: its chain, the digest of each entry's evidence, and every verdict judged once more."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from rivals.decide.analysis import analyse
from rivals.errors import LedgerError
from rivals.flows.judges import judge_of
from rivals.flows.workspace import Workspace
from rivals.registry.ledger import Entry, Ledger
from rivals.values import Evidence, Use


def verify_ledger(workspace: Workspace) -> dict[str, Any]:
    """Recompute what the ledger says; returns how many entries there are, how many verdicts were judged, and the head.

    A verdict is judged by the judges its rollout began with, as the ledger has them: a later change of the project
    file changes no history. Raises ``LedgerError`` naming the first entry that does not follow.
    """
    ledger = Ledger(workspace.store)
    head = ledger.verify()
    judges: dict[str, Sequence[Use]] = {}
    entries, judged = ledger.entries(), 0
    for entry in entries:
        if "judges" in entry.body:
            judges[entry.body["rollout"]] = msgspec.convert(entry.body["judges"], list[Use])
        if entry.body.get("evidence") is not None:
            check_digest(entry)
            judged += check_verdict(entry, judges)
    return {"entries": len(entries), "judged": judged, "head": head}


def check_digest(entry: Entry) -> None:
    """The digest of an entry's evidence is that of its evidence. Raises ``LedgerError``."""
    if evidence_digest(entry.body["evidence"]) != entry.body.get("evidence_digest"):
        raise LedgerError(f"Entry {entry.seq} of the ledger: its evidence is not the one its digest was taken of.")


def check_verdict(entry: Entry, judges: Mapping[str, Sequence[Use]]) -> bool:
    """Judge the evidence again; False where the rollout began before judges were written down. Raises."""
    uses = judges.get(entry.body["rollout"])
    if uses is None:
        return False
    found = msgspec.convert(entry.body["evidence"], Evidence)
    again = msgspec.to_builtins(analyse(found, [judge_of(use) for use in uses]))
    if msgspec.json.encode(again, order="sorted") != msgspec.json.encode(entry.body["verdict"], order="sorted"):
        raise LedgerError(f"Entry {entry.seq} of the ledger: its evidence does not lead to its verdict.")
    return True


def evidence_digest(evidence: Any) -> str:
    """SHA-256, in hex, of the evidence as JSON with its keys sorted."""
    return hashlib.sha256(msgspec.json.encode(evidence, order="sorted")).hexdigest()
