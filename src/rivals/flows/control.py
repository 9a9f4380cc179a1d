"""The control process's round: ship the journals, judge, learn, publish the table, renew the lease."""

from __future__ import annotations

import logging
import math
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rivals.errors import Conflict, RivalsError, StoreAway
from rivals.flows.archive import Keeper
from rivals.flows.capacity import Load, follow
from rivals.flows.drift import is_due
from rivals.flows.gauges import Gauges
from rivals.flows.learn import learn
from rivals.flows.rollout import tick
from rivals.flows.triggered import due, settle
from rivals.flows.webhooks import couriers
from rivals.flows.workspace import Workspace
from rivals.registry.leader import Leadership, OnlyHere, leadership
from rivals.serve import entries
from rivals.serve.reconcile import publish_lease, publish_table, read_table
from rivals.values import Phase

if TYPE_CHECKING:
    from rivals.flows.traces import Spans

log = logging.getLogger("rivals.control")

LEASE_SECONDS = 30.0
PERIOD = {"wall": 1.0, "replay": 0.05}  # seconds between rounds: harm is judged every second
BATCH = 2_000  # entries shipped in one transaction: a rollback waits for no longer than one of them
MOST = 2.0  # seconds of shipping in a round: the judge and the lease do not wait for a long absence to be made up
QUICK = 0.1  # seconds between two looks for a table that a person decided on
LOOK = 1.0  # seconds between two looks at who leads
FIRST, LAST = 0.5, 2.0  # seconds before a store that does not answer is asked again: doubled each time
TRIGGERS = 60.0  # seconds between two looks for a training that is due
LAST_WORD = 1.0  # seconds that a webhook under way gets at the end


