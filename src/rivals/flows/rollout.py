"""One rollout decision: look, judge, write down, act. ``tick`` is what the control process calls again and again."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from rivals.bundles import read_manifest
from rivals.decide import rollout as rules_of
from rivals.decide.analysis import analyse
from rivals.errors import RolloutError
from rivals.flows import fences
from rivals.flows.derive import Looked, look, rules_body, settled_key
from rivals.flows.judges import agreed, agreement, reward_rules, slow_ms, wished
from rivals.flows.workspace import Workspace
from rivals.observe.evidence import EvidenceState, Rules, begin, evidence
from rivals.registry.ledger import Ledger
from rivals.registry.store import Transaction
from rivals.serve.reconcile import read_endpoint
from rivals.statistics.assignment import reweight
from rivals.values import (
    Arm,
    Evidence,
    Instruction,
    Notify,
    Phase,
    Promote,
    RollBack,
    Rollout,
    RoutingTable,
    SetRoutes,
    Shadow,
    Verdict,
    Version,
)

DAY = 86_400.0
COMMANDS = {
    "pause": rules_of.pause,
    "resume": rules_of.resume,
    "promote": rules_of.promote,
    "rollback": rules_of.rollback,
}


@dataclass(frozen=True, slots=True)
class Started:
    """A rollout that began, and how long its decision should take."""

    rollout: Rollout
    expected_days: float | None
    too_long: bool
    sentence: str


# -- steering by people --------------------------------------------------------------------------------


def start_rollout(workspace: Workspace, variant: str, *, by: str = "", force: bool = False) -> Started:
    """Start ``variant`` in the shadow of the champion. Raises ``RolloutError`` where it does not fit.

    ``by``: who says so; ``force`` lets a variant start that was rolled back and still rests.
    """
    store, endpoint, table = workspace.store, workspace.endpoint, workspace.table()
    if running := store.active_rollout(endpoint.name):
        name = running.challenger.variant
        raise RolloutError(f"{name!r} is being rolled out already; end it first: `rivals rollout rollback`.")
    if variant == table.champion:
        raise RolloutError(f"{variant!r} is the champion already.")
    trained = workspace.trained(variant)
    _fits(workspace, table, trained.digest)
    now = clock_of(workspace)
    _unseen(workspace, now, {variant: trained.digest, table.champion: _version(table, table.champion).digest})
    wish = endpoint.rollout
    begun = rules_of.start(
        endpoint=endpoint.name,
        champion=_version(table, table.champion),
        challenger=Version(variant, trained.digest),
        steps=wish.steps,
        every=wish.every,
        deadline=wish.deadline,
        autonomy=endpoint.autonomy,
        now=now,
        base_revision=table.revision,
    )
    from rivals.flows.forecast import forecast  # noqa: PLC0415 -- it reads the bank; the judge's loop needs none of that

    days = forecast(workspace, table.champion, variant)
    too_long = days is not None and days * DAY > wish.deadline
    tau, judges = slow_ms(workspace, table.champion), wished(workspace)
    sentence = (
        f"{variant} starts in the shadow of {table.champion}; {_told(days)}, the deadline is {wish.deadline / DAY:g}."
    )
    with store.transaction() as tx:
        begun = fences.admit(tx, workspace, begun, force=force)
        rules, cursor = rules_for(workspace, begun), store.closings()
        body = {
            "challenger": variant,
            "champion": table.champion,
            "expected_days": days if days is not None and math.isfinite(days) else None,
            "slow_ms": tau,
            "by": fences.person(by),
            "forced": force,
            "alpha": begun.alpha,
            "judges": msgspec.to_builtins(judges),
            "rules": rules_body(rules),
            "cursor": cursor,
            "rollout_after": msgspec.to_builtins(begun),
        }
        Ledger(store).append(tx, endpoint.name, "rollout.started", now, {"rollout": begun.id, **body})
        tx.put_rollout(begun)
        _act(tx, workspace, begun, [SetRoutes(0.0)])
        tx.put_state(agreement(begun), msgspec.json.encode(judges))
        tx.put_state(f"rules/{begun.id}", msgspec.json.encode(rules_body(rules)))
        tx.put_state(f"evidence/{begun.id}", msgspec.json.encode(begin(begun, cursor=cursor, tau_ms=tau)))
    return Started(begun, days if days is not None and math.isfinite(days) else None, too_long, sentence)


def _told(days: float | None) -> str:
    if days is None:
        return "there are no held-out days to forecast from"
    return (
        f"a decision is expected after {days:.0f} days"
        if math.isfinite(days)
        else "on held-out days the two look alike"
    )


def steer(workspace: Workspace, command: str, *, by: str = "") -> Rollout:
    """Apply a person's command to the running rollout: pause, resume, promote or rollback. ``by``: who says so."""
    store, endpoint = workspace.store, workspace.endpoint.name
    running = store.active_rollout(endpoint)
    if running is None and command == "rollback":
        running = next((one for one in reversed(store.rollouts(endpoint)) if one.phase is Phase.PROMOTED), None)
    if running is None:
        raise RolloutError(f"No rollout runs on {endpoint!r}; `rivals rollout start VARIANT` starts one.")
    after, instructions = COMMANDS[command](running, clock_of(workspace))
    with store.transaction() as tx:
        carry_out(tx, workspace, running, after, instructions, kind=f"rollout.{command}", by=fences.person(by))
    return after


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
    if before.phase is Phase.PROMOTED:
        fences.refuse_quarantined(tx, before.endpoint, before.champion.variant)
    _record(tx, workspace, after, kind, after.changed, None, None, instructions, by=by)
    tx.put_rollout(after, before=before)
    fences.settle(tx, workspace, before, after, by_person=True)
    _act(tx, workspace, after, instructions)


