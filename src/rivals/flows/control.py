"""The control process's round: ship the journals, judge, publish the table, renew the lease."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field

from rivals.errors import Conflict, RivalsError
from rivals.flows.rollout import tick
from rivals.flows.workspace import Workspace
from rivals.serve import journal
from rivals.serve.reconcile import publish_lease, publish_table, read_table
from rivals.values import Phase, Rollout

log = logging.getLogger("rivals.control")

LEASE_SECONDS = 30.0
PERIOD = {"wall": 1.0, "replay": 0.05}  # seconds between rounds: harm is judged every second
BATCH = 20_000


@dataclass
class Control:
    """Turns evidence into the next routing table, round after round, in a thread of its own."""

    workspace: Workspace
    clock: str
    judged: float = 0.0  # everything up to here, on the endpoint's clock, was judged
    exposures: int = 0  # closed answers to clients in the store, as of the last round
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Go round until stopped. A round that fails is told and tried again; the lease then runs out by itself."""
        while not self.stopped.is_set():
            started = time.monotonic()
            try:
                self.round()
            except Conflict as error:  # a person was quicker; the next round sees what they did
                log.info("control.conflict endpoint=%s reason=%s", self.workspace.endpoint.name, error)
            except Exception:
                log.exception("control.round_failed endpoint=%s", self.workspace.endpoint.name)
            self.stopped.wait(max(0.0, PERIOD[self.clock] - (time.monotonic() - started)))

    def round(self) -> None:
        """Ship, judge, publish, renew."""
        ship(self.workspace)
        newest = self.workspace.store.latest_time(self.workspace.endpoint.name)
        now = (newest or 0.0) if self.clock == "replay" else time.time()
        if newest is not None:
            after = tick(self.workspace, now)
            self._mirror(after)
        publish(self.workspace)
        publish_lease(self.workspace.run_dir, LEASE_SECONDS)
        self.exposures = self.workspace.store.answered(self.workspace.endpoint.name)
        self.judged = now

    def _mirror(self, after: Rollout | None) -> None:
        """Repair MLflow's aliases from a decision; MLflow being away never holds one up."""
        if after is None or after.phase is not Phase.PROMOTED:
            return
        threading.Thread(target=mirror_champion, args=(self.workspace,), daemon=True).start()


def ship(workspace: Workspace) -> int:
    """Move what the workers wrote down into the store, each batch once; returns how many entries."""
    store, run_dir, shipped = workspace.store, workspace.run_dir, 0
    while batches := journal.read(run_dir, store.cursors(), BATCH):
        for batch in batches:
            store.ship(batch.file, batch.seq, batch.opens, batch.closes, batch.feedback)
            shipped += len(batch.opens) + len(batch.closes) + len(batch.feedback)
    journal.forget(run_dir, store.cursors())
    return shipped


def publish(workspace: Workspace) -> None:
    """Let the workers see the table in force, if they see another one."""
    table = workspace.table()
    published = read_table(workspace.run_dir)
    if published is None or published.revision != table.revision:
        publish_table(workspace.run_dir, table)
        log.info("table.published endpoint=%s revision=%d champion=%s", table.endpoint, table.revision, table.champion)


def mirror_champion(workspace: Workspace) -> None:
    """Point MLflow's alias at the champion of the routing table."""
    try:
        table = workspace.table()
        version = workspace.store.version(table.champion)
        if version is not None and version.number:
            workspace.tracker.alias("champion", version)
    except RivalsError as error:
        log.warning("mlflow.alias_failed reason=%s", error)
