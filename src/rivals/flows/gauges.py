"""The control process's own figures, for everyone who reads metrics: evidence, steps, quality, lags, objectives.

They are written beside the workers' counters, where every ``/metrics`` finds them, and go to Datadog's agent if one is
named. A thread of its own: no decision waits for a figure.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
import sqlalchemy as sa

from rivals.errors import RivalsError, RolloutError, StoreAway
from rivals.flows.begin import clock_of
from rivals.flows.status import learning, live_scores
from rivals.flows.workspace import Workspace
from rivals.metrics import LABELLED, PARTS, series
from rivals.observe.evidence import EvidenceState, evidence
from rivals.observe.monitoring.datadog import datagrams, lines
from rivals.observe.monitoring.rules import Promise
from rivals.observe.objectives import Detector, asked, look
from rivals.registry import schema
from rivals.registry.lags import Lags, lags_key
from rivals.serve.exposition import everything, publish_gauges, replace
from rivals.serve.metrics import totals
from rivals.serve.processes import as_series, usage
from rivals.values import Phase, Rollout

log = logging.getLogger("rivals.gauges")

PERIOD = 1.0  # seconds between two rounds
SCORED = 15.0  # seconds between two looks at the quality, which reads thousands of answers
RECENT = 20_000  # answers whose labels have had the time to come, over all variants
SENT = 10.0  # seconds between two messages to Datadog's agent


@dataclass
class Gauges:
    """Computes and publishes the figures, round after round."""

    workspace: Workspace
    stopped: threading.Event = field(default_factory=threading.Event)
    _quality: Mapping[str, float] = field(default_factory=dict)
    _scored: float = float("-inf")
    _sent: float = float("-inf")

    def run(self) -> None:
        """Go round until stopped; what fails is told, and tried again."""
        while not self.stopped.wait(PERIOD):
            try:
                self.round()
            except StoreAway as error:  # the control process says so, and when it is back
                log.info("gauges.waiting endpoint=%s reason=%s", self.workspace.endpoint.name, error)
            except Exception:
                log.exception("gauges.round_failed endpoint=%s", self.workspace.endpoint.name)
        with suppress(RivalsError, OSError):
            self.send()

    def round(self) -> None:
        """Publish everything as it is now."""
        workspace, name, now = self.workspace, self.workspace.endpoint.name, time.monotonic()
        if now - self._scored >= SCORED:
            self._quality, self._scored = quality(workspace), now
        samples = {**decisions(workspace), **self._quality, **lags(workspace), **objectives(workspace)}
        if own := usage(os.getpid()):
            samples |= as_series(own, name, process="control")
        samples[series("rivals_control_round_timestamp_seconds", endpoint=name)] = time.time()
        publish_gauges(workspace.run_dir, "control", samples)
        if now - self._sent >= SENT:
            self._sent = now
            self.send()

    def send(self) -> None:
        """Tell Datadog's agent what was counted since the last time, if one is named.

        What was sent is kept before it is sent: a process that dies in between loses it, and nothing counts twice.
        """
        address = self.workspace.spec.monitoring.agent
        if address is None:
            return
        now = everything(self.workspace.run_dir, self.workspace.table())
        path = self.workspace.run_dir / "metrics" / "dogstatsd.sent"
        try:
            sent = msgspec.json.decode(path.read_bytes(), type=dict[str, float])
        except (OSError, msgspec.MsgspecError):
            sent = {}
        said = list(datagrams(lines(now, sent)))
        replace(path, {one: value for one, value in now.items() if PARTS[one.partition("{")[0]].kind != "gauge"})
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as link:
            for datagram in said:
                with suppress(OSError):  # nobody listens there just now; the next message says what it missed not
                    link.sendto(datagram, address)


def decisions(workspace: Workspace) -> dict[str, float]:
    """Of every running rollout: its step, and the evidence for and against it; and what the policy has learned."""
    store, name, found = workspace.store, workspace.endpoint.name, dict[str, float]()
    for figure, value in learning(workspace).get("figures", {}).items():
        found[series("rivals_policy_figure", endpoint=name, figure=figure)] = float(value)
    for rollout in store.active_rollouts(name):
        step = rollout.step + 1 if rollout.phase is not Phase.WATCH else len(rollout.steps) + 1
        found[series("rivals_rollout_step", endpoint=name, variant=rollout.challenger.variant)] = float(step)
        if raw := store.state(f"evidence/{rollout.id}"):
            found |= _evidence(msgspec.json.decode(raw, type=EvidenceState), rollout)
    return found


def _evidence(state: EvidenceState, rollout: Rollout) -> dict[str, float]:
    """Logarithms by judge and claim; of a claim about many slices, the furthest."""
    pair, found = f"{state.champion}/{state.challenger}", dict[str, float]()
    for name, value in evidence(state, rollout, rollout.changed).log_e.items():
        judge, _, claim = name.partition("/")[0].partition(".")
        one = series("rivals_evidence", endpoint=rollout.endpoint, judge=judge, claim=claim, pair=pair)
        found[one] = max(value, found.get(one, value))
    return found


def quality(workspace: Workspace) -> dict[str, float]:
    """The project's metrics, by variant, over the latest answers whose labels have had the time to come."""
    name, one = workspace.endpoint.name, schema.exposures.c
    try:
        end = clock_of(workspace) - workspace.spec.data.label_delay
    except RolloutError:
        return {}
    query = sa.select(one.time).where(one.endpoint == name, one.time < end).order_by(one.time.desc())
    oldest = workspace.store.rows(query.offset(RECENT - 1).limit(1))
    start = oldest[0][0] if oldest else float("-inf")
    variants = sorted(workspace.store.counts(name))
    return {
        series("rivals_quality", endpoint=name, metric=metric, variant=variant): value
        for variant, metrics in live_scores(workspace, variants, start, end).items()
        for metric, value in metrics.items()
        if metric != "labelled"
    }


def lags(workspace: Workspace) -> dict[str, float]:
    """How long labels took, as a histogram."""
    name, metric = workspace.endpoint.name, "rivals_feedback_lag_seconds"
    raw = workspace.store.state(lags_key(name))
    kept = msgspec.json.decode(raw, type=Lags) if raw else Lags()
    found = {
        series(f"{metric}_bucket", endpoint=name, le=str(bound)): float(count)
        for bound, count in zip((*LABELLED, "+Inf"), kept.counts, strict=True)
    }
    found[series(f"{metric}_sum", endpoint=name)] = kept.seconds
    found[series(f"{metric}_count", endpoint=name)] = float(sum(kept.counts))
    return found


def objectives(workspace: Workspace) -> dict[str, float]:
    """The evidence that an objective is missed, taken further by what was counted since the last time."""
    name, path = workspace.endpoint.name, workspace.run_dir / "metrics" / "objectives.json"
    promised = promise(workspace)
    try:
        before = msgspec.json.decode(path.read_bytes(), type=dict[str, Detector])
    except (OSError, msgspec.MsgspecError):
        before = {}
    counted = asked(totals(workspace.run_dir / "metrics"), promised.latency_seconds)
    after = {
        objective: look(before.get(objective), good, bad, promised.budgets[objective])
        for objective, (good, bad) in counted.items()
    }
    if after != before:
        replace(path, after)
    return {
        series("rivals_objective_evidence", endpoint=name, objective=objective): one.evidence
        for objective, one in after.items()
    }


def promise(workspace: Workspace) -> Promise:
    """What the project promises, for rules and evidence alike."""
    wish = workspace.spec.monitoring
    return Promise(wish.availability, wish.latency_ms / 1e3)
