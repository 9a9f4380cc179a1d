"""Null models of a project's own variants: whoever predicts where nothing can be known has seen the answer."""

from __future__ import annotations

import warnings

from rivals import plugins
from rivals.build.folds import split
from rivals.build.rows import prepare
from rivals.build.watchdog import Leak, variant, watch
from rivals.errors import DataError
from rivals.flows.reading import anchored
from rivals.flows.workspace import Workspace
from rivals.protocols import Source
from rivals.spec.project import VariantSpec
from rivals.values import Use


def watch_project(workspace: Workspace) -> dict[str, tuple[Leak, ...]]:
    """What null models find, by variant: one for every feature set and choice of columns, the first that is trained.

    Raises ``DataError`` where the project trains none.
    """
    spec = workspace.spec
    wanted: dict[object, VariantSpec] = {
        (one.data, one.features, one.columns): one for one in reversed(spec.variants) if one.kind == "train"
    }
    if not wanted:
        raise DataError("No variant of this project is trained, so there is no evaluation to check for leaks.")
    found = {}
    for one in reversed(list(wanted.values())):
        source = spec.data.sets.get(one.data, spec.data.source)
        rows = prepare(plugins.make(Source, anchored(workspace, source)).read(), spec.data)
        asked = spec.data.split
        division = split(
            len(rows), by=asked.by, folds=asked.folds, test=asked.test, gap=asked.gap, seed=spec.seed,
            time=rows.time, group=rows.group,
        )  # fmt: skip
        steps = spec.features[one.features] if one.features else ()
        own = variant(steps, Use(one.family or "", one.with_), one.columns, spec.seed)
        with warnings.catch_warnings():  # `rivals train` tells what libraries warn of, once each
            warnings.simplefilter("ignore")
            found[one.name] = watch(own, rows, division.folds, seed=spec.seed)
    return found
