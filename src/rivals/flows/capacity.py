"""What variants bear, as it was measured; and tables that never ask more of them.

A rollout says which share a challenger is asked to have. The table gives it that share, or what its ready replicas
bear of the load, whichever is less; as replicas become ready, it follows.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec

from rivals.errors import SpecError
from rivals.flows.workspace import Workspace
from rivals.infra.scaling import Capacity, plan, replicas
from rivals.registry.ledger import Ledger
from rivals.registry.transaction import Transaction
from rivals.serve.metrics import answered
from rivals.spec.serving import CapacitySpec
from rivals.statistics.assignment import reweight
from rivals.values import Arm, Phase, RoutingTable

LOOK = 5.0  # seconds over which requests are counted
HOLD = 60.0  # seconds for which the highest load is planned for
MOVE = 0.01  # of all requests: a smaller step moves no units
MOST = 1_000  # replicas that are ever asked for


def known(workspace: Workspace, tx: Transaction | None = None) -> dict[str, Capacity]:
    """By variant, what was told last."""
    raw = (tx or workspace.store).state(_key(workspace))
    return msgspec.json.decode(raw, type=dict[str, Capacity]) if raw else {}


def tell(workspace: Workspace, variant: str, *, rate: float | None = None, ready: int | None = None) -> Capacity:
    """Keep what was measured of a variant, or how many replicas of it are ready. Raises ``SpecError``."""
    workspace.spec_variant(variant)
    with workspace.store.transaction() as tx:
        before = known(workspace, tx)
        if rate is None and variant not in before:
            raise SpecError(f"{variant!r} was never measured; say how many requests a second a replica bears.")
        one = before.get(variant) or Capacity(0.0)
        one = Capacity(one.rate if rate is None else rate, one.ready if ready is None else ready)
        if one.rate <= 0 or one.ready < 0:
            raise SpecError("A replica bears more than 0 requests a second, and there are 0 replicas or more.")
        tx.put_state(_key(workspace), msgspec.json.encode({**before, variant: one}))
    return one


def within(tx: Transaction, workspace: Workspace, before: RoutingTable, after: RoutingTable) -> RoutingTable:
    """The next table with no arm that has more than it bears; as it is where the project plans no capacity."""
    wish = workspace.endpoint.capacity
    if wish is None:
        return after
    asked = {arm.variant: arm.weight for arm in after.arms if arm.variant != after.champion}
    former = next((arm for arm in before.arms if arm.variant == before.champion), None)
    leaving = former if former and before.champion not in {arm.variant for arm in after.arms} else None
    arms = {arm.variant: arm for arm in after.arms} | ({leaving.variant: leaving} if leaving else {})
    shares = _borne(tx, workspace, wish, after.champion, asked, leaving.variant if leaving else "")
    return _with(before, after, [replace(arms[name], weight=share) for name, share in shares.items()])


def follow(workspace: Workspace, now: float) -> bool:
    """Let the table give running challengers what they are asked to have, as far as they bear it; whether it moved."""
    wish, endpoint = workspace.endpoint.capacity, workspace.endpoint.name
    if wish is None:
        return False
    with workspace.store.transaction() as tx:
        table = tx.table(endpoint)
        if table is None:
            return False
        former = {
            one.champion.variant
            for one in workspace.store.rollouts(endpoint)
            if one.phase is Phase.PROMOTED and one.challenger.variant == table.champion
        }
        running = [one for one in tx.active_rollouts(endpoint) if one.phase in {Phase.CANARY, Phase.SHADOW}]
        asked = {one.challenger.variant: one.share for one in running if one.challenger.variant != table.champion}
        arms = {arm.variant: arm for arm in table.arms}
        for one in running:
            arms.setdefault(one.challenger.variant, Arm(one.challenger.variant, one.challenger.digest, 0.0))
        leaving = [name for name in arms if name != table.champion and name not in asked]
        if (not asked and not leaving) or not former.issuperset(leaving):  # nobody rises, or a person's table
            return False
        shares = _borne(tx, workspace, wish, table.champion, asked, leaving[0] if leaving else "")
        have = {arm.variant: arm.weight for arm in table.arms}
        down = any(shares.get(name, 0.0) < have.get(name, 0.0) - 1e-9 for name in asked)
        there = any(abs(shares.get(name, 0.0) - have.get(name, 0.0)) > MOVE for name in {*shares, *have})
        if not down and not there and shares.keys() == have.keys():
            return False
        after = _with(table, table, [replace(arms[name], weight=share) for name, share in shares.items()])
        if after.arms == table.arms:
            return False
        Ledger(workspace.store).set_table(tx, replace(after, revision=table.revision + 1), table.revision, now)
    return True


def wanted(workspace: Workspace) -> dict[str, int]:
    """Replicas by variant that bear what is asked of each, now and at the peak: to be ready before the table moves."""
    wish, table = workspace.endpoint.capacity, workspace.store.table(workspace.endpoint.name)
    if wish is None or table is None:
        return {}
    asked = {arm.variant: arm.weight for arm in table.arms}
    for one in workspace.store.active_rollouts(table.endpoint):
        asked[one.challenger.variant] = max(one.share, asked.get(one.challenger.variant, 0.0))
    load = max(wish.peak, load_of(workspace))
    capacities = known(workspace)
    return {
        name: replicas(share * load, capacities[name].rate, 1, MOST, wish.headroom)
        for name, share in asked.items()
        if name in capacities
    }


def load_of(workspace: Workspace, tx: Transaction | None = None) -> float:
    """Requests a second: the most of the last minute, as the leader counted them."""
    raw = (tx or workspace.store).state(f"load/{workspace.endpoint.name}")
    return float(raw) if raw else 0.0


@dataclass
class Load:
    """Counts requests of this host's workers, and keeps the highest rate of the last minute in the store."""

    workspace: Workspace
    _counted: deque[tuple[float, int]] = field(default_factory=deque)
    _rates: deque[tuple[float, float]] = field(default_factory=deque)

    def look(self) -> None:
        """Count, and write it down."""
        name, now = self.workspace.endpoint.name, time.monotonic()
        total = sum(good + bad for good, bad, _ in answered(self.workspace.run_dir / "metrics", name).values())
        self._counted.append((now, total))
        while now - self._counted[0][0] > LOOK:
            self._counted.popleft()
        start, before = self._counted[0]
        recent = self._counted[-2] if len(self._counted) > 1 else self._counted[-1]
        rates = [(total - many) / (now - at) for at, many in ((start, before), recent) if now - at > LOOK / 10]
        self._rates.append((now, max(rates, default=0.0)))
        while now - self._rates[0][0] > HOLD:
            self._rates.popleft()
        with self.workspace.store.transaction() as tx:
            tx.put_state(f"load/{name}", repr(max(rate for _, rate in self._rates)).encode())


def _borne(
    tx: Transaction, workspace: Workspace, wish: CapacitySpec, champion: str, asked: Mapping[str, float], leaving: str
) -> Mapping[str, float]:
    """Shares by variant that the ready replicas bear, of the load there is or the one planned for."""
    load = max(wish.peak, load_of(workspace, tx))
    return plan(champion, asked, load, known(workspace, tx), headroom=wish.headroom, leaving=leaving)


def _with(before: RoutingTable, after: RoutingTable, arms: list[Arm]) -> RoutingTable:
    """``after`` with these arms; units move from where ``before`` had them, and as few as can be."""
    weights: Mapping[str, float] = {arm.variant: arm.weight for arm in arms}
    slots = reweight(before.slots, [arm.variant for arm in before.arms], list(weights), list(weights.values()))
    return replace(after, arms=tuple(arms), slots=slots)


def _key(workspace: Workspace) -> str:
    return f"capacity/{workspace.endpoint.name}"
