"""``rivals autopilot``: a stream through the whole loop in virtual time: serve, watch, retrain, roll out.

It is a rehearsal: beside the project, in ``.rivals/autopilot``, with everything that is not on the wire as it is in
service: the routing table, exposures, feedback, evidence, judges, fences and ledger, triggers and trainings. Only the
clock is the rows' own. It acts alone, whatever ``autonomy`` says, and nobody's endpoint is touched.
"""

from __future__ import annotations

import math
import os
import resource
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rivals import plugins
from rivals.bundles import read_manifest
from rivals.errors import DataError, RivalsError
from rivals.flows import fences
from rivals.flows.fences import Check, Preflight
from rivals.flows.reading import anchored
from rivals.flows.retrain import retrain
from rivals.flows.rollout import tick
from rivals.flows.serve import endpoint_config, first_table
from rivals.flows.sweep import Sweep, within
from rivals.flows.train import train_project
from rivals.flows.triggered import consider, settle
from rivals.flows.virtual import Road, Stream, stream_of
from rivals.flows.watcher import Watcher
from rivals.flows.workspace import Workspace
from rivals.protocols import Source
from rivals.registry.blobs import Blobs
from rivals.registry.ledger import Entry, Ledger
from rivals.registry.store import Store
from rivals.serve.reconcile import publish_endpoint
from rivals.spec.project import StoreSpec
from rivals.spec.watching import RetrainSpec
from rivals.values import Cause, Use

Floats = NDArray[np.float64]
LOOKS = 4  # a block: what is due is done so often
FOLDER = "autopilot"


@dataclass(frozen=True, slots=True)
class Flown:
    """A stream that went through the loop: who said what, what was decided, and what it cost.

    ``served`` (rows, k) is what clients got, ``alone`` what the first champion would have said.
    """

    workspace: Workspace
    stream: Stream
    served: Floats
    alone: Floats
    by: NDArray[np.object_]
    champion: str  # the first one
    trainings: int  # the first one counts
    sweeps: tuple[Sweep, ...]
    entries: tuple[Entry, ...]
    seconds: float  # without trainings
    cpu_seconds: dict[str, float] = field(default_factory=dict)


class Rehearsal(Workspace):
    """A project beside the project: what is built is shared, what is remembered is its own."""

    @cached_property
    def state(self) -> Path:
        """A folder of its own."""
        folder = self.folder / ".rivals" / FOLDER
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    @cached_property
    def store(self) -> Store:
        """A store of its own. It is deleted before the next rehearsal, so nobody waits for the disk."""
        return Store(self.store_url, lasting=False)

    @cached_property
    def blobs(self) -> Blobs:
        """The project's own bundles: they are named by what is in them."""
        return Blobs(self.folder / ".rivals" / "bundles")


