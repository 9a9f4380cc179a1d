"""What an image is built of beside its Dockerfile: rivals' own wheel, locked requirements, bundles, the project."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import sqlite3
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import closing
from importlib import metadata
from pathlib import Path

import rivals
from rivals.bundles import read_manifest
from rivals.errors import RivalsError
from rivals.flows.workspace import Workspace
from rivals.infra.targets.docker import place
from rivals.placement import Deployment

NAME = re.compile(r"[A-Za-z0-9._-]+")
SETTINGS = {".yaml", ".yml", ".py"}  # what of the project's folder a router reads
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first day a ZIP file knows: the same code is the same wheel


def fill(workspace: Workspace, deployment: Deployment, out: Path) -> None:
    """Lay beside rendered Dockerfiles what they copy. Raises ``RivalsError`` for a store that no image can hold."""
    if not workspace.store_url.startswith("sqlite"):
        raise RivalsError("The router's image holds the project's own store, and this one is a server; use kubernetes.")
    if nameless := [piece.variant for piece in deployment.pieces if not piece.digest]:
        raise RivalsError(f"{nameless[0]!r} has no digest, so no bundle is known to put into its image; train it here.")
    for name in ("wheels", "router/project"):
        shutil.rmtree(out / name, ignore_errors=True)
    wheel(out / "wheels")
    core = locked(metadata.requires("rivals") or ())
    _requirements(out / "router", core)
    project = out / "router" / "project"
    for file in workspace.folder.iterdir():
        if file.suffix in SETTINGS and file.is_file():
            project.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, project)
    state = project / ".rivals"
    state.mkdir(parents=True)
    with (
        closing(sqlite3.connect(workspace.state / "store.db")) as store,
        closing(sqlite3.connect(state / "store.db")) as copy,
    ):
        store.backup(copy)  # whole, whoever is writing
    for piece in deployment.pieces:
        folder = out / place(piece)
        shutil.rmtree(folder / "bundles", ignore_errors=True)
        for digest in _family(workspace, piece.digest):
            for into in (folder / "bundles", state / "bundles"):
                shutil.copytree(workspace.blobs.path(digest), into / digest, dirs_exist_ok=True)
        pins = _pins(workspace.blobs.path(piece.digest))
        _requirements(folder, core | locked(pins) | pins)


def wheel(into: Path) -> Path:
    """The running rivals as a wheel (PEP 427), however it was installed."""
    version, package = rivals.__version__, Path(rivals.__file__).parent
    dist = metadata.distribution("rivals")
    info = f"rivals-{version}.dist-info"
    files = {
        f"rivals/{path.relative_to(package).as_posix()}": path.read_bytes()
        for path in sorted(package.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    files |= {f"{info}/{name}": (dist.read_text(name) or "").encode() for name in ("METADATA", "entry_points.txt")}
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: rivals\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    lines = [f"{name},sha256={_hash(data)},{len(data)}\n" for name, data in files.items()]
    files[f"{info}/RECORD"] = "".join([*lines, f"{info}/RECORD,,\n"]).encode()
    into.mkdir(parents=True, exist_ok=True)
    made = into / f"rivals-{version}-py3-none-any.whl"
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), data)
    return made


def locked(requirements: Iterable[str]) -> dict[str, str]:
    """All that these need, extras apart, as installed here: versions by name."""
    found, open_ = {"rivals": rivals.__version__}, list(requirements)
    while open_:
        told = open_.pop()
        match = NAME.match(told)
        if match is None or "extra ==" in told:
            continue
        name = _plain(match[0])
        try:
            version, more = metadata.version(name), metadata.requires(name)
        except metadata.PackageNotFoundError:  # another system's
            continue
        if name not in found:
            found[name] = version
            open_ += more or []
    return found


def _family(workspace: Workspace, digest: str) -> list[str]:
    members = read_manifest(workspace.blobs.path(digest)).members.values()
    return [digest, *(one for member in members for one in _family(workspace, member))]


def _pins(bundle: Path) -> dict[str, str]:
    file = bundle / "requirements.txt"
    lines = file.read_text().splitlines() if file.exists() else []
    return {_plain(name): version for name, sign, version in (line.partition("==") for line in lines) if sign}


def _requirements(folder: Path, pins: Mapping[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "requirements.txt").write_text("".join(f"{name}=={pins[name]}\n" for name in sorted(pins)))


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()  # PEP 503


def _hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
