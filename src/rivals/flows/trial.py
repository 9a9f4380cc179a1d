"""A point of a search, tried: what a task does, and what it writes down before it tells."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from rivals.build.folds import Split
from rivals.build.pipeline import StepsJob, kept, share
from rivals.build.rows import Rows
from rivals.build.trial import Attempt, Part, attempt
from rivals.errors import RivalsError, SpecError
from rivals.plugins import nearest
from rivals.spec.project import BoundSpec, ProjectSpec, VariantSpec
from rivals.tune.front import cheaper, front
from rivals.tune.race import expected, hopeless
from rivals.tune.search import Tried
from rivals.tune.space import named
from rivals.values import Use

BEST = "best.npz"
COSTS = ("latency_ms", "size_mb")
DEAR = 0.1  # seconds from which a trial is worth waiting for the disk: what took less is sooner tried again


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
    beside: tuple[str, ...] = ()  # objectives beside the loss
    limits: BoundSpec = field(default_factory=BoundSpec)


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


def try_points(batch: Batch) -> list[Tried]:
    """Try points one after the other, and write each down. A task for a ``Backend``.

    What a task that died had written down already is not tried again by the one that follows it.
    """
    rows, split = _laid(batch)
    with _quiet():
        return [_try(batch, rows, split, number, params) for number, params in batch.points]


@dataclass(frozen=True, slots=True)
class Follow:
    """A variant for tuners that run their trials themselves: it travels to any process.

    ``Follow(batch)(params)`` gives (loss so far, whether that was the last fold) fold after fold; whoever closes it
    before the end has stopped the trial. Either way it is written down. A point that fails loses infinitely.
    """

    batch: Batch

    def __call__(self, params: Mapping[str, Any]) -> Iterator[tuple[float, bool]]:
        """Try a point."""
        if (known := _written(self.batch.into, params)) is not None:
            yield known.loss if math.isfinite(known.loss) else math.inf, True
            return
        rows, split = _laid(self.batch)
        trial, last = _Trial(self.batch, len(list(self.batch.into.glob("*.json"))), params), False
        try:
            with _quiet():
                for part in trial.parts(rows, split):
                    last = part.last
                    if last:
                        trial.end()
                    yield part.loss, last
        except GeneratorExit:
            if not last:
                trial.end(stopped=True)
            raise
        except Exception as error:  # noqa: BLE001 -- a point of a space may make an estimator raise anything
            trial.end(error=error)
            yield math.inf, True


def before(folder: Path) -> list[Tried]:
    """The trials that were written down there."""
    return [one for file in folder.glob("*.json") if (one := _read(file))]


@dataclass
class _Trial:
    """A point under way, and its end."""

    batch: Batch
    number: int
    params: Mapping[str, Any]
    started: float = field(default_factory=time.perf_counter)
    part: Part | None = None  # where it stands
    costs: dict[str, float] = field(default_factory=dict)

    def parts(self, rows: Rows, split: Split) -> Iterator[Part]:
        batch = self.batch
        made = options(batch.plain, self.params)
        features = batch.features if made.steps == batch.plain.steps else _features(batch, made.steps)
        asked = bool(batch.beside)
        for self.part in attempt(Attempt(made.family, rows, split, features, batch.metric, batch.seed, asked)):
            if self.part.costs and not self.costs:
                self.costs = dict(zip(COSTS, self.part.costs, strict=True))
            yield self.part

    @property
    def over(self) -> str:
        """The limit that its model alone does not keep, in words."""
        bounds = self.batch.limits.model_dump()
        for name, cost in self.costs.items():
            if bounds[name] is not None and cost > bounds[name]:
                return f"its model alone has {name} {cost:.3g}, {bounds[name]:g} are allowed (tuning.limits.{name})"
        return ""

    def end(self, loss: float | None = None, *, stopped: bool = False, error: Exception | None = None) -> Tried:
        """Write down what it came to: the loss of all folds, an estimate where it was ``stopped``, or an ``error``."""
        part, spent = self.part, time.perf_counter() - self.started
        folds = part.fold + 1 if part else 0
        reached = math.nan if error or part is None else part.loss if loss is None else loss
        one = Tried(
            dict(self.params), reached, spent, folds, stopped, _told(error), self.number, over=self.over, **self.costs
        )
        if one.whole and part is not None and part.rows is not None:
            _keep_best(self.batch.into, part.rows)
            if self.batch.beside:
                _keep_rows(self.batch.into, one, part.rows)
        write(self.batch.into, one)
        return one


def _try(batch: Batch, rows: Rows, split: Split, number: int, params: Mapping[str, Any]) -> Tried:
    if (known := _written(batch.into, params)) is not None:
        return known
    trial = _Trial(batch, number, params)
    try:
        against: list[NDArray[np.float32]] = []
        for part in trial.parts(rows, split):
            if part.last or not params:  # the variant as it is runs to its end
                continue
            if trial.over:
                return trial.end(stopped=True)
            if part.fold == 0 and batch.race:
                against = _against(trial)
            if (best := _lost_to(part, against)) is not None:
                return trial.end(best, stopped=True)
        return trial.end()
    except Exception as error:  # noqa: BLE001 -- a point of a space may make an estimator raise anything
        return trial.end(error=error)


def _against(trial: _Trial) -> list[NDArray[np.float32]]:
    """Rows of those that the trial must beat: the best; where cost counts as well, all that cost no more than it."""
    batch = trial.batch
    if not batch.beside:
        return [] if (best := _best(batch.into / BEST)) is None else [best]
    costs = [trial.costs.get(name) for name in batch.beside]
    rivals = [one for one in front(before(batch.into), batch.beside) if cheaper(one, costs, batch.beside)]
    found = (_best(_rows(batch.into, one)) for one in rivals)
    return [rows for rows in found if rows is not None]


def _lost_to(part: Part, against: list[NDArray[np.float32]]) -> float | None:
    """The loss that the trial would come to, where it will not beat one of these; None: it still may."""
    seen = part.rows
    if seen is None:
        return None
    return next((expected(seen, best) for best in against if hopeless(seen, best)), None)


def _rows(folder: Path, one: Tried) -> Path:
    return _file(folder, one.params).with_suffix(".npz")


def _keep_rows(folder: Path, one: Tried, rows: NDArray[np.float64]) -> None:
    draft = folder / f".{_rows(folder, one).name}.{os.getpid()}.npz"
    np.savez(draft, rows=rows.astype(np.float32))
    draft.rename(_rows(folder, one))


def _told(error: Exception | None) -> str:
    if error is None or isinstance(error, RivalsError):
        return str(error or "")
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _laid(batch: Batch) -> tuple[Rows, Split]:
    batch.into.mkdir(mode=0o700, parents=True, exist_ok=True)
    return kept(batch.rows)


@contextmanager
def _quiet() -> Iterator[None]:
    """One thread, and no warnings: a point on the edge of a space may well not converge, as its loss says."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


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


