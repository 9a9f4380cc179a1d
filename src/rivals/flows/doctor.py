"""What is wrong with this installation, and with the project if there is one."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sqlite3
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from rivals import plugins
from rivals.errors import MissingExtra, RivalsError
from rivals.flows.workspace import Workspace, open_workspace
from rivals.protocols import DOORS
from rivals.registry.revisions import revision_of
from rivals.registry.schema import HEAD
from rivals.spec.project import StoreSpec

SPACE = 1 << 30  # bytes on disk, below which builds soon fail
SQLITE = (3, 35, 0)  # RETURNING


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: ``ok``, ``missing`` (an extra nobody asked for) or ``broken``, and the way out."""

    what: str
    state: Literal["ok", "missing", "broken"]
    told: str


def examine(files: Sequence[Path], settings: Sequence[str] = ()) -> list[Finding]:
    """Look at Python, packages, plug-ins, disk and, where its file is there, the project."""
    folder = files[0] if files[0].is_dir() else files[0].parent
    return [_python(), *_packages(), *_plugins(), _sqlite(), *_disk(folder), *_project(files, settings)]


def _python() -> Finding:
    told = f"{sys.version.split()[0]} on {sys.platform}"
    if sys.version_info < (3, 11):  # noqa: UP036 -- an unpacked copy runs anywhere
        return Finding("python", "broken", f"{told}; rivals needs 3.11 or later.")
    return Finding("python", "ok", told)


def _packages() -> Iterator[Finding]:
    """What rivals requires, extra by extra."""
    try:
        wanted = requires("rivals") or []
    except PackageNotFoundError:
        yield Finding("packages", "broken", "rivals is not installed, only found: pip install rivals.")
        return
    extras: dict[str, list[str]] = {}
    for one in wanted:
        name, _, marker = one.partition(";")
        extra = marker.partition("extra ==")[2].strip(" '\"")
        if "sys_platform" in marker and sys.platform == "win32":
            continue
        if wrong := _unmet(name.strip()):
            extras.setdefault(extra, []).append(wrong)
        else:
            extras.setdefault(extra, [])
    for extra, lacks in extras.items():
        if extra in {"dev", "demo"}:
            continue
        name = f"rivals[{extra}]" if extra else "rivals"
        told = f"{', '.join(lacks)}; pip install '{name}'" if lacks else "complete"
        state: Literal["ok", "missing", "broken"] = "ok" if not lacks else "missing" if extra else "broken"
        yield Finding(f"packages of {name}", state, told)


def _unmet(requirement: str) -> str:
    """What is wrong with a requirement, or nothing."""
    end = next((i for i, letter in enumerate(requirement) if letter in "<>=!~[ ("), len(requirement))
    name, bounds = requirement[:end], requirement[end:]
    try:
        have = version(name)
    except PackageNotFoundError:
        return f"{name} is not installed"
    if importlib.util.find_spec("packaging") is None:
        return ""
    from packaging.requirements import Requirement  # noqa: PLC0415 -- it comes with most tools, not with rivals

    fits = Requirement(requirement).specifier.contains(have, prereleases=True)
    return "" if fits else f"{name} is {have}, not {bounds}"


def _plugins() -> Iterator[Finding]:
    """Every plug-in loads, or says what it lacks."""
    for door, group in DOORS.items():
        kind, good = group.removeprefix("rivals."), []
        for name in plugins.names(door):
            try:
                plugins.factory(door, name)
            except MissingExtra as error:
                yield Finding(f"{kind} {name}", "missing", str(error))
            except Exception as error:  # noqa: BLE001 -- a stranger's module may raise anything
                yield Finding(
                    f"{kind} {name}", "broken", f"{type(error).__name__}: {error}; update or remove its package."
                )
            else:
                good.append(name)
        told = ", ".join(good) or "none; install rivals again"
        yield Finding(kind, "ok" if good else "broken", told)


def _sqlite() -> Finding:
    told = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < SQLITE:
        return Finding("sqlite", "broken", f"{told} is older than 3.35; install a newer Python.")
    return Finding("sqlite", "ok", told)


def _disk(folder: Path) -> Iterator[Finding]:
    """The project's folder can hold a database, and bundles."""
    if not folder.is_dir():
        yield Finding("folder", "broken", f"{folder} is no folder; name one with -f.")
        return
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".rivals-doctor-") as scratch:
            connection = sqlite3.connect(Path(scratch) / "probe.db")
            mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
            connection.close()
    except (OSError, sqlite3.Error) as error:
        yield Finding("folder", "broken", f"{folder} cannot be written ({error}); mend its permissions.")
        return
    wal = f"{folder} keeps no write-ahead log (is it on a network?); put the project on a local disk."
    yield Finding("folder", "ok" if mode == "wal" else "broken", "SQLite writes ahead here" if mode == "wal" else wal)
    free = shutil.disk_usage(folder).free
    told = f"{free / (1 << 30):.1f} GB free"
    yield Finding("disk", "ok" if free >= SPACE else "broken", told if free >= SPACE else f"only {told}; make room.")


def _project(files: Sequence[Path], settings: Sequence[str]) -> Iterator[Finding]:
    file = files[0] / "rivals.yaml" if files[0].is_dir() else files[0]
    if not file.exists():
        yield Finding("project", "missing", f"there is no {file}; `rivals init` makes one.")
        return
    try:
        workspace = open_workspace(files, settings)
    except RivalsError as error:
        yield Finding("project", "broken", str(error))
        return
    yield Finding("project", "ok", f"{workspace.spec.project}, {len(workspace.spec.variants)} variants")
    if workspace.spec.store != StoreSpec():
        yield _store(workspace)
    state = workspace.folder / ".rivals"
    if state.exists() and os.name == "posix" and stat.S_IMODE(state.stat().st_mode) & 0o077:
        yield Finding("state", "broken", f"{state} can be read by others; chmod 700 {state}.")


def _store(workspace: Workspace) -> Finding:
    """The store that the project names answers, and is at this rivals' revision."""
    try:
        found = revision_of(workspace.store_url)
    except RivalsError as error:
        return Finding("store", "broken", str(error))
    if found not in {None, HEAD}:
        return Finding("store", "broken", f"at revision {found}, this rivals needs {HEAD}; `rivals migrate`.")
    return Finding("store", "ok", f"at revision {found}" if found else "new; its tables are made when it is used")
