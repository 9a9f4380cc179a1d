"""Deploy: the endpoint in a platform's words, foreign descriptions read, and their traps named."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec
import yaml

from rivals import __version__
from rivals.errors import Refused, RivalsError, SpecError
from rivals.flows.workspace import Workspace
from rivals.infra.foreign import target_of
from rivals.infra.lint import lint
from rivals.infra.manifests import slug
from rivals.infra.reading import documents_of
from rivals.placement import Climb, Deployment, Piece, Scale, Trap
from rivals.plugins import make, nearest
from rivals.protocols import Target
from rivals.spec.deploying import PlaceSpec
from rivals.values import Use


def deployment_of(workspace: Workspace, challenger: str | None = None) -> Deployment:
    """The endpoint as it is served now; before it ever was, as the project asks for it.

    ``challenger`` joins without a share, for platforms that move the traffic themselves. Raises ``RivalsError``.
    """
    spec, endpoint = workspace.spec.deploy, workspace.endpoint
    table = workspace.store.table(endpoint.name)
    if table is not None:
        champion = table.champion
        weights = {arm.variant: arm.weight for arm in table.arms}
        mirrored = {shadow.variant: shadow.share for shadow in table.shadows}
        digests = {one.variant: one.digest for one in table.arms}
        digests |= {one.variant: one.digest for one in table.shadows}
    else:
        champion = endpoint.champion or ""
        if not champion:
            raise RivalsError("Nobody is champion yet; name one under 'endpoint', or serve once.")
        weights, digests = {champion: 1.0}, {}
        mirrored = {shadow.variant: shadow.share for shadow in endpoint.shadows}
    if challenger is not None:
        weights.setdefault(workspace.spec_variant(challenger), 0.0)
    if strange := [name for name in spec.variants if name not in {one.name for one in workspace.spec.variants}]:
        told = nearest(strange[0], [one.name for one in workspace.spec.variants])
        raise SpecError(f"deploy.variants: there is no variant {strange[0]!r}.{told}")
    pieces = []
    for name in [champion, *(one for one in {**weights, **mirrored} if one != champion)]:
        digest = digests.get(name) or workspace.trained(name).digest
        pieces.append(_piece(workspace, name, digest, weights.get(name, 0.0), mirrored.get(name, 0.0)))
    router = _placed(Piece(endpoint.name, image=f"{spec.images}-router:{__version__}"), spec.router)
    climb = Climb(endpoint.rollout.steps, endpoint.rollout.every)
    return Deployment(
        endpoint.name, champion, tuple(pieces), router, climb, spec.namespace, spec.host, spec.store_secret
    )


def use_of(target: str, settings: Sequence[str]) -> Use:
    """A target with its options, each as ``key=value``. Raises ``SpecError``."""
    pairs = [one.partition("=") for one in settings]
    if wrong := [key for key, sign, _ in pairs if not (key and sign)]:
        raise SpecError(f"--with takes key=value, not {wrong[0]!r}.")
    try:
        return Use(target, {key: yaml.safe_load(value) for key, _, value in pairs})
    except yaml.YAMLError as error:
        raise SpecError(f"--with: a value is written as in YAML, as clouds=[eks]: {error}.") from error


def render(deployment: Deployment, target: Use, out: Path, evidence: Mapping[str, str] | None = None) -> list[str]:
    """Write the target's files and the evidence into ``out``; what they are called.

    Raises ``Refused`` over files that are not ours.
    """
    files = {**make(Target, target).render(deployment), **(evidence or {})}
    known = _written(out)
    for name in sorted(files):
        path = out / name
        if path.exists() and name not in known:
            raise Refused(f"{path} is there already and not from rivals; name another folder with --out.")
    for name in known - files.keys():
        (out / name).unlink(missing_ok=True)
    for name, text in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text)
    (out / MARK).write_text("".join(f"{name}\n" for name in sorted(files)))
    return sorted(files)


def apply(target: Use, out: Path) -> None:
    """Run the target's commands over what was rendered. Raises ``RivalsError`` where one is missing or fails."""
    for words in make(Target, target).apply(out):
        if shutil.which(words[0]) is None:
            raise RivalsError(f"--apply needs {words[0]}, which is not installed here; run it where it is: {words}")
        done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 -- the target's own words
        if done.returncode:
            raise RivalsError(f"`{' '.join(words)}` ended with {done.returncode}: {done.stderr.strip()[-300:]}")


def read_files(files: Sequence[Path]) -> list[Mapping[str, Any]]:
    """All documents of some files, or of the YAML and JSON files in a folder. Raises ``SpecError``."""
    paths = [path for file in files for path in _inside(file)]
    documents = []
    for path in paths:
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise SpecError(f"{path} cannot be read: {error}.") from error
        documents += documents_of(text, path.name)
    return documents


def import_files(files: Sequence[Path]) -> Deployment:
    """The deployment that foreign files describe. Raises ``SpecError`` with what is not understood."""
    documents = read_files(files)
    if len(documents) == 1 and set(documents[0]) >= {"name", "champion", "pieces"}:
        return deployment_from(documents[0])
    name = target_of(documents)
    try:
        return make(Target, Use(name)).read(documents)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise SpecError(f"This is not as {name} documents it: {type(error).__name__}: {error}.") from error


def lint_files(files: Sequence[Path]) -> list[Trap]:
    """The traps in some files. Raises ``SpecError`` where they cannot be read."""
    return lint(read_files(files))


def as_yaml(deployment: Deployment) -> str:
    """The endpoint's state in our own words; ``deploy --from`` takes it."""
    return yaml.safe_dump(msgspec.to_builtins(asdict(deployment)), sort_keys=False, width=120)


def deployment_from(document: Mapping[str, Any]) -> Deployment:
    """What ``as_yaml`` wrote. Raises ``SpecError``."""
    try:
        return msgspec.convert(document, Deployment)
    except msgspec.ValidationError as error:
        raise SpecError(f"This is no endpoint's state: {error}.") from error


EVIDENCE = "evidence"  # the folder of what vouches for the bundles: no platform's words
MARK = ".rivals-files"  # in a rendered folder: what is ours, so that nothing else is written over or left behind


def _written(out: Path) -> set[str]:
    mark = out / MARK
    names = mark.read_text().splitlines() if mark.exists() else []
    return {name for name in names if re.fullmatch(r"[\w./-]+", name) and ".." not in name and not name.startswith("/")}


def _inside(file: Path) -> list[Path]:
    if not file.is_dir():
        return [file]
    inside = sorted(path for path in file.rglob("*") if path.suffix in {".yaml", ".yml", ".json"})
    return [path for path in inside if path.name != "kustomization.yaml" and path.parent.name != EVIDENCE]


def _piece(workspace: Workspace, name: str, digest: str, weight: float, mirrored: float) -> Piece:
    spec = workspace.spec.deploy
    piece = Piece(
        name,
        weight,
        mirrored,
        digest,
        f"{spec.images}-{slug(name)}:{digest[:12]}",
        f"{spec.bundles.rstrip('/')}/{digest}" if spec.bundles else "",
    )
    return _placed(piece, spec.variants.get(name, PlaceSpec()))


def _placed(piece: Piece, place: PlaceSpec) -> Piece:
    scale = Scale(place.least, place.most or place.least, place.signal, place.target)
    return replace(piece, cpu=place.cpu, memory_mb=place.memory_mb, scale=scale)
