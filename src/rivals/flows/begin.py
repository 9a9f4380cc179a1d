"""How a rollout begins: what it needs, its rules and judges agreed, its first entry in the ledger.

``start_rollout`` is what people call; ``begin_watch`` follows every promotion by itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from rivals.bundles import read_manifest
from rivals.decide import fences as fence_rules
from rivals.decide import rollout as rules_of
from rivals.decide.judges.drift import Drift
from rivals.errors import DataError, RolloutError
from rivals.flows import fences
from rivals.flows.derive import rules_body
from rivals.flows.gated import refused_by_gate
from rivals.flows.judges import agreement, judge_of, looks_of, reward_rules, slow_ms, wished
from rivals.flows.routing import act
from rivals.flows.workspace import Workspace
from rivals.observe.drifting import DriftRules, usual
from rivals.observe.evidence import Rules, begin
from rivals.registry.ledger import Ledger
from rivals.registry.transaction import Transaction
from rivals.serve.reconcile import read_endpoint
from rivals.strategy import Strategy
from rivals.values import Phase, Rollout, RoutingTable, SetRoutes, Use, Version

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Started:
    """A rollout that began, and how long its decision should take. ``fellows`` began with it, in one test."""

    rollout: Rollout
    expected_days: float | None
    too_long: bool
    sentence: str
    fellows: tuple[Rollout, ...] = ()


def start_rollout(
    workspace: Workspace,
    variant: str,
    *others: str,
    strategy: Strategy | None = None,
    by: str = "",
    force: bool = False,
) -> Started:
    """Start ``variant`` against the champion. Raises ``RolloutError`` where it does not fit.

    ``strategy``: the project file's where nothing is said; only ``ab`` takes ``others``, all against the champion at
    once, each at alpha / their number (e-Bonferroni: Vovk & Wang, arXiv:1912.06116). ``by``: who says so; ``force``
    lets a variant start that was rolled back and still rests.
    """
    names = (variant, *others)
    strategy = strategy or workspace.endpoint.rollout.strategy
    table = workspace.table()
    _may_start(workspace, table, names, strategy)
    now = clock_of(workspace)
    begun = [_begun(workspace, table, name, strategy, len(names), now) for name in names]
    digests = {one.challenger.variant: one.challenger.digest for one in begun}
    _unseen(workspace, now, {**digests, table.champion: _version(table, table.champion).digest})
    from rivals.flows.forecast import forecast  # noqa: PLC0415 -- it reads the bank; the judge's loop needs none of that

    expected = [forecast(workspace, table.champion, name) for name in names]
    days = None if None in expected else max(one for one in expected if one is not None)
    too_long = days is not None and days * DAY > begun[0].deadline
    judges = wished(workspace, strategy, len(names))
    rules = rules_for(workspace, begun[0], judges)
    tau = slow_ms(workspace, table.champion)
    forced = {"by": fences.person(by), "forced": force, "expected_days": _finite(days)}
    with workspace.store.transaction() as tx:
        _end_watch(tx, workspace, now)
        for index, one in enumerate(begun):
            admitted = fences.admit(tx, workspace, one, force=force)
            tx.put_rollout(admitted, beside=[before.id for before in begun[:index]])
            open_rollout(tx, workspace, admitted, rules, judges, tau, forced)
            begun[index] = admitted
        for one in begun:
            act(tx, workspace, one, [SetRoutes(one.share)])
    where = f"at {begun[0].share:.0%} of the traffic" if strategy == "ab" else "in the shadow"
    sentence = (
        f"{', '.join(names)} start{'s' if len(names) == 1 else ''} {where} of {table.champion}; {_told(days)}, "
        f"the deadline is {begun[0].deadline / DAY:g}."
    )
    return Started(begun[0], _finite(days), too_long, sentence, tuple(begun[1:]))


def open_rollout(
    tx: Transaction,
    workspace: Workspace,
    begun: Rollout,
    rules: Rules,
    judges: Sequence[Use],
    tau: float | None,
    about: Mapping[str, Any],
    kind: str = "rollout.started",
) -> None:
    """Write down how it begins, with all that it takes to derive its decisions again."""
    store = workspace.store
    cursor = store.closings()
    body = {
        "rollout": begun.id,
        "challenger": begun.challenger.variant,
        "champion": begun.champion.variant,
        "slow_ms": tau,
        **about,
        "alpha": begun.alpha,
        "judges": msgspec.to_builtins(judges),
        "rules": rules_body(rules),
        "cursor": cursor,
        "rollout_after": msgspec.to_builtins(begun),
    }
    Ledger(store).append(tx, begun.endpoint, kind, begun.started, body)
    tx.put_state(agreement(begun), msgspec.json.encode(judges))
    tx.put_state(f"rules/{begun.id}", msgspec.json.encode(rules_body(rules)))
    tx.put_state(f"evidence/{begun.id}", msgspec.json.encode(begin(begun, cursor=cursor, tau_ms=tau)))


def begin_watch(tx: Transaction, workspace: Workspace, promoted: Rollout) -> None:
    """What follows a promotion: the same rules and judges, for as long as the project file said when it began."""
    table = tx.table(promoted.endpoint)
    if table is None or promoted.watch <= 0:
        return
    watched = rules_of.watched(promoted, promoted.changed, table.revision)
    judges = [use for use in agreed_uses(workspace, promoted) if use.name not in {"harm", "fixed"}]
    tau = slow_ms(workspace, promoted.champion.variant)
    tx.put_rollout(watched)
    open_rollout(tx, workspace, watched, agreed_rules(workspace, promoted), judges, tau, {}, kind="rollout.watched")


def agreed_uses(workspace: Workspace, rollout: Rollout) -> list[Use]:
    """The judges that a rollout began with, as uses."""
    raw = workspace.store.state(agreement(rollout))
    return msgspec.json.decode(raw, type=list[Use]) if raw else wished(workspace, rollout.strategy)


def agreed_rules(workspace: Workspace, rollout: Rollout) -> Rules:
    """The rules of evidence that a rollout began with, whatever the project file says by now."""
    raw = workspace.store.state(f"rules/{rollout.id}")
    return msgspec.json.decode(raw, type=Rules) if raw else rules_for(workspace, rollout, wished(workspace))


def rules_for(workspace: Workspace, rollout: Rollout, judges: Sequence[Use]) -> Rules:
    """The rules of evidence that the project file and these judges ask for."""
    spec, wish = workspace.spec, workspace.endpoint.rollout
    signature = read_manifest(workspace.blobs.path(rollout.champion.digest)).signature
    return Rules(
        metric=wish.metric or ("squared" if spec.data.answers == "regression" else "brier"),
        labels=signature.labels,
        margin=wish.risk.failure_margin,
        limit=wish.risk.failure_limit,
        slow_limit=wish.risk.slow_limit,
        quality_margin=wish.risk.margin,
        slice_margin=wish.risk.slice_margin,
        reward=reward_rules(workspace),
        block=wish.block,
        label_delay=spec.data.label_delay,
        looks=looks_of(judges),
        drift=_usual(workspace, rollout, judges),
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


def _usual(workspace: Workspace, rollout: Rollout, judges: Sequence[Use]) -> DriftRules | None:
    """How the held-out answers of the two were spread, where somebody judges drift and the bank knows them."""
    judge = next((judge_of(use) for use in judges if use.name == "drift"), None)
    if not isinstance(judge, Drift):
        return None
    from rivals.flows.compare import banked  # noqa: PLC0415 -- the judge's loop needs none of the bank

    built = {one.digest: one for one in workspace.store.known_wishes().values()}
    try:
        ours, theirs = (banked(workspace, built[one.digest]) for one in (rollout.champion, rollout.challenger))
    except (KeyError, DataError):
        return None
    if not len(ours.outputs) or not len(theirs.outputs):
        return None
    return DriftRules(usual(ours.outputs.tolist()), usual(theirs.outputs.tolist()), float(judge.margin))


# -- what it needs ----------------------------------------------------------------------------------------


def _may_start(workspace: Workspace, table: RoutingTable, names: Sequence[str], strategy: Strategy) -> None:
    running = [one for one in workspace.store.active_rollouts(table.endpoint) if one.phase is not Phase.WATCH]
    if running:
        name = running[0].challenger.variant
        raise RolloutError(f"{name!r} is being rolled out already; end it first: `rivals rollout rollback`.")
    if strategy != "ab" and len(names) > 1:
        raise RolloutError(
            f"Only a test takes several challengers at once: `rivals rollout start {' '.join(names)} --strategy ab`."
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RolloutError(f"{twice[0]!r} was named twice.")
    if table.champion in names:
        raise RolloutError(f"{table.champion!r} is the champion already.")
    kept = table.holdout
    if kept and kept.variant in names and workspace.trained(kept.variant).digest != kept.digest:
        raise RolloutError(
            f"{kept.variant!r} was built anew since it was approved for the holdout; give the new one another name, or "
            f"approve it: `rivals rollout pin {kept.variant}`."
        )
    for name in names:
        if why := refused_by_gate(workspace, name):
            raise RolloutError(f"The gate keeps {name!r} from going live: {why}. Mend it, then `rivals gate {name}`.")
    if strategy == "bounded" and workspace.endpoint.rollout.harm is None:
        raise RolloutError("Strategy bounded needs endpoint.rollout.harm, the most extra failures it may cause.")
    if strategy == "ab" and (why := fence_rules.growth(fences.standing(workspace, clock_of(workspace)))):
        raise RolloutError(f"A test gives its challengers traffic at once, and the endpoint is {why}.")


def _begun(
    workspace: Workspace, table: RoutingTable, variant: str, strategy: Strategy, among: int, now: float
) -> Rollout:
    trained, endpoint, wish = workspace.trained(variant), workspace.endpoint, workspace.endpoint.rollout
    _fits(workspace, table, trained.digest)
    share = wish.share or 1 / (among + 1)
    if strategy == "ab" and share * among >= 1:
        raise RolloutError(
            f"{among} challengers at {share:.0%} each leave the champion nothing; lower endpoint.rollout.share."
        )
    return rules_of.start(
        endpoint=endpoint.name,
        champion=_version(table, table.champion),
        challenger=Version(variant, trained.digest),
        steps=(share,) if strategy == "ab" else wish.steps,
        every=wish.every,
        deadline=wish.deadline,
        autonomy=endpoint.autonomy,
        now=now,
        base_revision=table.revision,
        strategy=strategy,
        watch=wish.watch,
    )


def _end_watch(tx: Transaction, workspace: Workspace, now: float) -> None:
    """A person who starts the next rollout has seen enough of the last one."""
    for before in tx.active_rollouts(workspace.endpoint.name):
        if before.phase is not Phase.WATCH:
            continue
        after = replace(before, phase=Phase.CONCLUDED, changed=now, reason="the next rollout began")
        body = {"rollout": after.id, "reason": after.reason, "rollout_after": msgspec.to_builtins(after)}
        Ledger(workspace.store).append(tx, after.endpoint, "rollout.concluded", now, body)
        tx.put_rollout(after, before=before)


def _finite(days: float | None) -> float | None:
    return days if days is not None and math.isfinite(days) else None


def _told(days: float | None) -> str:
    if days is None:
        return "there are no held-out days to forecast from"
    return (
        f"a decision is expected after {days:.0f} days"
        if math.isfinite(days)
        else "on held-out days the two look alike"
    )


def _version(table: RoutingTable, variant: str) -> Version:
    return next(Version(arm.variant, arm.digest) for arm in table.arms if arm.variant == variant)


def _fits(workspace: Workspace, table: RoutingTable, digest: str) -> None:
    """A challenger must answer what clients already send."""
    manifest = read_manifest(workspace.blobs.path(digest))
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