def watch(workspace: Workspace, seconds: float, say: Callable[[str], None]) -> Rollout:
    """Wait for the end of the newest rollout, at most so long; the rollout as it is then."""
    store, endpoint = workspace.store, workspace.endpoint.name
    until, last = time.monotonic() + seconds, ""
    while True:
        known = store.rollouts(endpoint)
        if not known:
            raise RolloutError(f"No rollout was ever started on {endpoint!r}.")
        now = known[-1]
        line = f"{now.challenger.variant}: {now.phase.value} {now.share:.0%}"
        if line != last:
            say(line)
            last = line
        if now.phase.final or time.monotonic() >= until:
            return now
        time.sleep(0.2)


# -- the judge's loop ------------------------------------------------------------------------------------


def tick(workspace: Workspace, now: float) -> Rollout | None:
    """Judge the running rollout on everything known by ``now``; act on the verdict. None: nothing runs.

    State, verdict, ledger entry, rollout and routing table are one transaction: all of it happened, or none.
    """
    store, endpoint = workspace.store, workspace.endpoint.name
    running = store.active_rollout(endpoint)
    if running is None:
        return None
    before = _looked(workspace, running)
    looked = look(workspace, running, agreed_rules(workspace, running), before, now)
    state = looked.state
    found = evidence(state, running, now)
    verdict = analyse(found, agreed(workspace, running))
    after, instructions = fences.fenced(
        workspace, running, verdict, lambda: analyse(found, agreed(workspace, running, running.alpha)), now
    )
    noteworthy = after != running or bool(instructions) or bool(looked.settled)
    with store.transaction() as tx:
        if noteworthy:
            _record(tx, workspace, after, "rollout.judged", now, found, verdict, instructions, looked=looked)
        for block in looked.settled:
            tx.put_state(settled_key(running.id, block.start), msgspec.json.encode(block))
        tx.put_state(f"log/{running.id}", looked.log.encode())
        _act(tx, workspace, after, instructions)
        tx.put_state(f"evidence/{running.id}", msgspec.json.encode(state))
        tx.put_state(f"verdict/{running.id}", msgspec.json.encode(verdict))
        if after != running:
            tx.put_rollout(after, before=running)
            fences.settle(tx, workspace, running, after, by_person=False)
    return after


def agreed_rules(workspace: Workspace, rollout: Rollout) -> Rules:
    """The rules of evidence that a rollout began with, whatever the project file says by now."""
    raw = workspace.store.state(f"rules/{rollout.id}")
    return msgspec.json.decode(raw, type=Rules) if raw else rules_for(workspace, rollout)


def rules_for(workspace: Workspace, rollout: Rollout) -> Rules:
    """The rules of evidence that the project file asks for."""
    spec, wish = workspace.spec, workspace.endpoint.rollout
    signature = read_manifest(workspace.blobs.path(rollout.champion.digest)).signature
    return Rules(
        metric=wish.metric or ("squared" if spec.data.task == "regression" else "brier"),
        labels=signature.labels,
        margin=wish.risk.failure_margin,
        limit=wish.risk.failure_limit,
        slow_limit=wish.risk.slow_limit,
        quality_margin=wish.risk.margin,
        slice_margin=wish.risk.slice_margin,
        reward=reward_rules(workspace),
        block=wish.block,
        label_delay=spec.data.label_delay,
    )