@dataclass
class Control:
    """Turns evidence into the next routing table, round after round, in a thread of its own.

    Of all that share the store one leads: it judges, keeps the archive and tells MLflow and webhooks. The others ship
    what their own workers wrote, show them the table, and renew their lease for as long as somebody leads.
    """

    workspace: Workspace
    clock: str
    judged: float = 0.0  # everything up to here, on the endpoint's clock, was judged
    exposures: int = 0  # closed answers to clients in the store, as of the last round
    leads: bool = False
    stopped: threading.Event = field(default_factory=threading.Event)
    _mirror: subprocess.Popen[bytes] | None = None
    _looker: subprocess.Popen[bytes] | None = None
    _trainer: subprocess.Popen[bytes] | None = None
    _triggered: float = 0.0  # when a training was last looked for
    _keeper: Keeper = field(init=False)
    _load: Load = field(init=False)
    _leadership: Leadership = field(init=False)
    _shipper: OnlyHere = field(init=False)
    _spans: Spans | None = None
    _publishing: threading.Lock = field(default_factory=threading.Lock)
    _behind: bool = True  # MLflow may not know the table in force
    _round: float = field(default_factory=time.monotonic)  # when the last one ended
    _beaten: float = -math.inf  # when the last beat was sent
    _beats: int | None = None  # as they were last seen
    _away: float = 0.0  # since when the store does not answer; 0: it does
    _wait: float = FIRST

    def __post_init__(self) -> None:
        self._keeper, self._load = Keeper(self.workspace), Load(self.workspace)
        self._leadership = leadership(self.workspace.store, self.workspace.endpoint.name)
        self._shipper = OnlyHere(self.workspace.run_dir / "ship.lock")
        if url := self.workspace.spec.monitoring.traces:
            from rivals.flows.traces import Spans  # noqa: PLC0415 -- an extra, and only where traces are wanted

            self._spans = Spans(self.workspace.endpoint.name, url)

    def run(self) -> None:
        """Go round until stopped. A round that fails is told and tried again; the lease then runs out by itself."""
        self._lead()
        follower = threading.Thread(target=self._follow, name="publisher")
        follower.start()
        beside = couriers(self.workspace, lambda: self.leads)
        gauges = Gauges(self.workspace)
        watcher = threading.Thread(target=gauges.run, name="gauges", daemon=True)  # a figure holds up no ending
        watcher.start()
        while not self.stopped.is_set():
            started = time.monotonic()
            pause = self._tried()
            self.stopped.wait(max(0.0, pause - (time.monotonic() - started)))
        follower.join()
        self._leadership.resign()
        self._shipper.close()
        gauges.stopped.set()
        watcher.join(LAST_WORD)
        if self._spans is not None:
            closing = threading.Thread(target=self._spans.close, daemon=True)  # a collector that is away stops nobody
            closing.start()
            closing.join(LAST_WORD)
        for courier, thread in beside:
            courier.stopped.set()
            thread.join(LAST_WORD)
        for beside_it in (self._mirror, self._looker):
            if beside_it is not None:
                beside_it.wait()
        if self._trainer is not None and self._trainer.poll() is None:
            self._trainer.terminate()  # whoever serves next goes on with it
            self._trainer.wait()

    def _tried(self) -> float:
        """A round, whatever comes of it; the seconds from its beginning to the next one's."""
        name = self.workspace.endpoint.name
        try:
            self.round()
        except StoreAway as error:
            self._away = self._away or time.monotonic()
            pause, self._wait = self._wait, min(2 * self._wait, LAST)
            log.warning("store.away endpoint=%s again_in=%.1f reason=%s", name, pause, error)
            return pause
        except Conflict as error:  # a person was quicker; the next round sees what they did
            log.info("control.conflict endpoint=%s reason=%s", name, error)
        except Exception:
            log.exception("control.round_failed endpoint=%s", name)
        else:
            if self._away:
                log.warning("store.back endpoint=%s away_seconds=%.1f", name, time.monotonic() - self._away)
            self._away, self._wait = 0.0, FIRST
        return PERIOD[self.clock]

    def _follow(self) -> None:
        """Let the workers see what people decide at once: under load a round takes longer than a rollback may."""
        asked, pause = time.monotonic(), QUICK
        while not self.stopped.wait(pause):
            pause = QUICK
            try:
                if time.monotonic() - asked >= LOOK:
                    asked = time.monotonic()
                    self._lead()
                self._publish()
            except StoreAway:  # the rounds say so
                pause = FIRST
            except Exception:
                log.exception("control.publish_failed endpoint=%s", self.workspace.endpoint.name)

    def _lead(self) -> None:
        """Take the lead if it is free, or keep it. Whoever gets stuck in a round does not."""
        name, led = self.workspace.endpoint.name, self.leads
        if time.monotonic() - self._round > LEASE_SECONDS and led and not self._away:
            self._leadership.resign()
            self._round = time.monotonic()  # for another go
            self.leads = False
        else:
            self.leads = self._leadership.leads()
        if self.leads != led:
            log.info("leader.%s endpoint=%s pid=%d", "taken" if self.leads else "lost", name, os.getpid())

    def _publish(self) -> None:
        with self._publishing:  # else the later one could bring back what it read before the other
            if publish(self.workspace):
                self._behind = True

    def round(self) -> None:
        """Ship; judge and learn if it is ours to do; publish, renew."""
        if self._shipper.ours():
            # In a replay everything counts up to the newest; here what is late counts in the next round.
            ship(self.workspace, math.inf if self.clock == "replay" else MOST, self._spans)
        newest = self.workspace.store.latest_time(self.workspace.endpoint.name)
        now = (newest or 0.0) if self.clock == "replay" else time.time()
        if newest is not None and self.leads:
            if self.workspace.endpoint.capacity is not None:
                self._load.look()
            tick(self.workspace, now)
            follow(self.workspace, now)
            learn(self.workspace, now)
        self._publish()
        if self._led():
            publish_lease(self.workspace.run_dir, LEASE_SECONDS)
        self.exposures = self.workspace.store.answered(self.workspace.endpoint.name)
        self.judged = now
        self._round = time.monotonic()
        if self.leads:
            self._mirror_aliases()
            self._look_for_drift(now)
            self._retrain(now)
            self._keeper.step(now)  # last: whatever a file system does, the lease is renewed

    def _led(self) -> bool:
        """Whether somebody leads: this process, or one whose rounds go on."""
        if self.leads:
            if time.monotonic() - self._beaten >= LOOK:
                self._beaten = time.monotonic()
                self._leadership.beat()
            return True
        before, self._beats = self._beats, self._leadership.beats()
        return before is not None and before != self._beats

    def _mirror_aliases(self) -> None:
        """Let MLflow follow, in a process of its own: its being slow or away never holds up a decision."""
        if self._behind and (self._mirror is None or self._mirror.poll() is not None):
            self._behind = False
            command = [sys.executable, "-m", "rivals", "mirror", *self.workspace.command]
            self._mirror = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 -- ourselves

    def _look_for_drift(self, now: float) -> None:
        """Let a process of its own look at the windows that have ended: a large one takes seconds."""
        if (self._looker is None or self._looker.poll() is not None) and is_due(self.workspace, now):
            command = [sys.executable, "-m", "rivals", "look", "--until", repr(now), *self.workspace.command]
            self._looker = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 -- ourselves

    def _retrain(self, now: float) -> None:
        """Let a process of its own, at the lowest priority, carry out a training that is due."""
        if self.workspace.endpoint.retrain is None or time.monotonic() - self._triggered < TRIGGERS:
            return
        self._triggered = time.monotonic()
        settle(self.workspace)
        if (self._trainer is None or self._trainer.poll() is not None) and due(self.workspace, now):
            command = [sys.executable, "-m", "rivals", "retrain", "-q", "--asked", *self.workspace.command]
            self._trainer = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 -- ourselves


def ship(workspace: Workspace, seconds: float = math.inf, spans: Spans | None = None) -> int:
    """Move what the workers had written down by now into the store, each batch once; returns how many entries.

    What they go on writing meanwhile waits for the next round, and so does what is left after ``seconds``.
    """
    store, run_dir, shipped, behind = workspace.store, workspace.run_dir, 0, True
    until = time.monotonic() + seconds
    while behind and time.monotonic() < until:
        behind = False
        for batch in entries.read(run_dir, store.cursors(), BATCH):
            store.ship(batch.file, batch.seq, batch.opens, batch.closes, batch.feedback, batch.inputs)
            if spans is not None:
                spans.take(batch.turns)
            size = len(batch.opens) + len(batch.closes) + len(batch.feedback)
            behind |= size >= BATCH
            shipped += size
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
