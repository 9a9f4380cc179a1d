"""Build what is missing: all variants of a wave side by side, each in a process of its own."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rivals import plugins
from rivals.build.leftovers import sweep
from rivals.build.plan import Plan, causes, plan
from rivals.flows.events import BuildEvent, BuildReport
from rivals.flows.reading import Data, read_data
from rivals.flows.workspace import Workspace
from rivals.protocols import Backend
from rivals.values import Use

TASKS = ("rivals.flows.building", "skops.io")  # what every task needs
SCRATCH = "build-"  # folders of builds under way


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
    failed: dict[str, str] = {}
    notes: list[str] = []
    with _alone(workspace, notes), ExitStack() as stack:
        runner = _backend(stack, workspace, backend) if _new(workspace, only) else None
        found, data = _planned(workspace, only)
        for name in found.kept:
            tell(BuildEvent(name, "kept"))
        if found.waves:
            runner = runner or _backend(stack, workspace, backend)
            from rivals.flows.building import Building  # noqa: PLC0415 -- seconds; loaded while the backend loads it too

            work = stack.enter_context(_scratch(workspace))
            Building(workspace, found, data, work, runner, tell, failed, notes).build()
    trained = [
        one for one in workspace.store.trained_all() if one.variant in found.wishes and one.variant not in failed
    ]
    by_name = {one.name: number for number, one in enumerate(workspace.spec.variants)}
    trained.sort(key=lambda one: by_name[one.variant])
    return BuildReport(tuple(trained), found.kept, failed, tuple(notes), time.monotonic() - started)


def _new(workspace: Workspace, only: Sequence[str]) -> bool:
    """Whether there is a variant that was never built, so that something will be, whatever the data is like."""
    wanted = set(only) or {one.name for one in workspace.spec.variants}
    return not wanted <= {one.variant for one in workspace.store.trained_all()}


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
        for leftover in workspace.state.glob(f"work/{SCRATCH}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        sweep(workspace.state / "bank", workspace.blobs.folder)
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


def _backend(stack: ExitStack, workspace: Workspace, name: str) -> Backend:
    backend = plugins.make(Backend, Use(name, workspace.spec.limits.model_dump()))
    stack.callback(backend.close)
    backend.warm(*TASKS)
    return backend
