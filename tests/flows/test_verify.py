"""What `rivals verify` finds. Forgers here are clever: they chain the ledger anew after they changed it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from rivals.decide.analysis import analyse
from rivals.errors import LedgerError
from rivals.flows.judges import judge_of
from rivals.flows.verify import evidence_digest, verify_ledger
from rivals.flows.workspace import Workspace
from rivals.registry.ledger import Ledger
from rivals.registry.schema import ledger as table
from rivals.spec.project import ProjectSpec
from rivals.values import Evidence, Use

JUDGES = [Use("failures", {"alpha": 0.05, "among": 2}), Use("quality", {"alpha": 0.05, "among": 2})]
SPEC = {
    "project": "toy",
    "data": {"source": "csv", "task": "binary", "target": "y"},
    "variants": [{"name": "a", "features": "all", "family": "sklearn"}],
}
Forger = Callable[[dict[str, Any]], None]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(ProjectSpec.model_validate(SPEC), tmp_path / "rivals.yaml")


def judged(harm: float) -> dict[str, Any]:
    found = Evidence("e", "a", "b", 9.0, log_e={"failures.harm": harm}, estimates={"silence": 1.0}, blocks=2)
    body = {"rollout": "r", "evidence": msgspec.to_builtins(found)}
    verdict = analyse(found, [judge_of(use) for use in JUDGES])
    return body | {"evidence_digest": evidence_digest(body["evidence"]), "verdict": msgspec.to_builtins(verdict)}


def write(workspace: Workspace, forge: Forger = lambda body: None, decisions: int = 3) -> None:
    with workspace.store.transaction() as tx:
        ledger = Ledger(workspace.store)
        ledger.append(tx, "e", "rollout.started", 0.0, {"rollout": "r", "judges": msgspec.to_builtins(JUDGES)})
        for number in range(decisions):
            body = judged(number * 9.0 / decisions)
            if number == decisions - 1:
                forge(body)
            ledger.append(tx, "e", "rollout.judged", float(number), body)


def test_a_thousand_verdicts_follow_from_their_evidence_byte_for_byte(workspace: Workspace) -> None:
    write(workspace, decisions=1_000)
    assert verify_ledger(workspace)["judged"] == 1_000


def test_evidence_that_was_changed_under_its_digest_is_named(workspace: Workspace) -> None:
    write(workspace, lambda body: body["evidence"]["log_e"].update({"failures.harm": 0.1}))
    with pytest.raises(LedgerError, match=r"Entry 4 .* digest"):
        verify_ledger(workspace)


def test_a_verdict_its_evidence_does_not_lead_to_is_named(workspace: Workspace) -> None:
    write(workspace, lambda body: body["verdict"].update(status="pass"))
    with pytest.raises(LedgerError, match=r"Entry 4 .* verdict"):
        verify_ledger(workspace)


@pytest.mark.parametrize("column", ["endpoint", "kind", "body", "previous", "hash"])
@pytest.mark.parametrize("seq", [1, 2, 4])
def test_one_changed_byte_of_a_ledger_row_is_named(workspace: Workspace, column: str, seq: int) -> None:
    write(workspace)
    text = workspace.store.rows(sa.select(table.c[column]).where(table.c.seq == seq))[0][0]
    changed = text[:-1] + chr(ord(text[-1]) ^ 1)
    with workspace.store.transaction() as tx:
        tx.connection.execute(sa.update(table).where(table.c.seq == seq).values({column: changed}))
    with pytest.raises(LedgerError, match=f"Entry {seq} "):
        verify_ledger(workspace)
