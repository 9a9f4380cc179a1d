"""Search the options of all variants that ask for it, side by side, under one budget.

A point is tried in a process of a task, which writes down what it came to before it tells: who comes next, after
whatever death, need not try it again. Points that take no time go many to a task.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from rivals.build.folds import Split
from rivals.build.pipeline import StepsJob, kept, share
from rivals.build.rows import Rows
from rivals.build.trial import Attempt, attempt
from rivals.build.whole import is_whole
from rivals.errors import RivalsError, SpecError
from rivals.plugins import make, nearest
from rivals.protocols import Backend, Family, Step
from rivals.spec.project import ProjectSpec, TuningSpec, VariantSpec
from rivals.tune.market import Market
from rivals.tune.presets import auto
from rivals.tune.race import expected, hopeless
from rivals.tune.search import Search, Tried
from rivals.tune.space import Space, named, parse
from rivals.values import Use

TASK = 1.0  # seconds of a task: its start costs some tenths of one
MOST = 128  # points of a task
BEST = "best.npz"


@dataclass(frozen=True, slots=True)
class Options:
    """A variant with the options of a point: its family, and its steps."""

    family: Use
    steps: tuple[Use, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Points of one variant for one process. ``features`` are those of the steps as the project has them."""

    into: Path
    variant: str
    points: tuple[tuple[int, Mapping[str, Any]], ...]
    plain: Options
    columns: tuple[str, ...] | None
    rows: Path
    features: Path
    metric: str
    seed: int
    race: bool


@dataclass(frozen=True, slots=True)
class Bench:
    """Where variants are tried: rows and features as the build laid them down, and a folder that outlives it."""

    folder: Path  # .rivals/tuning
    rows: Mapping[str, Path]  # by variant
    features: Mapping[str, Path]  # by variant
    backend: Backend


def plain(spec: ProjectSpec, variant: VariantSpec) -> Options:
    """The variant as the project has it."""
    steps = spec.features.get(variant.features or "", ())
    return Options(Use(variant.family or "", variant.with_), tuple(steps))


def options(made: Options, params: Mapping[str, Any]) -> Options:
    """A point's options where they belong: ``encode.min_frequency`` to the step ``encode``, plain names to the family.

    Raises ``SpecError`` where no step, or more than one, has that name.
    """
    family, steps = dict(made.family.options), list(made.steps)
    for key, value in params.items():
        name, dot, option = key.partition(".")
        if not dot:
            family[key] = value
            continue
        places = [index for index, use in enumerate(steps) if use.name == name]
        if len(places) != 1:
            hint = nearest(name, [use.name for use in steps]) if not places else " They cannot be told apart."
            raise SpecError(f"{len(places) or 'no'} steps of the variant are called {name!r}.{hint}")
        use = steps[places[0]]
        steps[places[0]] = Use(use.name, {**use.options, option: value})
    return Options(Use(made.family.name, family), tuple(steps))


def space_of(spec: ProjectSpec, variant: VariantSpec) -> Space:
    """The variant's space, every option known to whoever takes it. Raises ``SpecError`` with variant and key."""
    assert variant.tune is not None
    raw, made = variant.tune.options.get("space", "auto"), plain(spec, variant)
    try:
        space = parse(auto(variant.family or "", variant.with_) if raw == "auto" else raw)
        rng = Random(0)  # noqa: S311 -- points to look at, no secret
        for params in (space.sample(rng) for _ in range(8)):
            for key, value in params.items():
                _taken(made, key, value)
            make(Family, options(made, params).family).estimator(spec.data.task, spec.seed)
    except SpecError as error:
        raise SpecError(f"variant {variant.name}: tune: {error}") from error
    return space