def clock_of(workspace: Workspace) -> float:
    """Now, on the endpoint's clock: the wall's, or in a replay the time of the newest row."""
    settings = read_endpoint(workspace.run_dir)
    if settings is None or settings.clock == "wall":
        return time.time()
    newest = workspace.store.latest_time(workspace.endpoint.name)
    if newest is None:
        raise RolloutError("The clock is the traffic's own, and there was none yet; send requests first.")
    return newest


# -- acting: data becomes the next routing table ---------------------------------------------------------


def routes(table: RoutingTable, rollout: Rollout, instruction: Instruction, standing: Sequence[Shadow]) -> RoutingTable:
    """The next table: the same salt, the least movement of units, one revision up."""
    champion = Arm(rollout.champion.variant, rollout.champion.digest, 1.0)
    challenger = Arm(rollout.challenger.variant, rollout.challenger.digest, 1.0)
    arms: tuple[Arm, ...]
    pair: tuple[Shadow, ...] = ()
    match instruction:
        case Promote():
            arms = (challenger,)
        case RollBack():
            arms = (champion,)
        case SetRoutes(share, paired):
            arms = (
                (replace(champion, weight=1 - share), replace(challenger, weight=share)) if share > 0 else (champion,)
            )
            pair = (Shadow(challenger.variant, challenger.digest),) if paired else ()
        case Notify():
            return table
    names = {arm.variant for arm in arms}
    weights = {arm.variant: arm.weight for arm in arms}
    shadows = {shadow.variant: shadow for shadow in (*standing, *pair)}
    return replace(
        table,
        revision=table.revision + 1,
        champion=arms[0].variant,
        arms=arms,
        slots=reweight(table.slots, [arm.variant for arm in table.arms], list(weights), list(weights.values())),
        shadows=tuple(shadow for name, shadow in shadows.items() if name not in names or len(names) > 1),
        rollout="" if rollout.phase.final else rollout.id,
    )


def _act(tx: Transaction, workspace: Workspace, rollout: Rollout, instructions: Sequence[Instruction]) -> None:
    for instruction in instructions:
        table = workspace.table()
        after = routes(table, rollout, instruction, standing_shadows(workspace, table.champion, tx))
        if after != table:
            Ledger(workspace.store).set_table(tx, after, table.revision, rollout.changed)


def standing_shadows(workspace: Workspace, champion: str, tx: Transaction | None = None) -> list[Shadow]:
    """The shadows that the project file keeps at all times, but those in quarantine."""
    out = {champion, *fences.fences_of(workspace, tx).quarantined}
    names = [name for name in workspace.endpoint.shadows if name not in out]
    return [Shadow(name, workspace.trained(name).digest) for name in names]


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


def _looked(workspace: Workspace, rollout: Rollout) -> Looked:
    raw = workspace.store.state(f"evidence/{rollout.id}")
    state = msgspec.json.decode(raw, type=EvidenceState) if raw else begin(rollout)
    return Looked(state, (workspace.store.state(f"log/{rollout.id}") or b"").decode())


def _version(table: RoutingTable, variant: str) -> Version:
    return next(Version(arm.variant, arm.digest) for arm in table.arms if arm.variant == variant)


def _fits(workspace: Workspace, table: RoutingTable, digest: str) -> None:
    """A challenger must answer what clients already send, and be servable in process."""
    manifest = read_manifest(workspace.blobs.path(digest))
    if manifest.runtime == "child":
        raise RolloutError(f"This variant cannot be served in process: {manifest.reason}")
    champion = read_manifest(workspace.blobs.path(_version(table, table.champion).digest)).signature
    settings = read_endpoint(workspace.run_dir)
    sent = {column.name for column in (settings.columns if settings else champion.inputs)}
    if missing := [column.name for column in manifest.signature.inputs if column.name not in sent]:
        raise RolloutError(
            f"It needs {', '.join(missing)}, which clients of this endpoint do not send; `rivals serve` asks for it."
        )
    if manifest.signature.task != champion.task or manifest.signature.labels != champion.labels:
        raise RolloutError("It answers another question than the champion: task or labels differ.")


def _unseen(workspace: Workspace, now: float, digests: Mapping[str, str]) -> None:
    """A rival is judged on rows it was not trained on; time goes forward, so it is enough that it is past them now."""
    for variant, digest in digests.items():
        until = read_manifest(workspace.blobs.path(digest)).lineage.get("trained_until", -math.inf)
        if now <= until:
            raise RolloutError(
                f"{variant!r} was trained on rows up to {until:.0f}, and it is {now:.0f} on the endpoint's clock: "
                "it may know by heart what it is asked. Let later rows come first."
            )
