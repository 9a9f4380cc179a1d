"""One variant, in a process of its own: fold models, out-of-fold predictions, the final model, its scores."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from rivals.build import bank
from rivals.build.bank import HELD_OUT, Bank
from rivals.build.evaluate import scores
from rivals.build.folds import Split
from rivals.build.leftovers import PIPELINE
from rivals.build.pipeline import FINAL, arrays, fitted_steps, kept
from rivals.build.rows import Rows, narrowed
from rivals.build.scratch import get, put
from rivals.build.unfitted import unfitted
from rivals.build.whole import is_whole
from rivals.bundles import columns_of
from rivals.errors import BuildError, DataError
from rivals.plugins import make
from rivals.protocols import Family
from rivals.remote import PREFIX, Remote
from rivals.values import Scores, Signature, Use

READY = "ready"
AT_ONCE = 1_000  # rows that a remote model is asked together


@dataclass(frozen=True, slots=True)
class Job:
    """A variant to train, or where ``family`` is ``ready`` to score.

    ``rows`` is what ``pipeline.keep`` laid down, ``features`` what ``pipeline.share`` did (None: a ready model has its
    own steps); ``into`` a folder of the variant's own.
    """

    variant: str
    family: Use
    rows: Path
    into: Path
    metrics: tuple[str, ...]
    seed: int = 0
    columns: tuple[str, ...] | None = None
    features: Path | None = None


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained variant, small enough to travel: heavy things are files in the job's folder.

    ``fit_seconds`` is what the final model took, its steps included.
    """

    variant: str
    into: Path  # pipeline.pickle and bank.parquet
    signature: Signature
    scores: Scores
    fit_seconds: float
    notes: tuple[str, ...] = ()


def train(job: Job) -> Fitted:
    """Fit, predict, score. A task for a ``Backend``; raises ``BuildError`` or ``SpecError`` with a sentence."""
    rows, split = kept(job.rows)
    with threadpool_limits(1), warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        if "max_iter" in job.family.options:  # who says how long to try has been told already
            warnings.simplefilter("ignore", ConvergenceWarning)
        if job.family.name == READY:
            made, signature, said, seconds = _scored(job, rows, split)
        else:
            made, signature, said, seconds = _fitted(job, rows, split)
    found = banked(rows, split, said)
    job.into.mkdir(mode=0o700, parents=True, exist_ok=True)
    bank.write(job.into, found)
    put(job.into / PIPELINE, made)
    return Fitted(job.variant, job.into, signature, scores(found, job.metrics), seconds, _notes(heard))


def pipeline(fitted: Fitted) -> Any:
    """The fitted pipeline, from raw columns to answers; only processes of this build read its file."""
    return get(fitted.into / PIPELINE)


# -- fitting ----------------------------------------------------------------------------------------

Said = list[NDArray[np.float64]]  # answers, by fold and last on the rows held out


def _fitted(job: Job, rows: Rows, split: Split) -> tuple[Any, Signature, Said, float]:
    if is_whole(job.family.name):
        return _fitted_whole(job, rows, split)
    if job.features is None:
        raise BuildError(f"{job.variant!r} has no features: share() computes them before train() is called.")
    wanted = unfitted(job.family, rows.task, job.seed)
    said = []
    for k, (train_rows, _) in enumerate(split.folds):
        block, others = arrays(job.features, str(k))
        model = wanted.fit(block, rows, train_rows)
        said.append(answers(model, others, rows.signature))
    block, others = arrays(job.features, FINAL)
    started = time.perf_counter()
    model = wanted.fit(block, rows, split.train)
    seconds = time.perf_counter() - started
    said.append(answers(model, others, rows.signature))
    steps, step_seconds = fitted_steps(job.features)
    made = Pipeline([("features", steps), ("model", model)])
    return made, narrowed(rows.signature, job.columns), said, seconds + step_seconds


def _fitted_whole(job: Job, rows: Rows, split: Split) -> tuple[Any, Signature, Said, float]:
    """A family that brings its own steps, from the columns themselves."""
    signature = narrowed(rows.signature, job.columns)
    inputs = rows.inputs[[column.name for column in signature.inputs]]
    wanted = unfitted(job.family, rows.task, job.seed)
    said = []
    for teaching, judged in split.folds:
        said.append(answers(wanted.fit(inputs.iloc[teaching], rows, teaching), inputs.iloc[judged], rows.signature))
    started = time.perf_counter()
    model = wanted.fit(inputs.iloc[split.train], rows, split.train)
    seconds = time.perf_counter() - started
    said.append(answers(model, inputs.iloc[split.test], rows.signature))
    return model, signature, said, seconds


