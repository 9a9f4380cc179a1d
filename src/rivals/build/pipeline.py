"""Steps become one fitted scikit-learn transformer; what several variants share is computed once.

A step says in ``columns`` what it works on: numeric, text, all, or names. Columns with the same steps go one way
together; columns no step touches pass, if they are numbers. What comes out is one dense float32 block. A step that
treats several columns as one (``columnwise = False``, the default) needs all of them to come the same way.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from rivals.build.folds import Split
from rivals.build.rows import Rows, narrowed
from rivals.build.scratch import get, put
from rivals.errors import SpecError
from rivals.plugins import make, nearest
from rivals.protocols import Step
from rivals.values import Column, Use

ROWS, SPLIT, STEPS, SECONDS = "rows.pickle", "split.pickle", "steps.pickle", "seconds.pickle"
FINAL = "final"


@dataclass(frozen=True, slots=True)
class StepsJob:
    """One feature set to be fitted and applied, per fold and for the final model, for all variants that name it.

    ``rows`` is a folder kept by ``keep``, ``into`` one of its own for the arrays; ``columns`` None: all inputs.
    """

    name: str
    steps: tuple[Use, ...]
    columns: tuple[str, ...] | None
    rows: Path
    into: Path


def keep(rows: Rows, split: Split, folder: Path) -> Path:
    """Lay rows and their division down for the processes of this build; only these read it."""
    put(folder / ROWS, rows)
    put(folder / SPLIT, split)
    return folder


def kept(folder: Path) -> tuple[Rows, Split]:
    """What ``keep`` laid down."""
    return get(folder / ROWS), get(folder / SPLIT)


def share(job: StepsJob) -> Path:
    """Fit and apply the steps; the folder ``into``, with the arrays that ``arrays`` reads. A task for a ``Backend``."""
    rows, division = kept(job.rows)
    signature = narrowed(rows.signature, job.columns)
    names = [column.name for column in signature.inputs]
    job.into.mkdir(parents=True, exist_ok=True)
    parts = [*((str(k), *pair) for k, pair in enumerate(division.folds)), (FINAL, division.train, division.test)]
    for part, train, others in parts:
        started = time.perf_counter()
        steps = transformer(job.steps, signature.inputs)
        block = _dense(steps.fit_transform(rows.inputs[names].iloc[train], rows.labels[train]), job.name)
        if part == FINAL:
            put(job.into / SECONDS, time.perf_counter() - started)
            put(job.into / STEPS, steps)
        np.save(job.into / f"{part}-train.npy", block)
        others_block = block[:0]
        if len(others):
            others_block = _dense(steps.transform(rows.inputs[names].iloc[others]), job.name)
        np.save(job.into / f"{part}-others.npy", others_block)
    return job.into


def arrays(folder: Path, part: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The block a model is fitted on and the one it then answers; ``part`` is a fold's number or ``FINAL``."""
    first, second = (np.load(folder / f"{part}-{side}.npy", mmap_mode="r") for side in ("train", "others"))
    return first, second


def fitted_steps(folder: Path) -> tuple[Any, float]:
    """The transformer fitted on all training rows, and the seconds that took."""
    return get(folder / STEPS), get(folder / SECONDS)


def transformer(uses: Sequence[Use], inputs: Sequence[Column]) -> ColumnTransformer:
    """One unfitted transformer of all steps. Raises ``SpecError`` where a text would reach the model as it is."""
    steps = [(use.name, make(Step, use)) for use in uses]
    ways: dict[str, tuple[int, ...]] = {column.name: () for column in inputs}
    for index, (name, step) in enumerate(steps):
        chosen = _chosen(name, step, inputs)
        if not getattr(step, "columnwise", False) and len({ways[column] for column in chosen}) > 1:
            raise SpecError(
                f"step {name}: {', '.join(chosen)} come to it by different steps; give them the same ones before."
            )
        ways |= {column: (*ways[column], index) for column in chosen}
    kinds = {column.name: column.kind for column in inputs}
    if bare := [name for name, way in ways.items() if not way and kinds[name] == "text"]:
        raise SpecError(
            f"{', '.join(bare)} {'holds' if len(bare) == 1 else 'hold'} texts and no step makes numbers of them; add "
            f"{{use: encode, with: {{columns: [{', '.join(bare)}]}}}}, or leave them out with the variant's 'columns'."
        )
    groups = []
    for way, names in _groups(steps, ways, kinds):
        title = "-".join([*(f"{steps[index][0]}{index}" for index in way), kinds[names[0]]])
        groups.append((title, _chain(steps, way, names, kinds), names))
    return ColumnTransformer(groups, remainder="drop", sparse_threshold=0.0, verbose_feature_names_out=False)


def _chosen(name: str, step: Any, inputs: Sequence[Column]) -> list[str]:
    """The columns a step works on, in the inputs' order."""
    wanted = getattr(step, "columns", "all")
    known = [column.name for column in inputs]
    match wanted:
        case "all":
            return known
        case "numeric":
            return [column.name for column in inputs if column.kind == "number"]
        case "text":
            return [column.name for column in inputs if column.kind == "text"]
        case str():
            wanted = [wanted]
    for one in wanted:
        if one not in known:
            raise SpecError(f"step {name}: there is no input column {one!r}.{nearest(str(one), known)}")
    return [one for one in known if one in set(wanted)]


def _groups(
    steps: Sequence[tuple[str, Any]], ways: dict[str, tuple[int, ...]], kinds: dict[str, Any]
) -> Iterator[tuple[tuple[int, ...], list[str]]]:
    """Columns by their way, numbers and texts apart unless a step wants both at once; in the order they appear."""
    found: dict[tuple[Any, ...], list[str]] = {}
    for name, way in ways.items():
        found.setdefault((way, kinds[name] if _columnwise(steps, way) else ""), []).append(name)
    for (way, _), names in found.items():
        yield way, names


def _columnwise(steps: Sequence[tuple[str, Any]], way: tuple[int, ...]) -> bool:
    return all(getattr(steps[index][1], "columnwise", False) for index in way)


def _chain(steps: Sequence[tuple[str, Any]], way: tuple[int, ...], names: list[str], kinds: dict[str, Any]) -> Any:
    if not way:
        return "passthrough"
    numeric = [name for name in names if kinds[name] == "number"]
    text = [name for name in names if kinds[name] == "text"]
    made = [(f"{steps[index][0]}{index}", steps[index][1].transformer(numeric, text)) for index in way]
    chain = made[0][1] if len(made) == 1 else Pipeline(made)
    if not _columnwise(steps, way) and hasattr(chain, "set_output"):
        chain.set_output(transform="pandas")  # the user's own step sees columns by name
    return chain


def _dense(block: Any, name: str) -> NDArray[np.float32]:
    values = block.to_numpy() if isinstance(block, pd.DataFrame) else block
    try:
        dense = np.ascontiguousarray(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise SpecError(f"features {name}: what comes out of the steps is no table of numbers ({error}).") from error
    return dense
