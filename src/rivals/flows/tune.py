"""Search the options of all variants that ask for it, side by side, under one budget.

A point is tried in a process of a task, which writes down what it came to before it tells: who comes next, after
whatever death, need not try it again. Points that take no time go many to a task.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from rivals.build.unfitted import parted, unfitted
from rivals.build.whole import is_whole
from rivals.errors import RivalsError, SpecError
from rivals.flows.trial import Batch, Follow, Options, before, options, plain, try_points, write
from rivals.plugins import make
from rivals.protocols import Backend, Family, Owner, Step
from rivals.spec.project import ProjectSpec, VariantSpec
from rivals.tune.market import Market
from rivals.tune.presets import auto
from rivals.tune.search import Search, Tried
from rivals.tune.space import Space, named, parse
from rivals.values import Use

TASK = 1.0  # seconds of a task: its start costs some tenths of one
MOST = 128  # points of a task
OFTEN = 5.0  # seconds between two words on a search that finds nothing better


@dataclass(frozen=True, slots=True)
class Bench:
    """Where variants are tried: rows and features as the build laid them down, and a folder that outlives it."""

    folder: Path  # .rivals/tuning
    rows: Mapping[str, Path]  # by variant
    features: Mapping[str, Path]  # by variant
    backend: Backend


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
            unfitted(options(made, params).family, spec.data.task, spec.seed)
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
        tuner = Use(tuner.name, {"seed": spec.seed, **_stored(spec, name, tuner, folder / keys[name]), **tuner.options})
        found.append(Search(name, tuner, space, before(folder / keys[name]), spec.tuning.beside))
    return found


def tune(
    spec: ProjectSpec,
    found: Sequence[Search],
    keys: Mapping[str, str],
    bench: Bench,
    tell: Callable[[str, str], None] = lambda *_: None,
) -> dict[str, Tried]:
    """Spend the budget; the best trial of every variant that has one. ``tell(variant, message)`` hears of progress."""
    for one in found:
        _own(spec, one, len(found), keys, bench)
    market = Market(spec.tuning.seconds, spec.tuning.trials, spec.tuning.floor, spec.tuning.worth)
    by_name = {one.name: one for one in found}
    running: dict[Future[list[Tried]], Batch] = {}
    told: dict[str, float] = {}
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
            now = time.monotonic()
            if (best := search.best) and (best != known or now - told.get(batch.variant, 0.0) > OFTEN):
                told[batch.variant] = now
                tell(batch.variant, _standing(search, found))
    return {name: search.best for name, search in by_name.items() if search.best}


# -- the coordinator --------------------------------------------------------------------------------


def _standing(search: Search, among: Sequence[Search]) -> str:
    spent, total = search.study.spent, sum(one.study.spent for one in among)
    best = search.best
    share = f"{spent / total:.0%} of all" if total else "so far"
    return f"{len(search.tried)} trials, {spent:.1f} s ({share})" + (f", best {best.loss:.5f}" if best else "")


def _own(spec: ProjectSpec, search: Search, among: int, keys: Mapping[str, str], bench: Bench) -> None:
    """Let a tuner that runs its trials itself spend an equal share of the budget; the market has the rest."""
    if not isinstance(search.tuner, Owner):
        return
    wish, before_, workers = spec.tuning, search.study, bench.backend.workers
    seconds = None if wish.seconds is None else (wish.seconds / among - before_.spent) / workers
    trials = None if wish.trials is None else wish.trials // among - len(before_.trials)
    if any(left is not None and left <= 0 for left in (seconds, trials)):
        return
    batch = _batch(spec, search.name, () if search.tried else (search.ask() or (0, {}),), keys, bench)
    _hear(search, batch, bench.backend.submit(try_points, batch))  # the variant as it is comes first
    search.tuner.own(Follow(batch), seconds, trials, workers, spec.data.split.folds)
    for one in sorted(before(batch.into), key=lambda one: one.number):
        search.hear(one)


def _next(
    spec: ProjectSpec, market: Market, found: Mapping[str, Search], keys: Mapping[str, str], bench: Bench
) -> Batch | None:
    """The next task: points of the study that the market chooses; None: nobody has one."""
    while (name := market.choose([one.study for one in found.values()])) is not None:
        search = found[name]
        each = median(seconds for _, seconds in search.study.trials) if search.tried else 0.0
        room = MOST if spec.tuning.trials is None else spec.tuning.trials - sum(
            len(one.tried) + len(one.running) for one in found.values()
        )  # fmt: skip
        # Never many more than are known: a tuner that is asked for all at once learns nothing.
        count = max(1, min(MOST, room, len(search.tried) // 2, int(TASK / max(each, 1e-3))))
        points = [point for _ in range(count) if (point := search.ask()) is not None]
        if points:
            return _batch(spec, name, points, keys, bench)
    return None


def _batch(
    spec: ProjectSpec,
    name: str,
    points: Sequence[tuple[int, Mapping[str, Any]]],
    keys: Mapping[str, str],
    bench: Bench,
) -> Batch:
    variant = spec.variant(name)
    return Batch(
        bench.folder / keys[name], name, tuple(points), plain(spec, variant), variant.columns, bench.rows[name],
        bench.features[name], spec.measures[0], spec.seed, spec.tuning.race, spec.tuning.beside, spec.tuning.limits,
    )  # fmt: skip


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
                write(batch.into, search.lost(params, number, str(error)))
                for _, rest in open_[place + 1 :]:
                    search.running.pop(named(rest), None)
                break


def _stored(spec: ProjectSpec, name: str, tuner: Use, folder: Path) -> dict[str, Any]:
    """Optuna keeps its study where optuna-dashboard finds it: in a file, or in a database that studies share."""
    if tuner.name != "optuna":
        return {}
    if "storage" in tuner.options:
        return {"study": f"{spec.project}/{name}/{folder.name[:12]}"}
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {"storage": str(folder / "optuna.journal")}


def _taken(made: Options, key: str, value: Any) -> None:
    """Refuse an option that nobody takes, or a value."""
    try:
        asked = options(made, {key: value})
        make(Family, parted(asked.family)[0])
        for use in asked.steps:
            make(Step, use)
    except SpecError as error:
        raise SpecError(f"space.{key}: {error}") from error
