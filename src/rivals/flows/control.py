"""The control process's round: ship the journals, judge, publish the table, renew the lease."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

from rivals.errors import Conflict, RivalsError
from rivals.flows.archive import Keeper
from rivals.flows.rollout import tick
from rivals.flows.triggered import due, settle
from rivals.flows.webhooks import couriers
from rivals.flows.workspace import Workspace
from rivals.serve import entries
from rivals.serve.reconcile import publish_lease, publish_table, read_table
from rivals.values import Phase

log = logging.getLogger("rivals.control")

LEASE_SECONDS = 30.0
PERIOD = {"wall": 1.0, "replay": 0.05}  # seconds between rounds: harm is judged every second
BATCH = 2_000  # entries shipped in one transaction: a rollback waits for no longer than one of them
QUICK = 0.1  # seconds between two looks for a table that a person decided on
TRIGGERS = 60.0  # seconds between two looks for a training that is due
LAST_WORD = 1.0  # seconds that a webhook under way gets at the end


@dataclass
class Control:
    """Turns evidence into the next routing table, round after round, in a thread of its own."""

    workspace: Workspace
    clock: str
    judged: float = 0.0  # everything up to here, on the endpoint's clock, was judged
    exposures: int = 0  # closed answers to clients in the store, as of the last round
    stopped: threading.Event = field(default_factory=threading.Event)
    _mirror: subprocess.Popen[bytes] | None = None
    _trainer: subprocess.Popen[bytes] | None = None
    _triggered: float = 0.0  # when a training was last looked for
    _keeper: Keeper = field(init=False)
    _publishing: threading.Lock = field(default_factory=threading.Lock)
    _behind: bool = True  # MLflow may not know the table in force

    def __post_init__(self) -> None:
        self._keeper = Keeper(self.workspace)

    def run(self) -> None:
        """Go round until stopped. A round that fails is told and tried again; the lease then runs out by itself."""
        follower = threading.Thread(target=self._follow, name="publisher")
        follower.start()
        beside = couriers(self.workspace)
        while not self.stopped.is_set():
            started = time.monotonic()
            try:
                self.round()
            except Conflict as error:  # a person was quicker; the next round sees what they did
                log.info("control.conflict endpoint=%s reason=%s", self.workspace.endpoint.name, error)
            except Exception:
                log.exception("control.round_failed endpoint=%s", self.workspace.endpoint.name)
            self.stopped.wait(max(0.0, PERIOD[self.clock] - (time.monotonic() - started)))
        follower.join()
        for courier, thread in beside:
            courier.stopped.set()
            thread.join(LAST_WORD)
        if self._mirror is not None:
            self._mirror.wait()
        if self._trainer is not None and self._trainer.poll() is None:
            self._trainer.terminate()  # whoever serves next goes on with it
            self._trainer.wait()

    def _follow(self) -> None:
        """Let the workers see what people decide at once: under load a round takes longer than a rollback may."""
        while not self.stopped.wait(QUICK):
            try:
                self._publish()
            except Exception:
                log.exception("control.publish_failed endpoint=%s", self.workspace.endpoint.name)

    def _publish(self) -> None:
        with self._publishing:  # else the later one could bring back what it read before the other
            if publish(self.workspace):
                self._behind = True

    def round(self) -> None:
        """Ship, judge, publish, renew."""
        ship(self.workspace)
        newest = self.workspace.store.latest_time(self.workspace.endpoint.name)
        now = (newest or 0.0) if self.clock == "replay" else time.time()
        if newest is not None:
            tick(self.workspace, now)
        self._publish()
        self._mirror_aliases()
        publish_lease(self.workspace.run_dir, LEASE_SECONDS)
        self._retrain(now)
        self.exposures = self.workspace.store.answered(self.workspace.endpoint.name)
        self.judged = now
        self._keeper.step(now)  # last: whatever a file system does, the lease is renewed

    def _mirror_aliases(self) -> None:
        """Let MLflow follow, in a process of its own: its being slow or away never holds up a decision."""
        if self._behind and (self._mirror is None or self._mirror.poll() is not None):
            self._behind = False
            command = [sys.executable, "-m", "rivals", "mirror", *self.workspace.command]
            self._mirror = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 -- ourselves

    def _retrain(self, now: float) -> None:
        """Let a process of its own, at the lowest priority, carry out a training that is due."""
        if self.workspace.endpoint.retrain is None or time.monotonic() - self._triggered < TRIGGERS:
            return
        self._triggered = time.monotonic()
        settle(self.workspace)
        if (self._trainer is None or self._trainer.poll() is not None) and due(self.workspace, now):
            command = [sys.executable, "-m", "rivals", "retrain", "-q", "--asked", *self.workspace.command]
            self._trainer = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 -- ourselves


def ship(workspace: Workspace) -> int:
    """Move what the workers wrote down into the store, each batch once; returns how many entries."""
    store, run_dir, shipped = workspace.store, workspace.run_dir, 0
    while batches := entries.read(run_dir, store.cursors(), BATCH):
        for batch in batches:
            store.ship(batch.file, batch.seq, batch.opens, batch.closes, batch.feedback, batch.inputs)
            shipped += len(batch.opens) + len(batch.closes) + len(batch.feedback)
    entries.forget(run_dir, store.cursors())
    return shipped


def publish(workspace: Workspace) -> bool:
    """Let the workers see the table in force, if they see another one; whether they did."""
    table = workspace.table()
    published = read_table(workspace.run_dir)
    if published is not None and published.revision == table.revision:
        return False
    publish_table(workspace.run_dir, table)
    log.info("table.published endpoint=%s revision=%d champion=%s", table.endpoint, table.revision, table.champion)
    return True


def mirror(workspace: Workspace) -> None:
    """Point MLflow's aliases at the champion and the challenger of the routing table."""
    try:
        table = workspace.table()
        running = workspace.store.active_rollout(table.endpoint)
        rival = {"challenger": running.challenger.variant} if running and running.phase is not Phase.WATCH else {}
        wanted = {"champion": table.champion} | rival
        for alias, variant in wanted.items():
            version = workspace.store.version(variant)
            if version is not None and version.number:
                workspace.tracker.alias(alias, version)
    except (RivalsError, ModuleNotFoundError) as error:
        log.warning("mlflow.alias_failed reason=%s", error)
