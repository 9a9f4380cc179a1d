"""A build under way: rows and features laid down once, variants built side by side and registered as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from rivals.build import bank, receipt
from rivals.build.bank import Bank
from rivals.build.bundle import write, write_ensemble, write_remote
from rivals.build.child import PipelinePredictor
from rivals.build.evaluate import measure, scores
from rivals.build.leftovers import PIPELINE
from rivals.build.pipeline import StepsJob, keep, kept, share
from rivals.build.plan import Plan, search_key
from rivals.build.receipt import Made
from rivals.build.rows import Rows, narrowed, prepare
from rivals.build.sets import divide, further
from rivals.build.train import READY, Fitted, Job, pipeline, train
from rivals.build.whole import is_whole
from rivals.bundles import columns_of
from rivals.ensemble.family import Blend, blend, known
from rivals.errors import DataError, RivalsError
from rivals.flows import limits, provenance, tracked
from rivals.flows.events import BuildEvent
from rivals.flows.held import held_out
from rivals.flows.past import Past, past, take
from rivals.flows.reading import Data
from rivals.flows.schema import remember_schema
from rivals.flows.trial import options, plain
from rivals.flows.tune import Bench, searches, tune
from rivals.flows.workspace import Workspace
from rivals.plugins import make
from rivals.protocols import Backend, Combiner, Lesson, Looking
from rivals.registry.blobs import Blobs
from rivals.registry.lineage import Lineage, lineage
from rivals.remote import Remote
from rivals.rules import TIME
from rivals.serve.runtimes import predictor
from rivals.spec.project import BUILD, MAIN, VariantSpec
from rivals.tune.search import Search, Tried
from rivals.values import Columns, Trained, Use, Version


@dataclass(frozen=True, slots=True)
class Order:
    """All that one process needs to build one variant and to write its bundle."""

    job: Job
    bundles: Path
    lineage: Mapping[str, Any]
    members: Mapping[str, str]  # of an ensemble: digests by name
    banks: Mapping[str, Path]  # of an ensemble: the members' predictions
    combiner: Use | None = None
    cost: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # of members: milliseconds a row, and MB
    ordered: bool = False  # folds follow one another in time
    deadline_ms: float | None = None
    quorum: int | None = None
    past: Past | None = None  # built already, by another run


def build_one(order: Order) -> Made:
    """Fit one variant and write its bundle. A task for a ``Backend``: it runs in a process of its own."""
    if order.past:
        taken = take(order.job, order.bundles, order.past)
        receipt.keep(taken)
        return taken
    rows, division = kept(order.job.rows)
    fitted, blended = combine(order) if order.combiner else (train(order.job), None)
    inputs = rows.inputs.iloc[division.train][[column.name for column in fitted.signature.inputs]]
    facts: dict[str, Any] = {"metrics": dict(fitted.scores.metrics), "lineage": dict(order.lineage)}
    facts["known"] = held_out(fitted, rows, division, inputs)
    if rows.time is not None and order.job.family.name != READY:
        facts["lineage"]["trained_until"] = float(rows.time[division.train].max())
    if blended:
        made = write_ensemble(
            order.bundles,
            {name: order.members[name] for name in blended.members},
            blended.combiner,
            inputs,
            runtime=partial(predictor, alone=PipelinePredictor),
            opener=Blobs(order.bundles).path,
            deadline_ms=order.deadline_ms,
            quorum=order.quorum,
            columns=rows.signature.inputs,
            **facts,
        )
    elif isinstance(found := pipeline(fitted), Remote):
        made = write_remote(order.bundles, found, inputs, **facts)
    else:
        made = write(order.bundles, found, fitted.signature, inputs, runtime=predictor, **facts)
    built = Made(fitted, made)
    receipt.keep(built)
    return built


def combine(order: Order) -> tuple[Fitted, Blend]:
    """An ensemble from the bank: no refit, and honest, for nobody saw the rows it is judged by."""
    assert order.combiner is not None
    started = time.perf_counter()
    banked = {name: bank.read(folder) for name, folder in order.banks.items()}
    first, *others = banked.values()
    if not all(np.array_equal(one.ids, first.ids) and np.array_equal(one.fold, first.fold) for one in others):
        raise DataError(f"The members {', '.join(banked)} answered different rows; build them on the same data.")
    rows, _ = kept(order.job.rows)
    looks = isinstance(make(Combiner, order.combiner), Looking)
    lesson = Lesson(
        {name: one.outputs for name, one in banked.items()}, first.target, first.task, order.job.metrics[0],
        first.weight, order.cost, order.job.seed, seen(rows, first) if looks else None,
    )  # fmt: skip
    blended = blend(order.combiner, lesson, first.fold, ordered=order.ordered)
    said = replace(first, outputs=blended.outputs)
    bank.write(order.job.into, said)
    seconds = time.perf_counter() - started
    measured = scores(said, order.job.metrics)
    return Fitted(order.job.variant, order.job.into, rows.signature, measured, seconds), blended


def seen(rows: Rows, banked: Bank) -> Columns:
    """What a combiner may look at of the rows of a bank: their inputs, and their time."""
    places = {one: place for place, one in enumerate(rows.ids)}
    found = columns_of(rows.inputs.iloc[[places[one] for one in banked.ids]], rows.signature)
    return found if banked.time is None else Columns({**found.values, TIME: banked.time.tolist()}, found.rows)


@dataclass
class Building:
    """One build under way."""

    workspace: Workspace
    plan: Plan
    data: Data
    work: Path
    backend: Backend
    tell: Callable[[BuildEvent], None]
    failed: dict[str, str]
    notes: list[str]

    def build(self) -> None:
        """Build every wave. Raises ``RivalsError`` before anything is built where something cannot be."""
        spec = self.workspace.spec
        for metric in spec.measures:
            measure(metric, spec.data.task)  # refused here, not after an hour of fitting
        for variant in (spec.variant(name) for wave in self.plan.waves for name in wave):
            if variant.members:
                known(make(Combiner, variant.combiner), variant.members)
        keys = {name: search_key(asked) for name, asked in self.plan.asked.items()}
        tuned = [name for wave in self.plan.waves for name in wave if spec.variant(name).tune]
        self.opening = Thread(target=self._open_tracker, daemon=True)
        self.opening.start()  # it takes seconds, which nobody has later on
        studies = searches(spec, tuned, keys, self.workspace.state / "tuning")
        self._prepare()
        self._tune(studies, keys)
        for wave in self.plan.waves:
            self._wave(wave)

    def _open_tracker(self) -> None:
        self.workspace.tracker.open()

    def _prepare(self) -> None:
        """Compute what variants share, once: the rows, their division, and each feature set per fold."""
        spec = self.workspace.spec
        rows = prepare(self.data.frame, spec.data)
        self._remember(MAIN, self.data.frame, rows)
        division = divide(rows, spec)
        self.rows = {MAIN: keep(rows, division, self.work / "rows")}
        self.count = {MAIN: len(rows)}
        signatures = {MAIN: rows.signature}
        for name, one in self.data.sets.items():
            others = prepare(one.frame, spec.data)
            self._remember(name, one.frame, others)
            alike, note = further(name, rows, division, others, spec)
            self.notes.extend(note)
            self.rows[name] = keep(others, alike, self.work / f"rows-{name}")
            self.count[name], signatures[name] = len(others), others.signature
        self.lineage: Lineage = lineage(self.workspace.folder, spec.seed)
        self.features: dict[tuple[str, str, tuple[str, ...] | None], Future[Path]] = {}
        for name in (name for wave in self.plan.waves for name in wave):
            variant = spec.variant(name)
            key = (variant.data, variant.features or "", variant.columns)
            if variant.kind == "train" and not is_whole(variant.family or "") and key not in self.features:
                narrowed(signatures[variant.data], variant.columns)
                into = self.work / f"features-{len(self.features)}"
                job = StepsJob(key[1], spec.features.get(key[1], ()), variant.columns, self.rows[key[0]], into)
                self.features[key] = self.backend.submit(share, job)

    def _remember(self, name: str, frame: Any, rows: Rows) -> None:
        """Keep what the data is like, or say what is no longer as it was."""
        columns = [*(column.name for column in rows.signature.inputs), self.workspace.spec.data.target]
        found = remember_schema(self.workspace, name, frame, columns)
        self.notes.extend(f"data{'' if name == MAIN else f' {name!r}'}: {said}" for said in found)

    def _tune(self, studies: Sequence[Search], keys: Mapping[str, str]) -> None:
        """Search the options of those that ask for it; what is built already, or cannot be, is not searched."""
        self.best: dict[str, Tried] = {}
        open_, features = [], dict[str, Path]()
        for study in studies:
            variant = self.workspace.spec.variant(study.name)
            if self._earlier(study.name):
                if study.best:
                    self.best[study.name] = study.best
                continue
            try:
                features[study.name] = self.features[variant.data, variant.features or "", variant.columns].result()
                open_.append(study)
            except RivalsError as error:
                self._fail(study.name, error)
        if open_:
            rows = {name: self.rows[self.workspace.spec.set_of(name)] for name in features}
            bench = Bench(self.workspace.state / "tuning", rows, features, self.backend)
            self.best |= tune(
                self.workspace.spec, open_, keys, bench, lambda name, said: self.tell(BuildEvent(name, "tuning", said))
            )
        for study in open_:
            if study.name not in self.best:
                first = next(iter(study.tried.values()), None)
                self._fail(study.name, RivalsError(f"no trial came to an end; the first: {first and first.error}"))

    def _wave(self, names: Sequence[str]) -> None:
        """Build a wave, side by side; register each variant as it comes."""
        running: dict[Future[Made], str] = {}
        for name in (name for name in names if name not in self.failed):
            # Built by a process whose coordinator did not live to hear of it.
            if earlier := self._earlier(name):
                self._register(name, earlier)
                continue
            try:
                order = self._order(self.workspace.spec.variant(name))
            except RivalsError as error:
                self._fail(name, error)
                continue
            running[self.backend.submit(build_one, order)] = name
            self.tell(BuildEvent(name, "running"))
        for future in as_completed(running):
            name = running[future]
            try:
                self._register(name, self._within(name, future.result()))
            except RivalsError as error:
                self._fail(name, error)

    def _earlier(self, name: str) -> Made | None:
        """What a build that did not live to register it has left, if it keeps the limits."""
        made = receipt.kept(self.workspace.state / "bank" / self.plan.wishes[name])
        searched = self.workspace.spec.variant(name).tune
        return None if made and searched and limits.broken(self.workspace.spec.tuning.limits, made.bundle) else made

    def _within(self, name: str, made: Made) -> Made:
        """The build, or that of the best trial that keeps the limits. Raises ``RivalsError`` where none does."""
        folder = self.workspace.state / "tuning" / search_key(self.plan.asked[name])
        while name in self.best and (why := limits.broken(self.workspace.spec.tuning.limits, made.bundle)):
            found = limits.give_up(folder, self.best[name], why)
            if found is None:
                raise RivalsError(f"no trial keeps the limits; of the last one: {why}")
            self.best[name] = found
            made = self.backend.submit(build_one, self._order(self.workspace.spec.variant(name))).result()
        return made

    def _order(self, variant: VariantSpec) -> Order:
        state, name = self.workspace.state, variant.name
        family, features, banks = Use(variant.family or "", variant.with_), None, dict[str, Path]()
        tried = self.best.get(name)
        members: dict[str, str] = {}
        cost = {}
        for member in variant.members:
            if member in self.failed:
                raise RivalsError(f"its member {member!r} failed")
            built = self.workspace.trained(member)
            members[member], cost[member] = built.digest, (built.predict_us / 1e3, built.bytes / 1e6)
            banks[member] = state / "bank" / self.plan.wishes[member]
        if variant.kind == "ready":
            family = Use(READY, {"path": self.data.models[name]})
        elif variant.kind == "train" and not is_whole(variant.family or ""):
            features = self.features[variant.data, variant.features or "", variant.columns].result()
            if tried is not None:
                family, features = self._tuned(variant, tried, features)
        combiner = variant.combiner if members else None
        bank_folder = state / "bank" / self.plan.wishes[name]
        rows = self.rows[self.workspace.spec.set_of(name)]
        job = Job(name, family, rows, bank_folder, self.workspace.spec.measures, self.workspace.spec.seed)
        job = replace(job, columns=variant.columns, features=features)
        facts = {
            "variant": name,
            "wish": self.plan.wishes[name],
            "data": self.data.digest_of(self.workspace.spec.set_of(name)),
            "commit": self.lineage.commit,
        }
        ordered = self.workspace.spec.data.split.by == "time"
        return Order(
            job, self.workspace.blobs.folder, facts, members, banks, combiner, cost, ordered, variant.deadline_ms,
            variant.quorum, self._past(variant),
        )  # fmt: skip

    def _past(self, variant: VariantSpec) -> Past | None:
        model = variant.model or ""
        return past(self.workspace, model) if model.startswith(BUILD) else None

    def _tuned(self, variant: VariantSpec, tried: Tried, features: Path) -> tuple[Use, Path]:
        """The family as the search has found it, and its features: computed anew where steps were searched."""
        usual = plain(self.workspace.spec, variant)
        made = options(usual, tried.params)
        if made.steps == usual.steps:
            return made.family, features
        into = self.work / f"features-best-{variant.name}"
        job = StepsJob(variant.features or "", made.steps, variant.columns, self.rows[variant.data], into)
        return made.family, self.backend.submit(share, job).result()

    def _register(self, name: str, made: Made) -> None:
        fitted, bundle = made.fitted, made.bundle
        trained = Trained(
            variant=name,
            digest=bundle.digest,
            wish=self.plan.wishes[name],
            scores=fitted.scores,
            fit_seconds=fitted.fit_seconds,
            predict_us=bundle.predict_us,
            bytes=bundle.bytes,
            runtime=bundle.manifest.runtime,
            parity=bundle.manifest.parity,
        )
        provenance.keep(fitted.into, self.workspace, self.lineage, self.data)
        (fitted.into / PIPELINE).unlink(missing_ok=True)  # the bundle has it now, without pickle
        version = Version(name, bundle.digest)
        self.opening.join()
        try:
            named = self.workspace.spec.set_of(name)
            rows = (self.data.digest_of(named), self.count[named])
            version = tracked.build(self.workspace, trained, bundle, self.lineage, rows)
            if name in self.best:
                tracked.trials(self.workspace, version, search_key(self.plan.asked[name]))
        except RivalsError as error:
            self.notes.append(f"{name}: built, but MLflow does not know it: {error}")
        self.notes.extend(f"{name}: {note}" for note in fitted.notes)
        if bundle.manifest.reason:
            where = "asked at once" if bundle.manifest.runtime == "fanout" else "served from a process of its own"
            self.notes.append(f"{name}: {where}: {bundle.manifest.reason}")
        elif (bundle.manifest.deadline_ms or bundle.manifest.quorum) and bundle.manifest.runtime != "fanout":
            self.notes.append(f"{name}: deadline_ms and quorum wait for nobody: its members answer in one process")
        with self.workspace.store.transaction() as tx:
            extras = {"p99_us": bundle.p99_us, "asked": self.plan.asked[name]}
            if (tried := self.best.get(name)) is not None:
                extras["tuned"] = {"params": dict(tried.params), "loss": tried.loss}
            tx.put_trained(trained, version, extras)
        self.tell(BuildEvent(name, "built", f"{fitted.scores.metrics[self.workspace.spec.measures[0]]:.4f}"))

    def _fail(self, name: str, error: RivalsError) -> None:
        self.failed[name] = str(error)
        self.tell(BuildEvent(name, "failed", str(error)))