def answers(model: Any, block: Any, signature: Signature) -> NDArray[np.float64]:
    """Probabilities (rows, labels), zero for labels that it was not fitted on; or values (rows, 1)."""
    width = len(signature.labels) or 1
    if not len(block):
        return np.empty((0, width))
    if signature.task == "regression":
        said = np.asarray(model.predict(block), np.float64).reshape(len(block), 1)
    else:
        said = np.zeros((len(block), width))
        places = {label: index for index, label in enumerate(signature.labels)}
        known = [label.item() if isinstance(label, np.generic) else label for label in model.classes_]
        if strange := [label for label in known if label not in places]:
            raise BuildError(
                f"The model knows the label {strange[0]!r}, which the data has not: {list(signature.labels)}."
            )
        said[:, [places[label] for label in known]] = model.predict_proba(block)
    if not np.isfinite(said).all():
        raise BuildError(
            f"{int((~np.isfinite(said)).any(axis=1).sum())} of {len(said)} predictions are not finite numbers."
        )
    return said


# -- a model that exists already --------------------------------------------------------------------


def _scored(job: Job, rows: Rows, split: Split) -> tuple[Any, Signature, Said, float]:
    if str(job.family.options["path"]).startswith(PREFIX):
        return _asked(job, rows, split)
    made = make(Family, job.family).estimator(rows.signature.task, job.seed)
    inputs = [column.name for column in rows.signature.inputs]
    names = [str(name) for name in getattr(made, "feature_names_in_", job.columns or inputs)]
    if missing := [name for name in names if name not in inputs]:
        raise DataError(f"The model asks for the column {missing[0]!r}, which the data has not: {', '.join(inputs)}.")
    parts = [*(valid for _, valid in split.folds), split.test]
    said = [answers(made, rows.inputs[names].iloc[part], rows.signature) for part in parts]
    return made, narrowed(rows.signature, names), said, 0.0


def _asked(job: Job, rows: Rows, split: Split) -> tuple[Any, Signature, Said, float]:
    """A model elsewhere, asked for the rows that others are judged by, some at a time."""
    signature = narrowed(rows.signature, job.columns)
    remote, said = Remote(str(job.family.options["path"]), signature, seconds=60.0), []
    for part in [*(valid for _, valid in split.folds), split.test]:
        frame = rows.inputs.iloc[part]
        pieces = [columns_of(frame.iloc[start : start + AT_ONCE], signature) for start in range(0, len(part), AT_ONCE)]
        empty = np.empty((0, len(signature.labels) or 1))
        said.append(np.concatenate([empty, *(remote.predict(piece) for piece in pieces)]))
    return remote, signature, said, 0.0


# -- what is kept -----------------------------------------------------------------------------------


def banked(rows: Rows, split: Split, said: Said) -> Bank:
    """What was said, fold by fold and last of the rows held out, with the truth."""
    parts = [*(valid for _, valid in split.folds), split.test]
    places = np.concatenate(parts)
    fold = np.concatenate([np.full(len(part), k if k < len(split.folds) else HELD_OUT) for k, part in enumerate(parts)])
    optional: dict[str, Any] = {name: getattr(rows, name) for name in ("weight", "time", "group")}
    return Bank(
        ids=rows.ids[places],
        fold=fold.astype(np.int64),
        target=rows.target[places],
        outputs=np.concatenate(said),
        task=rows.task,
        labels=rows.signature.labels,
        **{name: None if values is None else values[places] for name, values in optional.items()},
    )


def _notes(heard: list[warnings.WarningMessage]) -> tuple[str, ...]:
    """What libraries warned of, once each, a line each; their deprecations are theirs to mend."""
    theirs = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)
    ours = [one for one in heard if not issubclass(one.category, theirs)]
    return tuple(dict.fromkeys(f"{one.category.__name__}: {str(one.message).strip().splitlines()[0]}" for one in ours))