def searches(spec: ProjectSpec, names: Sequence[str], keys: Mapping[str, str], folder: Path) -> list[Search]:
    """The searches of these variants with what they have found before; refused here is refused before any trial."""
    found = []
    for name in names:
        variant = spec.variant(name)
        assert variant.tune is not None
        if is_whole(variant.family or ""):
            raise SpecError(
                f"variants.{name}: {variant.family!r} brings its own steps and is not tuned; remove 'tune'."
            )
        space = space_of(spec, variant)
        tuner = Use(variant.tune.name, {key: value for key, value in variant.tune.options.items() if key != "space"})
        tuner = Use(tuner.name, {"seed": spec.seed, **_stored(tuner, folder / keys[name]), **tuner.options})
        found.append(Search(name, tuner, space, before(folder / keys[name])))
    return found


def tune(
    spec: ProjectSpec,
    found: Sequence[Search],
    keys: Mapping[str, str],
    bench: Bench,
    tell: Callable[[str, str], None] = lambda *_: None,
) -> dict[str, Tried]:
    """Spend the budget; the best trial of every variant that has one. ``tell(variant, message)`` hears of progress."""
    market = _market(spec.tuning)
    by_name = {one.name: one for one in found}
    running: dict[Future[list[Tried]], Batch] = {}
    while True:
        while len(running) < bench.backend.workers:
            batch = _next(spec, market, by_name, keys, bench)
            if batch is None:
                break
            running[bench.backend.submit(try_points, batch)] = batch
        if not running:
            break
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            batch = running.pop(future)
            search = by_name[batch.variant]
            known = search.best
            _hear(search, batch, future)
            if (best := search.best) and best != known:
                tell(batch.variant, f"{len(search.tried)} trials, best {best.loss:.5f}")
    return {name: search.best for name, search in by_name.items() if search.best}


def try_points(batch: Batch) -> list[Tried]:
    """Try points one after the other, and write each down. A task for a ``Backend``."""
    batch.into.mkdir(mode=0o700, parents=True, exist_ok=True)
    rows, split = kept(batch.rows)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a point on the edge of a space may well not converge: its loss says so
        return [_try(batch, rows, split, number, params) for number, params in batch.points]


def before(folder: Path) -> list[Tried]:
    """The trials that were written down there."""
    found = []
    for file in folder.glob("*.json"):
        told = json.loads(file.read_bytes())
        found.append(Tried(**{**told, "loss": math.nan if told["loss"] is None else told["loss"]}))
    return found


# -- the coordinator --------------------------------------------------------------------------------


def _market(wish: TuningSpec) -> Market:
    return Market(wish.seconds, wish.trials, wish.floor)


