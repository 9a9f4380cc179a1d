"""Acting: an instruction becomes the next routing table. ``act`` does it, within the transaction that decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rivals import plugins
from rivals.errors import SpecError
from rivals.flows import capacity, fences
from rivals.flows.workspace import Workspace
from rivals.protocols import Policy
from rivals.registry.ledger import Ledger
from rivals.registry.transaction import Transaction
from rivals.statistics.assignment import reweight
from rivals.values import (
    Arm,
    Instruction,
    Notify,
    Promote,
    Retrain,
    RollBack,
    Rollout,
    RoutingTable,
    SetRoutes,
    Shadow,
    Use,
)


def act(tx: Transaction, workspace: Workspace, rollout: Rollout, instructions: Sequence[Instruction]) -> None:
    """Carry the instructions out. ``rollout`` is as it is after them."""
    others = [one for one in tx.active_rollouts(rollout.endpoint) if one.id != rollout.id]
    for instruction in instructions:
        table = tx.table(rollout.endpoint) or workspace.table()
        after = routes(table, rollout, instruction, standing_shadows(workspace, table.champion, tx), others)
        if isinstance(instruction, SetRoutes | Promote):  # who goes back goes at once, whoever bears it
            after = capacity.within(tx, workspace, table, after)
        if after != table:
            Ledger(workspace.store).set_table(tx, after, table.revision, rollout.changed)


def routes(
    table: RoutingTable,
    rollout: Rollout,
    instruction: Instruction,
    standing: Sequence[Shadow],
    others: Sequence[Rollout] = (),
) -> RoutingTable:
    """The next table: the same salt, the least movement of units, one revision up.

    ``others``: rollouts that run beside this one, as challengers of one test do; they keep the shares they have.
    """
    champion = Arm(rollout.champion.variant, rollout.champion.digest, 1.0)
    challenger = Arm(rollout.challenger.variant, rollout.challenger.digest, 1.0)
    shares: Mapping[Arm, float] = {_arm(one): one.share for one in others if one.share > 0}
    pairs = [Shadow(one.challenger.variant, one.challenger.digest) for one in others]
    named = table.named
    match instruction:
        case Promote(warm):
            first, shares = challenger, {}
            pairs = [Shadow(champion.variant, champion.digest)] if warm else []
        case RollBack():
            first = champion
            failed = rollout.challenger
            named = tuple(one for one in named if (one.variant, one.digest) != (failed.variant, failed.digest))
        case SetRoutes(share, paired):
            first, shares = champion, {**shares, **({challenger: share} if share > 0 else {})}
            pairs += [Shadow(challenger.variant, challenger.digest)] if paired else []
        case Notify() | Retrain():
            return table
    arms = (replace(first, weight=1 - sum(shares.values())), *(replace(arm, weight=shares[arm]) for arm in shares))
    names = {arm.variant for arm in arms}
    weights = {arm.variant: arm.weight for arm in arms}
    shadows = {shadow.variant: shadow for shadow in (*standing, *pairs)}
    ended = rollout.phase.final and not others
    return replace(
        table,
        revision=table.revision + 1,
        champion=first.variant,
        arms=arms,
        slots=reweight(table.slots, [arm.variant for arm in table.arms], list(weights), list(weights.values())),
        shadows=tuple(shadow for name, shadow in shadows.items() if name not in names or len(names) > 1),
        rollout="" if ended else others[-1].id if rollout.phase.final else rollout.id,
        named=named,
    )


def standing_shadows(workspace: Workspace, champion: str, tx: Transaction | None = None) -> list[Shadow]:
    """The shadows that the project file keeps at all times, but those in quarantine."""
    out = {champion, *fences.fences_of(workspace, tx).quarantined}
    wanted = [one for one in workspace.endpoint.shadows if one.variant not in out]
    return [Shadow(one.variant, workspace.trained(one.variant).digest, one.share) for one in wanted]


def named_arms(workspace: Workspace, use: Use, tx: Transaction | None = None) -> tuple[Arm, ...]:
    """Whom policy and fallback name, but those in quarantine. Raises ``RivalsError`` where one cannot answer."""
    policy = plugins.make(Policy, use)
    out, known = fences.fences_of(workspace, tx).quarantined, [one.name for one in workspace.spec.variants]
    arms = []
    policed: frozenset[str] = getattr(policy, "variants", frozenset())
    for name in sorted({*policed, *workspace.endpoint.fallback}):
        key = "policy" if name in policed else "fallback"
        if name not in known:
            raise SpecError(f"endpoint.{key}: there is no variant {name!r}.{plugins.nearest(name, known)}")
        digest = workspace.trained(name).digest
        if name not in out:
            arms.append(Arm(name, digest, 0.0))
    return tuple(arms)


def _arm(rollout: Rollout) -> Arm:
    return Arm(rollout.challenger.variant, rollout.challenger.digest, 1.0)
