"""What others would have answered, to compare an autopilot with: every variant left alone, and trained every month."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rivals import plugins
from rivals.bundles import columns_of
from rivals.flows.autopilot import Flown
from rivals.flows.reading import anchored
from rivals.flows.sweep import derived_for, within
from rivals.flows.train import train_project
from rivals.protocols import Source
from rivals.serve.runtimes import open_bundle

Floats = NDArray[np.float64]
MONTHLY = "retrained every month"


def others_of(flown: Flown, say: Callable[[str], None] = lambda _: None) -> dict[str, Floats]:
    """What each would have answered to every row, by name. Each month is a training of its own, on all rows so far."""
    found, stream, space = _left_alone(flown), flown.stream, flown.workspace
    source = plugins.make(Source, anchored(space, space.spec.data.source)).read()
    months = np.array([time.strftime("%Y-%m", time.gmtime(one)) for one in stream.time])
    every: dict[str, Floats] = {}
    for number, month in enumerate(sorted(set(months.tolist())), 101):
        rows = np.flatnonzero(months == month)
        now = float(stream.time[rows[0]])
        known = stream.frame[stream.due <= now]
        frame = pd.concat([source, known[[name for name in source.columns if name in known]]]).drop_duplicates()
        derived = derived_for(space, within(space, frame.reset_index(drop=True), None, now), str(number))
        division = derived.spec.data.split.model_copy(update={"folds": 1})
        data = derived.spec.data.model_copy(update={"split": division})
        report = train_project(replace(derived, spec=derived.spec.model_copy(update={"data": data})))
        say(f"{month}: retrained to compare, {report.seconds:.0f} s")
        for one in report.trained:
            name = f"{one.variant.removesuffix(f'.{number}')}, {MONTHLY}"
            every.setdefault(name, np.full_like(flown.served, np.nan))[rows] = _said(flown, one.digest, rows)
    if every:
        found |= every | {MONTHLY: np.mean(list(every.values()), axis=0)}
    return found


def _left_alone(flown: Flown) -> dict[str, Floats]:
    """Every variant of the project that is served in process, as it was built at first."""
    names = [one.name for one in flown.workspace.spec.variants if one.name != flown.champion]
    built = {name: flown.workspace.store.trained(name) for name in names}
    every = np.arange(len(flown.stream))
    return {
        f"{name} left alone": _said(flown, one.digest, every)
        for name, one in built.items()
        if one is not None and one.runtime in {"onnx", "native", "together"}
    }


def _said(flown: Flown, digest: str, rows: NDArray[np.intp]) -> Floats:
    blobs = flown.workspace.blobs
    opened = open_bundle(blobs.path(digest), blobs.path)
    return opened.predict(columns_of(flown.stream.frame.iloc[rows], opened.signature))
