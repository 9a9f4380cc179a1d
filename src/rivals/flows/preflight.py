"""Is this endpoint fit to act alone? A live A/A, labels that find their answers, and a rollback that workers obey.

``autonomy: act`` only recommends until all three passed; what passed counts for rollouts that start within 30 days,
and while randomisation, judging and label delay stay what they were.
"""

from __future__ import annotations

import time
from dataclasses import replace

import msgspec

from rivals.decide.judges.failures import Failures
from rivals.errors import RolloutError
from rivals.flows.begin import clock_of, rules_for
from rivals.flows.control import publish
from rivals.flows.fences import Check, Preflight, config_digest, keep_preflight, person
from rivals.flows.workspace import Workspace
from rivals.observe.evidence import advance, begin, evidence
from rivals.registry.ledger import Ledger
from rivals.serve.reconcile import read_obeyed
from rivals.statistics.assignment import slot
from rivals.statistics.ratio import ALARM, srm_log_e
from rivals.values import SLOTS, Exposure, Phase, Rollout, RoutingTable, Status, Version

MOST = 50_000  # of the newest closed exposures are looked at
LEAST = 300  # units, and matured answers, below which nothing is said
JOINED = 0.95  # share of matured answers that must have their label
OBEY = 1.0  # seconds within which every worker obeys a rollback
PATIENCE = 15.0  # seconds to wait for workers that do not
LABELLED = "quality"  # judges whose names begin so wait for labels


def run_preflight(workspace: Workspace, *, by: str = "") -> Preflight:
    """Check all three, and keep what was found. Raises ``RolloutError`` while a rollout runs: the drill would cross it.

    It publishes two tables that change nothing for clients.
    """
    store, endpoint, who = workspace.store, workspace.endpoint, person(by)
    running = store.active_rollout(endpoint.name)
    if running and running.phase is not Phase.WATCH:
        raise RolloutError(f"{running.challenger.variant!r} is being rolled out; do a preflight when that has ended.")
    now, table = clock_of(workspace), workspace.table()
    exposures = recent(workspace, table.champion)
    checks = [aa(workspace, table, exposures, now), join(workspace, table, exposures, now), drill(workspace)]
    found = Preflight(now, config_digest(workspace), tuple(checks))
    with store.transaction() as tx:
        kind = "preflight.passed" if found.passed else "preflight.not_passed"
        reason = next((one.sentence for one in checks if not one.passed), "the endpoint is fit to act alone")
        Ledger(store).append(tx, endpoint.name, kind, now, {"by": who, "reason": reason, **msgspec.to_builtins(found)})
        keep_preflight(tx, workspace, found)
    return found


def recent(workspace: Workspace, champion: str) -> list[Exposure]:
    """The champion's newest answers to clients, given while nobody else could answer."""
    store, found = workspace.store, list[Exposure]()
    cursor = max(0, store.closings() - MOST)
    while page := store.exposures_since(workspace.endpoint.name, cursor, MOST, [champion]):
        found += [one for _, one in page if not one.shadow and one.propensity.get(champion) == 1]
        cursor = page[-1][0]
    return found


# -- a live A/A ---------------------------------------------------------------------------------------------


def aa(workspace: Workspace, table: RoutingTable, exposures: list[Exposure], now: float) -> Check:
    """The champion against itself: its traffic, split by the same hash, judged by the same judge, both ways round."""
    halves = [_half(table, one) for one in exposures]
    units = {one.unit: half for one, half in zip(exposures, halves, strict=True)}
    if len(units) < LEAST:
        return Check("aa", None, f"{len(units)} units were answered by the champion alone; {LEAST} are needed")
    counts = [sum(half == side for half in units.values()) for side in (0, 1)]
    split = f"{counts[0]} and {counts[1]} units"
    if srm_log_e(counts, (1, 1)) >= ALARM:
        return Check("aa", False, f"the split is not what was promised: {split} where halves were due")
    for first in (0, 1):
        names = ("the other half", "this half")
        arms = [replace(one, variant=names[half != first], propensity=dict.fromkeys(names, 0.5))
                for one, half in zip(exposures, halves, strict=True)]  # fmt: skip
        rollout = _pretended(table, names, min(one.time for one in exposures))
        state = advance(begin(rollout), arms, (), now, rules_for(workspace, rollout, ()))
        found = evidence(state, rollout, now)
        # Only one arm failing more than the other is a difference; how often both fail is not asked here.
        found = replace(found, log_e={"failures.harm": found.log_e["failures.harm"]})
        verdict = Failures(alpha=workspace.endpoint.rollout.risk.alpha, among=2).judge(found)
        if verdict.status is Status.FAIL:
            return Check("aa", False, f"one half of the champion's own traffic: {verdict.reason}")
    failed = sum(one.outcome.value != "ok" for one in exposures)
    return Check("aa", True, f"the champion against itself: {split}, {failed} failures, no difference")


def _half(table: RoutingTable, one: Exposure) -> int:
    return int(slot(table.salt, one.unit) >= SLOTS // 2)


def _pretended(table: RoutingTable, names: tuple[str, str], started: float) -> Rollout:
    digest = table.arms[0].digest
    champion, challenger = (Version(name, digest) for name in names)
    return Rollout("preflight", table.endpoint, champion, challenger, (0.5,), 0.0, 0.0, started, started)


# -- labels find their answers ----------------------------------------------------------------------------------


def join(workspace: Workspace, table: RoutingTable, exposures: list[Exposure], now: float) -> Check:
    """Of the answers whose labels are due, enough have one; only where a judge waits for labels."""
    wish, delay = workspace.endpoint.rollout, workspace.spec.data.label_delay
    if not any(judge.name.startswith(LABELLED) for judge in wish.judges):
        return Check("labels", True, "no judge waits for labels")
    start = min((one.time for one in exposures), default=now)
    answers, labelled = workspace.store.label_join(table.endpoint, table.champion, start, now - delay)
    if answers < LEAST:
        return Check("labels", None, f"the labels of {answers} answers are due; {LEAST} are needed")
    told = f"{labelled / answers:.1%} of {answers} answers have their label, {JOINED:.0%} are needed"
    return Check("labels", labelled / answers >= JOINED, told)


# -- a rollback drill -------------------------------------------------------------------------------------------


def drill(workspace: Workspace) -> Check:
    """Publish a revision that changes nothing, then the one before it again: every worker obeys within a second."""
    if not read_obeyed(workspace.run_dir):
        return Check("drill", None, "no worker runs; `rivals serve` first")
    seconds = 0.0
    for _ in ("there", "and back"):
        table = workspace.table()
        again = replace(table, revision=table.revision + 1)
        with workspace.store.transaction() as tx:
            Ledger(workspace.store).set_table(tx, again, table.revision, clock_of(workspace))
        seconds = _obeyed(workspace, again.revision)
    if seconds >= PATIENCE:
        return Check("drill", False, f"not every worker obeyed a new table within {PATIENCE:.0f} s")
    told = f"{len(read_obeyed(workspace.run_dir))} workers obeyed within {seconds:.2f} s, {OBEY:g} s is allowed"
    return Check("drill", seconds <= OBEY, told)


def _obeyed(workspace: Workspace, revision: int) -> float:
    """Publish the table in force; seconds until every worker answers from that revision, at most ``PATIENCE``."""
    started = time.monotonic()
    publish(workspace)
    while (seconds := time.monotonic() - started) < PATIENCE:
        workers = read_obeyed(workspace.run_dir)
        if workers and all(one.revision >= revision for one in workers):
            return seconds
        time.sleep(0.01)
    return PATIENCE