def autopilot(
    workspace: Workspace,
    frame: pd.DataFrame | None = None,
    *,
    due: str | None = None,
    speed: float | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Flown:
    """Stream rows (the project's own source after its training window, where none are given) through the loop.

    ``due`` names a column that says when each label comes; else it is ``data.label_delay`` after the row. ``speed`` is
    that of the virtual clock, as a multiple of the real one; as fast as the machine allows where nothing is said.
    Raises ``DataError`` where there is nothing to stream.
    """
    began, spent = time.monotonic(), _cpu()
    rehearsal = rehearse(workspace)
    report = train_project(rehearsal)
    table = first_table(rehearsal)
    publish_endpoint(rehearsal.run_dir, endpoint_config(rehearsal, "replay"))
    first = next(arm.digest for arm in table.arms if arm.variant == table.champion)
    manifest = read_manifest(rehearsal.blobs.path(first))
    source = plugins.make(Source, anchored(rehearsal, rehearsal.spec.data.source)).read()
    until = float(manifest.lineage.get("trained_until", -math.inf))
    stream = stream_of(rehearsal, source if frame is None else frame, manifest.signature.labels, due)
    stream = _after(stream, until)
    pilot = _Pilot(rehearsal, stream, source, say, speed)
    pilot.cpu["training"] = _cpu() - spent
    pilot.training_seconds = time.monotonic() - began
    say(f"{table.champion} answers first; {len(stream)} rows follow, {report.seconds:.0f} s were spent on building")
    pilot.fly()
    alone = pilot.road.opened(first).predict(_columns(stream, manifest.signature))
    pilot.cpu["everything else"] = _cpu() - spent - pilot.cpu["training"]
    entries = tuple(Ledger(rehearsal.store).entries(rehearsal.endpoint.name))
    return Flown(
        rehearsal, stream, pilot.road.served, alone, pilot.road.by, table.champion, 1 + len(pilot.sweeps),
        tuple(pilot.sweeps), entries, time.monotonic() - began - pilot.training_seconds, pilot.cpu,
    )  # fmt: skip


def rehearse(workspace: Workspace) -> Rehearsal:
    """The project as a rehearsal: nothing remembered, the variants built before lent to it, acting alone."""
    spec, endpoint = workspace.spec, workspace.endpoint
    alone = endpoint.model_copy(
        update={
            "autonomy": "act", "webhooks": (), "windows": (), "approval": None, "capture": None, "holdout": 0.0,
            "layer": None, "reference": None, "retrain": endpoint.retrain or RetrainSpec(),
        }
    )  # fmt: skip
    tracking = spec.tracking.model_copy(update={"uri": None})  # a rehearsal is nothing that others should see
    changed = spec.model_copy(update={"endpoint": alone, "tracking": tracking, "store": StoreSpec()})
    found = Rehearsal(changed, workspace.file, workspace.overlay, workspace.above)
    shutil.rmtree(found.state)
    del found.__dict__["state"]
    _lend(workspace, found)
    return found


def _lend(workspace: Workspace, rehearsal: Rehearsal) -> None:
    """What the project has built already need not be built again."""
    (rehearsal.state / "bank").mkdir(mode=0o700)
    with rehearsal.store.transaction() as tx:
        for one in reversed(workspace.store.runs()):
            there = workspace.state / "bank" / one.wish
            if not there.exists():
                continue
            mine = rehearsal.state / "bank" / one.wish
            if not mine.exists():
                mine.symlink_to(there, target_is_directory=True)
            newest = workspace.store.trained(one.variant)
            version = workspace.store.version(one.variant)
            if newest is not None and version is not None and newest.wish == one.wish:
                tx.put_trained(one, replace(version, number=0), workspace.store.trained_extras(one.variant))


def _after(stream: Stream, until: float) -> Stream:
    """The rows after the champion's training. Raises ``DataError`` where there is none."""
    kept = np.flatnonzero(stream.time > until)
    if not len(kept):
        raise DataError(
            "No row is later than what the champion was trained on; give the traffic as DATA, or hold rows out."
        )
    if len(kept) == len(stream):
        return stream
    rows = kept.tolist()
    return Stream(
        stream.frame.iloc[kept].reset_index(drop=True), stream.time[kept], stream.due[kept], stream.labels,
        stream.target[kept], [stream.ids[row] for row in rows], [stream.units[row] for row in rows],
    )  # fmt: skip


def _columns(stream: Stream, signature: Any) -> Any:
    from rivals.bundles import columns_of  # noqa: PLC0415 -- beside its one use

    return columns_of(stream.frame, signature)


class _Pilot:
    """The loop under way."""

    def __init__(
        self, workspace: Rehearsal, stream: Stream, source: pd.DataFrame, say: Callable[[str], None],
        speed: float | None,
    ) -> None:  # fmt: skip
        self.workspace, self.stream, self.source, self.say, self.speed = workspace, stream, source, say, speed
        self.road = Road(workspace, stream, Random(workspace.spec.seed))  # noqa: S311 -- routing, not secrets
        self.sweeps: list[Sweep] = []
        self.cpu: dict[str, float] = {}
        self.training_seconds = 0.0
        wish, data = workspace.endpoint.rollout, workspace.spec.data
        self.block = wish.block
        metric = wish.metric or ("squared" if data.answers == "regression" else "brier")
        learned = source[[name for name in self._signature() if name in source.columns]]
        self.watcher = Watcher(stream, learned, wish.block, data.label_delay, metric)
        self.said = 0

    def fly(self) -> None:
        """From the first row to the last."""
        start, real, first = float(self.stream.time[0]), time.monotonic(), 0
        step = self.block / LOOKS
        self._fit(start)
        for number in range(1, math.ceil((float(self.stream.time[-1]) - start) / step) + 2):
            now = start + number * step
            last = int(np.searchsorted(self.stream.time, now, side="right"))
            self.road.drive(first, last, now)
            first = last
            tick(self.workspace, now)
            settle(self.workspace)
            self._watch(now)
            self._tell()
            if self.speed:
                time.sleep(max(0.0, (now - start) / self.speed - (time.monotonic() - real)))

    def _fit(self, now: float) -> None:
        """What a preflight would find: nobody is answered here, so there is nothing that could be unfit."""
        told = "a rehearsal: rows are answered in this process"
        checks = tuple(Check(name, True, told) for name in ("aa", "labels", "drill"))
        found = Preflight(now, fences.config_digest(self.workspace), checks)
        with self.workspace.store.transaction() as tx:
            fences.keep_preflight(tx, self.workspace, found)

    def _watch(self, now: float) -> None:
        """Look at what has come; train where that is due."""
        self._retrain(self.watcher.look(now, self.workspace.table().champion, self.road.champion), now)

    def _signature(self) -> list[str]:
        table = self.workspace.table()
        digest = next(arm.digest for arm in table.arms if arm.variant == table.champion)
        return [one.name for one in read_manifest(self.workspace.blobs.path(digest)).signature.inputs]

    def _labelled(self, start: float, now: float) -> NDArray[np.intp]:
        first, last = np.searchsorted(self.stream.time, [start, start + self.block], side="left")
        rows = np.arange(first, last)
        return rows[self.stream.due[rows] <= now]

    def _retrain(self, cause: Cause, now: float) -> None:
        if self.workspace.store.active_rollouts(self.workspace.endpoint.name):
            return  # one thing at a time; what was found is still there when it has ended
        asked = consider(self.workspace, cause, now, rows=int((self.stream.due <= now).sum()))
        if asked is None:
            return
        began, spent = time.monotonic(), _cpu()
        self._fit(now)
        known = self.stream.frame[self.stream.due <= now]
        rows = pd.concat([self.source, known[[name for name in self.source.columns if name in known]]])
        rows = rows.drop_duplicates(ignore_index=True)
        try:
            self.sweeps.append(retrain(self.workspace, rows, asked, now))
        except RivalsError as error:
            self.say(f"{_date(now)}  training failed: {error}")
        self.watcher.learn(within(self.workspace, rows, asked.since, now))
        self.cpu["training"] += _cpu() - spent
        self.training_seconds += time.monotonic() - began

    def _tell(self) -> None:
        """Say what was decided since the last look."""
        for entry in Ledger(self.workspace.store).entries(self.workspace.endpoint.name, after=self.said):
            self.said = entry.seq
            if line := told(entry):
                self.say(line)


def told(entry: Entry) -> str:
    """A line of the story; empty where an entry tells none."""
    body = entry.body
    match entry.kind:
        case "retrain.started" | "retrain.notice":
            what = "training" if entry.kind == "retrain.started" else "notice"
            return f"{_date(entry.time)}  {what}: {body.get('reason') or body.get('message', '')}"
        case "retrain.built":
            return f"{_date(entry.time)}  {body['challenger']} is built: {body['verdict']['reason']}"
        case "retrain.refused" | "retrain.failed":
            return f"{_date(entry.time)}  {entry.kind.split('.')[1]}: {body['reason']}"
        case "rollout.judged" if body["instructions"]:
            done = ", ".join(one["kind"] for one in body["instructions"])
            why = body["reason"] or body["verdict"]["reason"]
            return f"{_date(entry.time)}  {body['challenger']} {body['phase']} {body['share']:.0%} ({done}): {why}"
        case _:
            return ""


def read_data(workspace: Workspace, named: str) -> pd.DataFrame:
    """The traffic by its name: a Parquet or CSV file or folder, or ``module:function``. Raises ``RivalsError``."""
    if ":" in named and not Path(named).exists():
        return plugins.make(Source, Use("function", {"function": named})).read()
    kind = "csv" if Path(named).suffix.lower() in {".csv", ".gz", ".tsv"} else "parquet"
    return plugins.make(Source, anchored(workspace, Use(kind, {"path": os.fspath(Path(named).resolve())}))).read()


def _date(epoch: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(epoch))


def _cpu() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)
