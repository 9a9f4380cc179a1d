"""Build what is missing: all variants of a wave side by side, each in a process of its own."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rivals import plugins
from rivals.build import bank, receipt
from rivals.build.bundle import DRAFT, write, write_ensemble
from rivals.build.evaluate import measure, scores
from rivals.build.pipeline import StepsJob, keep, kept, share
from rivals.build.plan import Plan, causes, plan, search_key
from rivals.build.receipt import Made
from rivals.build.rows import Rows, narrowed, prepare
from rivals.build.sets import divide, further
from rivals.build.train import READY, Fitted, Job, pipeline, train
from rivals.build.whole import is_whole
from rivals.ensemble.family import Ensemble
from rivals.errors import RivalsError
from rivals.flows import limits, provenance, tracked
from rivals.flows.reading import Data, read_data
from rivals.flows.schema import remember_schema
from rivals.flows.trial import options, plain
from rivals.flows.tune import Bench, searches, tune
from rivals.flows.workspace import Workspace
from rivals.protocols import Backend, Combiner
from rivals.registry.blobs import Blobs
from rivals.registry.lineage import Lineage, lineage
from rivals.serve.runtimes import predictor
from rivals.spec.project import MAIN, VariantSpec
from rivals.tune.search import Search, Tried
from rivals.values import Trained, Use, Version

SCRATCH = "build-"  # folders of builds under way


@dataclass(frozen=True, slots=True)
class BuildEvent:
    """What happens to a variant just now: running, built, kept or failed."""

    variant: str
    state: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What there is after a build, what was kept from earlier ones, and what failed, with its reason."""

    trained: tuple[Trained, ...]
    kept: tuple[str, ...]
    failed: Mapping[str, str]
    notes: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Order:
    """All that one process needs to build one variant and to write its bundle."""

    job: Job
    bundles: Path
    lineage: Mapping[str, Any]
    members: Mapping[str, str]  # of an ensemble: digests by name
    banks: Mapping[str, Path]  # of an ensemble: the members' predictions
    combiner: Use | None = None


def plan_project(workspace: Workspace) -> dict[str, str]:
    """Every variant and whether it would be built; reads the data, builds nothing."""
    found, _ = _planned(workspace, ())
    waves = {name: f"to build, in wave {number}" for number, wave in enumerate(found.waves, 1) for name in wave}
    return {name: waves.get(name, "built already") for name in found.wishes}


