"""The data a build is made from, as it was read, and where it is found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rivals import plugins
from rivals.build.rows import digest, fingerprints
from rivals.build.sources.versions import version
from rivals.flows.workspace import Workspace
from rivals.protocols import Source
from rivals.spec.project import BUILD, MAIN
from rivals.values import Use


@dataclass(frozen=True, slots=True)
class Data:
    """The source as it was read, and the further sets that variants name."""

    frame: Any
    columns: Mapping[str, str]  # their digests
    models: Mapping[str, str]
    sets: Mapping[str, FurtherSet]
    versions: Mapping[str, str] = field(default_factory=dict)  # by set: as DVC or Delta name what was read

    def digest_of(self, name: str) -> str:
        """Name the rows of a set."""
        return digest(self.sets[name].columns if name in self.sets else self.columns)


@dataclass(frozen=True, slots=True)
class FurtherSet:
    """A further data set as it was read."""

    frame: Any
    columns: Mapping[str, str]  # their digests


def read_data(workspace: Workspace) -> Data:
    """The source, the further sets that variants name, and where ready models lie. Raises ``DataError`` and its kin."""
    spec = workspace.spec
    frame = plugins.make(Source, anchored(workspace, spec.data.source)).read()
    models = {one.name: _model(workspace, one.model) for one in spec.variants if one.model is not None}
    named = {one.data for one in spec.variants if one.kind != "ensemble"} & spec.data.sets.keys()
    sets = {name: _set(workspace, spec.data.sets[name]) for name in sorted(named)}
    used = {MAIN: spec.data.source, **{name: spec.data.sets[name] for name in sets}}
    versions = {name: found for name, use in used.items() if (found := version(anchored(workspace, use)))}
    return Data(frame, fingerprints(frame), models, sets, versions)


def _set(workspace: Workspace, source: Use) -> FurtherSet:
    frame = plugins.make(Source, anchored(workspace, source)).read()
    return FurtherSet(frame, fingerprints(frame))


def anchored(workspace: Workspace, source: Use) -> Use:
    """Paths in a project file start at the project file, wherever it is read from."""
    path = source.options.get("path")
    if not isinstance(path, str) or "://" in path:
        return source
    return Use(source.name, {**source.options, "path": str(workspace.folder / path)})


def _model(workspace: Workspace, model: str) -> str:
    """Where a ready model lies: a registry's URI is fetched, a path starts at the project file."""
    if model.startswith(BUILD):
        from rivals.flows.past import past  # noqa: PLC0415 -- it loads what trains, and few projects name past runs

        return str(past(workspace, model).bundle)
    if model.startswith("models:/"):
        return str(workspace.tracker.download(model, workspace.state / "work" / "models"))
    beside = workspace.folder / model
    return str(beside) if beside.exists() else model