def _best(file: Path) -> NDArray[np.float32] | None:
    """The losses, row by row, of a whole trial: the best so far."""
    try:
        with np.load(file) as kept:
            found: NDArray[np.float32] = kept["rows"]
            return found
    except (OSError, ValueError, KeyError):
        return None


def _keep_best(folder: Path, rows: NDArray[np.float64]) -> None:
    """Keep these rows where they are the best. Two at once: the later one wins, and the next trial sets it right."""
    known = _best(folder / BEST)
    if known is not None and float(np.mean(known, dtype=np.float64)) <= float(rows.mean()):
        return
    draft = folder / f".{BEST}.{os.getpid()}.npz"
    np.savez(draft, rows=rows.astype(np.float32))
    draft.rename(folder / BEST)


def write(folder: Path, one: Tried) -> None:
    """Keep a trial: all of it or nothing, whoever is killed; a dear one also where the machine goes down."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    told = asdict(one) | {"loss": one.loss if math.isfinite(one.loss) else None}
    file = _file(folder, one.params)
    draft = folder / f".{file.stem}.{os.getpid()}"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        json.dump(told, stream, default=str)
        if one.seconds >= DEAR or one.over:
            stream.flush()
            os.fsync(stream.fileno())
    draft.rename(file)


def _file(folder: Path, params: Mapping[str, Any]) -> Path:
    return folder / f"{sha256(named(params).encode()).hexdigest()[:24]}.json"


def _written(folder: Path, params: Mapping[str, Any]) -> Tried | None:
    return _read(_file(folder, params))


def _read(file: Path) -> Tried | None:
    """A trial; None where there is none, or half of one because the machine went down."""
    try:
        told = json.loads(file.read_bytes())
        return Tried(**{**told, "loss": math.nan if told["loss"] is None else told["loss"]})
    except (FileNotFoundError, ValueError):
        return None
