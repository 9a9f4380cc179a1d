"""A project on disk: its wish, and what rivals remembers about it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rivals import plugins
from rivals.errors import RivalsError, SpecError
from rivals.protocols import Combiner, Detector, Family, Judge, Policy, Source, Step, Tuner
from rivals.registry.blobs import Blobs
from rivals.registry.store import Store
from rivals.spec.load import load
from rivals.spec.project import EndpointSpec, ProjectSpec
from rivals.values import RoutingTable, Trained, Use

if TYPE_CHECKING:
    from rivals.registry.mlflow import Tracker


@dataclass(frozen=True)
class Workspace:
    """A project file and what stands beside it under ``.rivals/``: made on first use, for this user's eyes only."""

    spec: ProjectSpec
    file: Path
    overlay: tuple[str, ...] = ()  # settings on top of the file
    above: tuple[Path, ...] = ()  # further project files on top of it

    @property
    def command(self) -> list[str]:
        """How a process of its own opens the same project: the verb comes first."""
        files = [word for file in (self.file, *self.above) for word in ("-f", str(file))]
        return [*files, *(word for setting in self.overlay for word in ("--set", setting))]

    @cached_property
    def folder(self) -> Path:
        """Where the project file is; the user's own modules are imported from here."""
        return self.file.parent

    @cached_property
    def state(self) -> Path:
        """The folder of everything rivals remembers about this project; elsewhere where ``RIVALS_STATE`` names one."""
        folder = Path(os.environ.get("RIVALS_STATE") or self.folder / ".rivals").absolute()
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise RivalsError(
                f"The state folder {folder} cannot be made: {error.strerror}; see RIVALS_STATE."
            ) from error
        return folder

    @cached_property
    def store(self) -> Store:
        """Routing tables, rollouts, exposures, the ledger."""
        return Store(self.store_url)

    @property
    def store_url(self) -> str:
        """Where the store is, as an SQLAlchemy URL. Raises ``RivalsError`` where its variable holds none."""
        wish = self.spec.store
        return _named("store", wish.url, wish.env) or f"sqlite:///{self.state / 'store.db'}"

    @property
    def tracking_uri(self) -> str:
        """Where MLflow's runs are. Raises ``RivalsError`` where its variable holds no URI."""
        wish = self.spec.tracking
        return _named("tracking", wish.uri, wish.env) or f"sqlite:///{self.state / 'mlflow.db'}"

    @cached_property
    def blobs(self) -> Blobs:
        """Bundles by digest."""
        return Blobs(self.state / "bundles")

    @cached_property
    def tracker(self) -> Tracker:
        """MLflow; imported only where it is needed, for it costs a second."""
        from rivals.registry.mlflow import Tracker  # noqa: PLC0415 -- see above

        return Tracker(self.tracking_uri, self.spec.project, self.state / "mlartifacts")

    @property
    def endpoint(self) -> EndpointSpec:
        """The endpoint's wish. Raises ``SpecError`` where the project has none."""
        if self.spec.endpoint is None:
            raise SpecError(f"{self.file.name}: there is no endpoint yet; add 'endpoint: {{name: ...}}' to serve.")
        return self.spec.endpoint

    @property
    def run_dir(self) -> Path:
        """What the serving processes of the endpoint share."""
        folder = self.state / "run" / self.endpoint.name
        for path in (folder.parent, folder):
            path.mkdir(mode=0o700, exist_ok=True)
        return folder

    def trained(self, variant: str) -> Trained:
        """The variant as it was last built. Raises ``RivalsError`` where it was not."""
        found = self.store.trained(variant)
        if found is None:
            self.spec_variant(variant)
            raise RivalsError(f"{variant!r} is not built yet; `rivals train` builds it.")
        return found

    def spec_variant(self, variant: str) -> str:
        """The name itself, if the project has that variant."""
        names = [one.name for one in self.spec.variants]
        if variant not in names:
            raise RivalsError(f"There is no variant {variant!r}.{plugins.nearest(variant, names)}")
        return variant

    def table(self) -> RoutingTable:
        """The routing table in force. Raises ``RivalsError`` before the endpoint was first served."""
        table = self.store.table(self.endpoint.name)
        if table is None:
            raise RivalsError(f"Endpoint {self.endpoint.name!r} was never served; `rivals serve` starts it.")
        return table


def open_workspace(file: Path | Sequence[Path], overlay: Sequence[str] = ()) -> Workspace:
    """Read a project file, and those on top of it; check that every plug-in is there. Raises ``SpecError`` and kin."""
    files = [file] if isinstance(file, Path) else list(file)
    files = [one / "rivals.yaml" if one.is_dir() else one for one in files]
    first, *above = [one.resolve() for one in files]
    workspace = Workspace(load(files, overlay), first, tuple(overlay), tuple(above))
    for door, use in _plugins(workspace.spec):
        plugins.check(door, use.name)
    _importable(workspace.folder)
    return workspace


def _named(key: str, said: str | None, env: str | None) -> str | None:
    """A place as the project file says it, or as its variable does."""
    if env is not None and not os.environ.get(env):
        raise RivalsError(f"{key}.env: the environment variable {env} holds no URL; set it.")
    return os.environ[env] if env is not None else said


def _plugins(spec: ProjectSpec) -> Iterator[tuple[type[Any], Use]]:
    yield from ((Source, source) for source in (spec.data.source, *spec.data.sets.values()))
    for steps in spec.features.values():
        yield from ((Step, step) for step in steps)
    for variant in spec.variants:
        if variant.kind == "train":
            yield Family, Use(variant.family or "")
        if variant.tune is not None:
            yield Tuner, variant.tune
        if variant.kind == "ensemble":
            yield Combiner, variant.combiner
    yield from ((Judge, judge) for judge in spec.gate)
    if spec.endpoint:
        yield Policy, spec.endpoint.policy
        yield from ((Judge, judge) for judge in spec.endpoint.rollout.judges)
        yield from ((Detector, use) for use in (spec.endpoint.drift.uses if spec.endpoint.drift else ()))


def _importable(folder: Path) -> None:
    """The user's modules stand beside the project file; processes started from here find them too."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if str(folder) not in known:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), *known]))
