"""What people do beside steering a rollout: freeze, pin, quarantine, approve, go back. All of it is in the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from rivals.decide import rollout as rules_of
from rivals.decide.fences import HELD, WAITS, Fences
from rivals.errors import RolloutError
from rivals.flows import fences
from rivals.flows.apart import keep_apart
from rivals.flows.begin import clock_of
from rivals.flows.rollout import carry_out
from rivals.flows.routing import named_arms, standing_shadows
from rivals.flows.workspace import Workspace
from rivals.registry.ledger import Ledger
from rivals.registry.transaction import Transaction
from rivals.statistics.assignment import reweight
from rivals.values import Phase, Rollout, RoutingTable, Version


@dataclass(frozen=True, slots=True)
class Done:
    """A command that was carried out, in a sentence."""

    endpoint: str
    by: str
    sentence: str


def freeze(workspace: Workspace, *, off: bool = False, by: str = "") -> Done:
    """Stop promotions and growth, or with ``off`` let them go on; rollbacks are never stopped."""
    seen, who = fences.fences_of(workspace), fences.person(by)
    shared = workspace.store.state(fences.SHARED)
    if not off and seen.frozen:
        raise RolloutError(f"It is frozen already, by {seen.frozen}.")
    if off and not seen.frozen and not shared:
        raise RolloutError("Nothing is frozen here.")
    said = "growth and promotions go on" if off else "nothing grows and nothing is promoted; rollbacks still run"
    with workspace.store.transaction() as tx:
        if off and shared:
            tx.put_state(fences.SHARED, b"")
        after = replace(seen, frozen="" if off else who)
        return _keep(tx, workspace, seen, after, "thawed" if off else "frozen", who, said, {})


def pin(workspace: Workspace, variant: str, *, by: str = "") -> Done:
    """Make the variant, as it is built now, the reference that no champion may be worse than."""
    seen, who, digest = fences.fences_of(workspace), fences.person(by), workspace.trained(variant).digest
    after = replace(seen, reference=Version(variant, digest), pinned=who)
    said = f"no challenger is promoted that is not proven as good as {variant}, to the margin"
    with workspace.store.transaction() as tx:
        done = _keep(tx, workspace, seen, after, "pinned", who, said, {"variant": variant, "digest": digest})
        if (table := tx.table(workspace.endpoint.name)) and workspace.endpoint.holdout:
            fresh = keep_apart(tx, workspace, table)
            if fresh != table:
                fresh = replace(fresh, revision=table.revision + 1)
                Ledger(workspace.store).set_table(tx, fresh, table.revision, _now(workspace))
        return done


def quarantine(workspace: Workspace, variant: str, *, off: bool = False, by: str = "") -> Done:
    """Give a variant no traffic and no rollout until it is let out; a rollout of it that runs is rolled back."""
    seen, who, table = fences.fences_of(workspace), fences.person(by), workspace.table()
    workspace.spec_variant(variant)
    if off != (variant in seen.quarantined):
        is_in = f"is in quarantine already, by {seen.quarantined.get(variant)}"
        raise RolloutError(f"{variant!r} {'is not in quarantine' if off else is_in}.")
    if variant == table.champion and not off:
        raise RolloutError(
            f"{variant!r} is the champion; give its traffic to another first: `rivals rollout rollback`."
        )
    rest = {name: whose for name, whose in seen.quarantined.items() if name != variant}
    after = replace(seen, quarantined=rest if off else {**rest, variant: who})
    active = workspace.store.active_rollouts(table.endpoint)
    running = next((one for one in active if one.challenger.variant == variant), None)
    said = f"{variant} may be rolled out again" if off else f"{variant} gets no traffic and no rollout"
    with workspace.store.transaction() as tx:
        done = _keep(tx, workspace, seen, after, "released" if off else "quarantined", who, said, {"variant": variant})
        if running and not off:
            ended, instructions = rules_of.rollback(running, clock_of(workspace))
            ended = replace(ended, reason=f"quarantined by {who}")
            carry_out(tx, workspace, running, ended, instructions, kind="rollout.rollback", by=who)
            return done
        out = () if off else (variant,)
        shadows = tuple(one for one in table.shadows if one.variant not in out)
        named = tuple(one for one in table.named if one.variant != variant)
        named += tuple(
            one for one in named_arms(workspace, table.policy, tx) if one.variant == variant
        )  # none while it is out
        if (shadows, named) != (table.shadows, table.named):
            fresh = replace(table, revision=table.revision + 1, shadows=shadows, named=named)
            Ledger(workspace.store).set_table(tx, fresh, table.revision, clock_of(workspace))
        return done


def approve(workspace: Workspace, *, by: str = "") -> Done:
    """Let the promotion that waits for a person happen; the name goes into the ledger."""
    seen, who = fences.fences_of(workspace), fences.person(by)
    running = workspace.store.active_rollout(workspace.endpoint.name)
    if running is None or running.reason != HELD + WAITS:
        raise RolloutError("No promotion waits for approval here; `rivals status` says what holds a rollout.")
    if seen.approved == running.id:
        raise RolloutError(f"It is approved already, by {seen.approver}.")
    after = replace(seen, approved=running.id, approver=who)
    about = {"rollout": running.id, "challenger": running.challenger.variant}
    said = f"{running.challenger.variant} is promoted as soon as nothing else holds it"
    with workspace.store.transaction() as tx:
        return _keep(tx, workspace, seen, after, "approved", who, said, about)


def roll_back_to(workspace: Workspace, revision: int, *, by: str = "") -> Done:
    """Give all traffic to whoever was champion in that revision of the table, and end what runs.

    A split of that revision does not come back: without its rollout nobody would judge it.
    """
    store, table, who = workspace.store, workspace.table(), fences.person(by)
    old = store.table_at(table.endpoint, revision)
    if old is None or revision >= table.revision:
        raise RolloutError(f"There is no revision {revision} to go back to; {table.revision} is the one in force.")
    arm = next(replace(one, weight=1.0) for one in old.arms if one.variant == old.champion)
    workspace.blobs.verify(arm.digest)
    undone = store.active_rollouts(table.endpoint) or _promoted(workspace, table, arm.variant)
    names = [one.variant for one in table.arms]
    after = replace(
        table,
        revision=table.revision + 1,
        champion=arm.variant,
        arms=(arm,),
        slots=reweight(table.slots, names, [arm.variant], [1.0]),
        rollout="",
    )
    sentence = f"back to revision {revision} by {who}: {arm.variant} answers everything"
    with store.transaction() as tx:
        fences.refuse_quarantined(tx, table.endpoint, arm.variant)
        body: dict[str, Any] = {"by": who, "to": revision, "champion": arm.variant, "reason": sentence}
        now = _now(workspace)
        for one in undone:
            ended = replace(rules_of.rollback(one, now)[0], reason=sentence)
            about = {"rollout": ended.id, "rollout_after": msgspec.to_builtins(ended)}
            Ledger(store).append(tx, table.endpoint, "rollout.rollback", now, body | about)
            tx.put_rollout(ended, before=one)
            fences.settle(tx, workspace, one, ended, by_person=True)
        if not undone:
            Ledger(store).append(tx, table.endpoint, "rollout.rollback", now, body)
        after = replace(after, shadows=tuple(standing_shadows(workspace, arm.variant, tx)))
        Ledger(store).set_table(tx, after, table.revision, now)
    return Done(table.endpoint, who, sentence)


def _promoted(workspace: Workspace, table: RoutingTable, wanted: str) -> list[Rollout]:
    """The rollout that made the present champion, where it is to be undone."""
    known = [one for one in workspace.store.rollouts(table.endpoint) if one.phase is Phase.PROMOTED]
    return [one for one in known[-1:] if one.challenger.variant == table.champion != wanted]


def _keep(
    tx: Transaction,
    workspace: Workspace,
    before: Fences,
    after: Fences,
    event: str,
    by: str,
    said: str,
    about: Mapping[str, Any],
) -> Done:
    """Keep what was changed and write it down. Raises ``Conflict`` where somebody else was quicker."""
    name = workspace.endpoint.name
    fences.put_fences(tx, name, before, after)
    sentence = f"{event} by {by}: {said}"
    body = {"by": by, "reason": sentence, **about}
    Ledger(workspace.store).append(tx, name, f"fences.{event}", _now(workspace), body)
    return Done(name, by, sentence)


def _now(workspace: Workspace) -> float:
    """Now, on the endpoint's clock; 0 where that has not begun: a fence may be put up before the first request."""
    try:
        return clock_of(workspace)
    except RolloutError:
        return 0.0
