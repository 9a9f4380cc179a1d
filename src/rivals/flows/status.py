"""What runs, what was decided, and why one request went where it went."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from rivals.bundles import read_manifest
from rivals.errors import RolloutError
from rivals.flows import fences
from rivals.flows.begin import clock_of
from rivals.flows.learn import learned_of
from rivals.flows.webhooks import webhooks_of
from rivals.flows.workspace import Workspace
from rivals.observe.outcomes import mean_rewards
from rivals.registry.ledger import Ledger
from rivals.statistics.layers import exported
from rivals.statistics.losses import ALIASES, METRICS, score
from rivals.values import Rollout, Verdict


def status_of(workspace: Workspace) -> dict[str, Any]:
    """Champion, weights, rollout, last verdict, counts against the weights, live scores on the labels so far."""
    table, store = workspace.table(), workspace.store
    counts = store.counts(table.endpoint)
    return {
        "endpoint": table.endpoint,
        "revision": table.revision,
        "champion": table.champion,
        "weights": {arm.variant: arm.weight for arm in table.arms},
        "shadows": [shadow.variant for shadow in table.shadows],
        "rollout": rollout_of(workspace),
        "counts": counts,
        "expected": store.expected(table.endpoint),
        "scores": live_scores(workspace, sorted(counts)),
        "rewards": live_rewards(workspace),
        "learned": learning(workspace),
        "fences": fences.told(workspace, store.active_rollout(table.endpoint), _now(workspace)),
        "webhooks": webhooks_of(workspace),
    }


def learning(workspace: Workspace) -> dict[str, Any]:
    """What a policy that learns knows by now; empty where the policy does not."""
    learned, table = learned_of(workspace), workspace.table()
    if learned is None or learned.use != table.policy:
        return {}
    return {
        "policy": learned.use.name,
        "until": learned.next_block,  # what was decided before is learned
        "weights": dict(learned.state.get("weights", {})),
        "in_force": dict(table.state.get("weights", {})),
        "figures": dict(learned.state.get("figures", {})),
    }


def _now(workspace: Workspace) -> float:
    """Now, on the endpoint's clock; 0 before a replay's first row."""
    try:
        return clock_of(workspace)
    except RolloutError:
        return 0.0


def rollout_of(workspace: Workspace) -> dict[str, Any]:
    """The running rollout or else the last one, with its newest verdict; empty if there never was one.

    ``fellows``: the others of the same test. ``watch``: what follows a promotion.
    """
    known = workspace.store.rollouts(workspace.endpoint.name)
    if not known:
        return {}
    watch = known[-1] if known[-1].strategy == "watch" else None
    rollouts = [one for one in known if one.strategy != "watch"]
    running = [one for one in rollouts if not one.phase.final]
    newest = (running or rollouts)[-1]
    fellows = [one for one in rollouts if one.base_revision == newest.base_revision and one.id != newest.id]
    return {
        **_told(workspace, newest),
        "fellows": [_told(workspace, one) for one in fellows],
        "watch": _told(workspace, watch) if watch else None,
    }


def _told(workspace: Workspace, rollout: Rollout) -> dict[str, Any]:
    raw = workspace.store.state(f"verdict/{rollout.id}")
    verdict = msgspec.json.decode(raw, type=Verdict) if raw else None
    return {**msgspec.to_builtins(rollout), "share": rollout.share, "verdict": msgspec.to_builtins(verdict)}


def live_scores(
    workspace: Workspace, variants: list[str], start: float = -math.inf, end: float = math.inf
) -> dict[str, dict[str, float]]:
    """Metrics per variant over its own labelled answers to clients in the time [start, end), float64."""
    # Scorers that only scikit-learn has are for offline comparison: serving does not carry it.
    ours = [name for name in workspace.spec.measures if ALIASES.get(name, name) in METRICS]
    classes = read_manifest(workspace.blobs.path(workspace.table().arms[0].digest)).signature.labels or None
    found = {}
    for variant in variants:
        outputs, labels = workspace.store.labelled(workspace.endpoint.name, variant, start, end)
        # A class that no variant knows, or nonsense that somebody sent, says nothing about how good they are.
        known = [label in classes for label in labels] if classes else [True] * len(labels)
        outputs, labels = outputs[known], labels[known]
        if len(labels):
            metrics = {name: score(name, labels, outputs, labels=classes) for name in ours}
            found[variant] = {**metrics, "labelled": float(len(labels))}
    return found


def live_rewards(workspace: Workspace) -> dict[str, dict[str, float]]:
    """Mean reward of a unit by variant, over the answers whose rewards have had the time to come."""
    name = workspace.endpoint.name
    if workspace.store.latest_time(name) is None:
        return {}
    mature = workspace.store.rewarded(name, end=clock_of(workspace) - workspace.spec.data.label_delay)
    return {variant: {"mean": mean, "units": float(units)} for variant, (mean, units) in mean_rewards(mature).items()}


def history_of(workspace: Workspace) -> list[dict[str, Any]]:
    """The ledger's entries of the endpoint, oldest first."""
    entries = Ledger(workspace.store).entries(workspace.endpoint.name)
    return [msgspec.to_builtins(entry) for entry in entries]


def assignment_of(workspace: Workspace) -> dict[str, Any]:
    """The routing table as any language can follow it."""
    return exported(workspace.table())