def _next(
    spec: ProjectSpec, market: Market, found: Mapping[str, Search], keys: Mapping[str, str], bench: Bench
) -> Batch | None:
    """The next task: points of the study that the market chooses; None: nobody has one."""
    while (name := market.choose([one.study for one in found.values()])) is not None:
        search, variant = found[name], spec.variant(name)
        each = median(seconds for _, seconds in search.study.trials) if search.tried else 0.0
        room = MOST if spec.tuning.trials is None else spec.tuning.trials - sum(
            len(one.tried) + len(one.running) for one in found.values()
        )  # fmt: skip
        # Never many more than are known: a tuner that is asked for all at once learns nothing.
        count = max(1, min(MOST, room, len(search.tried) // 2, int(TASK / max(each, 1e-3))))
        points = [point for _ in range(count) if (point := search.ask()) is not None]
        if points:
            return Batch(
                bench.folder / keys[name], name, tuple(points), plain(spec, variant), variant.columns, bench.rows[name],
                bench.features[name], spec.measures[0], spec.seed, spec.tuning.race,
            )  # fmt: skip
    return None


def _hear(search: Search, batch: Batch, future: Future[list[Tried]]) -> None:
    """What a task came to; of one that died, what it had written down."""
    try:
        for one in future.result():
            search.tell(one)
    except RivalsError as error:
        kept = {named(one.params): one for one in before(batch.into)}
        open_ = list(batch.points)
        for place, (number, params) in enumerate(open_):
            if (written := kept.get(named(params))) is not None:
                search.tell(written)
            else:  # the first that is missing is the one that it died of; the others were not begun
                _write(batch.into, search.lost(params, number, str(error)))
                for _, rest in open_[place + 1 :]:
                    search.running.pop(named(rest), None)
                break


def _stored(tuner: Use, folder: Path) -> dict[str, Any]:
    """Optuna keeps its study where optuna-dashboard finds it."""
    if tuner.name != "optuna" or "storage" in tuner.options:
        return {}
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {"storage": str(folder / "optuna.journal")}


def _taken(made: Options, key: str, value: Any) -> None:
    """Refuse an option that nobody takes, or a value."""
    try:
        asked = options(made, {key: value})
        make(Family, asked.family)
        for use in asked.steps:
            make(Step, use)
    except SpecError as error:
        raise SpecError(f"space.{key}: {error}") from error


# -- a task -----------------------------------------------------------------------------------------


def _try(batch: Batch, rows: Rows, split: Split, number: int, params: Mapping[str, Any]) -> Tried:
    started, folds = time.perf_counter(), 0
    best = _best(batch.into) if batch.race and params else None
    try:
        made = options(batch.plain, params)
        features = batch.features if made.steps == batch.plain.steps else _features(batch, made.steps)
        for part in attempt(Attempt(made.family, rows, split, features, batch.metric, batch.seed)):
            folds = part.fold + 1
            if best is not None and part.rows is not None and not part.last and hopeless(part.rows, best):
                loss, stopped = expected(part.rows, best), True
                break
            loss, stopped = part.loss, False
        spent = time.perf_counter() - started
        one = Tried(dict(params), loss, spent, folds, stopped, number=number)
        if not stopped and part.rows is not None:
            _keep_best(batch.into, part.rows)
    except RivalsError as error:
        one = Tried(dict(params), math.nan, time.perf_counter() - started, folds, error=str(error), number=number)
    except Exception as error:  # noqa: BLE001 -- a point of a space may make an estimator raise anything
        told = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        one = Tried(dict(params), math.nan, time.perf_counter() - started, folds, error=told, number=number)
    _write(batch.into, one)
    return one


def _features(batch: Batch, steps: tuple[Use, ...]) -> Path:
    """The features of these steps, computed once for all points of this build that ask for them."""
    told = json.dumps([[use.name, dict(use.options)] for use in steps], sort_keys=True, default=str)
    folder = batch.features.with_name(f"{batch.features.name}-{sha256(told.encode()).hexdigest()[:16]}")
    if not folder.exists():
        draft = folder.with_name(f".{folder.name}.{os.getpid()}")
        share(StepsJob(batch.variant, steps, batch.columns, batch.rows, draft))
        try:
            draft.rename(folder)
        except OSError:  # another process was first
            shutil.rmtree(draft, ignore_errors=True)
    return folder


def _best(folder: Path) -> NDArray[np.float32] | None:
    """The losses, row by row, of the best whole trial so far."""
    try:
        with np.load(folder / BEST) as kept:
            found: NDArray[np.float32] = kept["rows"]
            return found
    except (OSError, ValueError, KeyError):
        return None


def _keep_best(folder: Path, rows: NDArray[np.float64]) -> None:
    """Keep these rows where they are the best. Two at once: the later one wins, and the next trial sets it right."""
    known = _best(folder)
    if known is not None and float(np.mean(known, dtype=np.float64)) <= float(rows.mean()):
        return
    draft = folder / f".{BEST}.{os.getpid()}.npz"
    np.savez(draft, rows=rows.astype(np.float32))
    draft.rename(folder / BEST)


def _write(folder: Path, one: Tried) -> None:
    """All of it or nothing."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    told = asdict(one) | {"loss": one.loss if math.isfinite(one.loss) else None}
    name = sha256(named(one.params).encode()).hexdigest()[:24]
    draft = folder / f".{name}.{os.getpid()}"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        json.dump(told, stream, default=str)
        stream.flush()
        os.fsync(stream.fileno())
    draft.rename(folder / f"{name}.json")