def plan_asked(workspace: Workspace, only: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    """All that each variant is made from, in full; reads the data, builds nothing."""
    return _planned(workspace, only)[0].asked


def why_project(workspace: Workspace, variant: str) -> list[str]:
    """Why the variant would be built again, cause by cause; empty: it would not. Reads the data, builds nothing."""
    found, _ = _planned(workspace, [variant])
    if variant in found.kept:
        return []
    before = workspace.store.trained_extras(variant).get("asked")
    return causes(before, found.asked[variant]) if before else ["it was never built"]


def train_project(
    workspace: Workspace,
    only: Sequence[str] = (),
    tell: Callable[[BuildEvent], None] = lambda _: None,
    backend: str = "local",
) -> BuildReport:
    """Build what is missing on ``backend`` and register it. A variant that fails is reported; the others finish.

    One build of a project at a time: a second one waits, and finds what the first has built.
    """
    started = time.monotonic()
    for metric in workspace.spec.measures:
        measure(metric, workspace.spec.data.task)  # refused here, not after an hour of fitting
    failed: dict[str, str] = {}
    notes: list[str] = []
    with _alone(workspace, notes):
        found, data = _planned(workspace, only)
        keys = {name: search_key(asked) for name, asked in found.asked.items()}
        tuned = [name for wave in found.waves for name in wave if workspace.spec.variant(name).tune]
        studies = searches(workspace.spec, tuned, keys, workspace.state / "tuning")  # refused before anything is built
        for name in found.kept:
            tell(BuildEvent(name, "kept"))
        if found.waves:
            with _scratch(workspace) as work, _backend(workspace, backend) as runner:
                build = _Build(workspace, found, data, work, runner, tell, failed, notes)
                build.prepare()
                build.tune(studies, keys)
                for wave in found.waves:
                    build.wave(wave)
    trained = [
        one for one in workspace.store.trained_all() if one.variant in found.wishes and one.variant not in failed
    ]
    by_name = {one.name: number for number, one in enumerate(workspace.spec.variants)}
    trained.sort(key=lambda one: by_name[one.variant])
    return BuildReport(tuple(trained), found.kept, failed, tuple(notes), time.monotonic() - started)


def build_one(order: Order) -> Made:
    """Fit one variant and write its bundle. A task for a ``Backend``: it runs in a process of its own."""
    rows, division = kept(order.job.rows)
    fitted = combine(order) if order.combiner else train(order.job)
    inputs = rows.inputs.iloc[division.train][[column.name for column in fitted.signature.inputs]]
    facts: dict[str, Any] = {"metrics": dict(fitted.scores.metrics), "lineage": dict(order.lineage)}
    if rows.time is not None and order.job.family.name != READY:
        facts["lineage"]["trained_until"] = float(rows.time[division.train].max())
    if order.combiner:
        made = write_ensemble(
            order.bundles,
            order.members,
            order.combiner,
            inputs,
            runtime=predictor,
            opener=Blobs(order.bundles).path,
            **facts,
        )
    else:
        made = write(order.bundles, pipeline(fitted), fitted.signature, inputs, runtime=predictor, **facts)
    built = Made(fitted, made)
    receipt.keep(built)
    return built


def combine(order: Order) -> Fitted:
    """An ensemble from the bank: no refit, and honest, for no member saw the rows it predicted."""
    assert order.combiner is not None
    started = time.perf_counter()
    banked = {name: bank.read(folder) for name, folder in order.banks.items()}
    first = next(iter(banked.values()))
    ensemble = Ensemble(tuple(banked), plugins.make(Combiner, order.combiner))
    said = replace(first, outputs=ensemble.outputs({name: one.outputs for name, one in banked.items()}))
    bank.write(order.job.into, said)
    rows, _ = kept(order.job.rows)
    seconds = time.perf_counter() - started
    return Fitted(order.job.variant, order.job.into, rows.signature, scores(said, order.job.metrics), seconds)


@dataclass
class _Build:
    """One build under way."""

    workspace: Workspace
    plan: Plan
    data: Data
    work: Path
    backend: Backend
    tell: Callable[[BuildEvent], None]
    failed: dict[str, str]
    notes: list[str]

    def prepare(self) -> None:
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

    def tune(self, studies: Sequence[Search], keys: Mapping[str, str]) -> None:
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

    def wave(self, names: Sequence[str]) -> None:
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
        for member in variant.members:
            if member in self.failed:
                raise RivalsError(f"its member {member!r} failed")
            members[member] = self.workspace.trained(member).digest
            banks[member] = state / "bank" / self.plan.wishes[member]
        if variant.kind == "ready":
            family = Use(READY, {"path": self.data.models[name]})
        elif variant.kind == "train" and not is_whole(variant.family or ""):
            features = self.features[variant.data, variant.features or "", variant.columns].result()
            if tried is not None:
                family, features = self._tuned(variant, tried, features)
        combiner = Use(str(variant.with_.get("combiner", "mean"))) if members else None
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
        return Order(job, self.workspace.blobs.folder, facts, members, banks, combiner)

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
        (fitted.into / "pipeline.pickle").unlink(missing_ok=True)  # the bundle has it now, without pickle
        version = Version(name, bundle.digest)
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
            self.notes.append(f"{name}: not servable in process: {bundle.manifest.reason}")
        with self.workspace.store.transaction() as tx:
            extras = {"p99_us": bundle.p99_us, "asked": self.plan.asked[name]}
            if (tried := self.best.get(name)) is not None:
                extras["tuned"] = {"params": dict(tried.params), "loss": tried.loss}
            tx.put_trained(trained, version, extras)
        self.tell(BuildEvent(name, "built", f"{fitted.scores.metrics[self.workspace.spec.measures[0]]:.4f}"))

    def _fail(self, name: str, error: RivalsError) -> None:
        self.failed[name] = str(error)
        self.tell(BuildEvent(name, "failed", str(error)))


def _planned(workspace: Workspace, only: Sequence[str]) -> tuple[Plan, Data]:
    spec = workspace.spec
    data = read_data(workspace)
    models, columns = data.models, {name: one.columns for name, one in data.sets.items()}
    known = set(workspace.store.known_wishes())
    newest = {one.variant: one.wish for one in workspace.store.trained_all()}
    found = plan(spec, data.columns, known, only, models, columns)
    # Built once under this wish, but another wish of that name was built since: it is the newest that counts.
    stale = [name for name in found.kept if newest.get(name) != found.wishes[name]]
    return (
        (plan(spec, data.columns, known - {found.wishes[name] for name in stale}, only, models, columns), data)
        if stale
        else (found, data)
    )


@contextmanager
def _alone(workspace: Workspace, notes: list[str]) -> Iterator[None]:
    """Hold the project's build lock, which the system takes from whoever dies; clear up after who did."""
    lock = os.open(workspace.state / "build.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            notes.append("another build of this project was under way; this one waited for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in (*workspace.state.glob(f"work/{SCRATCH}*"), *workspace.blobs.folder.glob(f"{DRAFT}*")):
            shutil.rmtree(leftover, ignore_errors=True)
        receipt.tidy(workspace.state / "bank")
        yield
    finally:
        os.close(lock)


@contextmanager
def _scratch(workspace: Workspace) -> Iterator[Path]:
    """A folder for what the processes of this build hand to one another; gone at its end."""
    parent = workspace.state / "work"
    parent.mkdir(mode=0o700, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _backend(workspace: Workspace, name: str) -> Iterator[Backend]:
    backend = plugins.make(Backend, Use(name, workspace.spec.limits.model_dump()))
    try:
        yield backend
    finally:
        backend.close()
