"""One rollout decision: look, judge, write down, act. ``tick`` is what the control process calls again and again."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from rivals.decide import rollout as rules_of
from rivals.decide.analysis import analyse
from rivals.errors import RolloutError
from rivals.flows import fences
from rivals.flows.begin import agreed_rules, begin_watch, clock_of
from rivals.flows.derive import Looked, look, settled_key
from rivals.flows.judges import agreed
from rivals.flows.routing import act
from rivals.flows.workspace import Workspace
from rivals.observe.evidence import EvidenceState, begin, evidence
from rivals.registry.ledger import Ledger
from rivals.registry.transaction import Transaction
from rivals.values import (
    Evidence,
    Instruction,
    Phase,
    Rollout,
    Verdict,
)

DAY = 86_400.0
COMMANDS = {
    "pause": rules_of.pause,
    "resume": rules_of.resume,
    "advance": rules_of.step_up,
    "promote": rules_of.promote,
    "rollback": rules_of.rollback,
}


# -- steering by people --------------------------------------------------------------------------------


def steer(workspace: Workspace, command: str, variant: str = "", *, by: str = "") -> Rollout:
    """Apply a person's command to the running rollout: pause, resume, advance, promote or rollback.

    ``variant``: whose, where several challengers run; a rollback without one ends them all. ``by``: who says so.
    """
    store, now = workspace.store, clock_of(workspace)
    chosen = _meant(workspace, command, variant)
    with store.transaction() as tx:
        for running in chosen:
            after, instructions = COMMANDS[command](running, now)
            carry_out(tx, workspace, running, after, instructions, kind=f"rollout.{command}", by=fences.person(by))
    return after


def _meant(workspace: Workspace, command: str, variant: str) -> list[Rollout]:
    store, endpoint = workspace.store, workspace.endpoint.name
    running = [one for one in store.active_rollouts(endpoint) if variant in {"", one.challenger.variant}]
    if not running and command == "rollback":
        promoted = [one for one in store.rollouts(endpoint) if one.phase is Phase.PROMOTED]
        running = [one for one in promoted[-1:] if variant in {"", one.challenger.variant}]
    if not running:
        whose = f" of {variant!r}" if variant else ""
        raise RolloutError(f"No rollout{whose} runs on {endpoint!r}; `rivals rollout start VARIANT` starts one.")
    if len(running) > 1 and command != "rollback":
        names = ", ".join(one.challenger.variant for one in running)
        raise RolloutError(f"Several challengers run; say which one is meant: {names}.")
    return running


def carry_out(
    tx: Transaction,
    workspace: Workspace,
    before: Rollout,
    after: Rollout,
    instructions: Sequence[Instruction],
    *,
    kind: str,
    by: str,
) -> None:
    """A person's step of a rollout, written down and done. Raises ``Conflict`` where somebody else was quicker."""
    if before.phase in {Phase.PROMOTED, Phase.WATCH} and after.phase is not Phase.CONCLUDED:
        fences.refuse_quarantined(tx, before.endpoint, before.champion.variant)
    _record(tx, workspace, after, kind, after.changed, None, None, instructions, by=by)
    _put(tx, workspace, before, after, instructions, by_person=True)


def _put(
    tx: Transaction,
    workspace: Workspace,
    before: Rollout,
    after: Rollout,
    instructions: Sequence[Instruction],
    *,
    by_person: bool,
) -> None:
    """Keep the next state of a rollout, and do what it means for the others, the routes and what comes after it."""
    if after != before:
        tx.put_rollout(after, before=before)
        fences.settle(tx, workspace, before, after, by_person=by_person)
    act(tx, workspace, after, instructions)
    if after.phase is Phase.PROMOTED and before.phase is not Phase.PROMOTED:
        for other in tx.active_rollouts(after.endpoint):
            conceded = rules_of.concede(other, after.challenger.variant, after.changed)
            _record(tx, workspace, conceded, "rollout.concluded", after.changed, None, None, ())
            tx.put_rollout(conceded, before=other)
        begin_watch(tx, workspace, after)


def watch(workspace: Workspace, seconds: float, say: Callable[[str], None]) -> Rollout:
    """Wait for the end of the newest rollout, at most so long; the rollout as it is then. A watch is not waited for."""
    store, endpoint = workspace.store, workspace.endpoint.name
    until, last = time.monotonic() + seconds, ""
    while True:
        known = store.rollouts(endpoint)
        if not known:
            raise RolloutError(f"No rollout was ever started on {endpoint!r}.")
        now = next(one for one in reversed(known) if one.phase is not Phase.WATCH)
        line = f"{now.challenger.variant}: {now.phase.value} {now.share:.0%}"
        if line != last:
            say(line)
            last = line
        if now.phase.final or time.monotonic() >= until:
            return now
        time.sleep(0.2)


# -- the judge's loop ------------------------------------------------------------------------------------


def tick(workspace: Workspace, now: float) -> Rollout | None:
    """Judge every running rollout on everything known by ``now``; act on the verdicts. None: nothing runs.

    Of each, state, verdict, ledger entry, rollout and table are one transaction: all of it happened, or none.
    """
    after = None
    for running in workspace.store.active_rollouts(workspace.endpoint.name):
        after = _judge(workspace, running, now)
        if after.phase is Phase.PROMOTED:  # its fellows conceded
            break
    return after


def _judge(workspace: Workspace, running: Rollout, now: float) -> Rollout:
    store = workspace.store
    seen = store.state(f"evidence/{running.id}")
    looked = look(workspace, running, agreed_rules(workspace, running), _looked(workspace, running, seen), now)
    state = looked.state
    found = evidence(state, running, now)
    verdict = analyse(found, agreed(workspace, running))
    after, instructions = fences.fenced(
        workspace, running, verdict, lambda: analyse(found, agreed(workspace, running, running.alpha)), now
    )
    noteworthy = after != running or bool(instructions) or bool(looked.settled)
    with store.transaction() as tx:
        tx.expect(running, seen)
        if noteworthy:
            _record(tx, workspace, after, "rollout.judged", now, found, verdict, instructions, looked=looked)
        for block in looked.settled:
            tx.put_state(settled_key(running.id, block.start), msgspec.json.encode(block))
        tx.put_state(f"log/{running.id}", looked.log.encode())
        tx.put_state(f"evidence/{running.id}", msgspec.json.encode(state))
        tx.put_state(f"verdict/{running.id}", msgspec.json.encode(verdict))
        _put(tx, workspace, running, after, instructions, by_person=False)
    return after


# -- writing it down ---------------------------------------------------------------------------------------


def _record(
    tx: Transaction,
    workspace: Workspace,
    rollout: Rollout,
    kind: str,
    now: float,
    found: Evidence | None,
    verdict: Verdict | None,
    instructions: Sequence[Instruction],
    *,
    by: str = "",
    looked: Looked | None = None,
) -> None:
    """Write the verdict down before anybody acts on it, with all that it takes to derive it again."""
    body: dict[str, Any] = {
        "rollout": rollout.id,
        "champion": rollout.champion.variant,
        "challenger": rollout.challenger.variant,
        "phase": rollout.phase.value,
        "share": rollout.share,
        "reason": rollout.reason,
        **({"by": by} if by else {}),
        "verdict": verdict,
        "evidence": found,
        "evidence_digest": hashlib.sha256(msgspec.json.encode(found, order="sorted")).hexdigest() if found else None,
        "rollout_after": rollout,
        **({"taken": _taken(looked)} if looked else {}),
        "instructions": [{"kind": type(one).__name__, **msgspec.to_builtins(one)} for one in instructions],
    }
    Ledger(workspace.store).append(tx, rollout.endpoint, kind, now, msgspec.to_builtins(body))


def _taken(looked: Looked) -> dict[str, Any]:
    return {
        "cursor": looked.state.cursor,
        "blocks": [block.start for block in looked.settled],
        "log": looked.log,
    }


def _looked(workspace: Workspace, rollout: Rollout, raw: bytes | None) -> Looked:
    state = msgspec.json.decode(raw, type=EvidenceState) if raw else begin(rollout)
    return Looked(state, (workspace.store.state(f"log/{rollout.id}") or b"").decode())
