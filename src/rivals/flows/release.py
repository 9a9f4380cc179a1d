"""Release: what vouches for a bundle, signed; asked for again before the bundle is deployed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from rivals.bundles import read_manifest
from rivals.errors import BundleError, Refused, SpecError
from rivals.flows import fences, provenance
from rivals.flows.gated import GateReport, asked_of, gate_key
from rivals.flows.workspace import Workspace
from rivals.placement import Deployment, Piece
from rivals.plugins import nearest
from rivals.registry.builds import Build, builds
from rivals.values import Status, Version

if TYPE_CHECKING:  # cryptography is needed where something is signed or checked, and only there
    from rivals.registry.attest import Statement

BILL = "sbom"
DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Released:
    """A signed release and where its evidence lies."""

    variant: str
    digest: str
    number: int  # of the version in MLflow
    key: str
    evidence: str
    sbom: str


def release(workspace: Workspace, variant: str, key: Path, by: str = "") -> Released:
    """Sign what vouches for the variant's newest build. Raises ``Refused`` where the gate did not let it pass."""
    from rivals.registry import attest  # noqa: PLC0415 -- see above

    trained = workspace.trained(variant)
    folder = workspace.blobs.verify(trained.digest)
    raw = workspace.store.state(gate_key(variant))
    gated = msgspec.json.decode(raw, type=GateReport) if raw else None
    if gated is None or gated.digest != trained.digest:
        raise Refused(f"The gate was not asked about {variant} as it is built now; `rivals gate {variant}` asks it.")
    if gated.status is not Status.PASS:
        raise Refused(f"The gate did not let {variant} pass ({gated.status.value}); a release needs a pass.")
    build = _build(workspace, variant, trained.digest)
    bill = attest.sbom(variant, str(build.version.number), trained.digest, folder)
    subjects = {variant: trained.digest, BILL: hashlib.sha256(bill).hexdigest()}
    subjects |= {f"member {name}": digest for name, digest in _members(workspace, trained.digest)}
    made = provenance.kept(workspace, build)
    said = {
        "by": fences.person(by),
        "at": time.time(),
        "project": workspace.spec.project,
        "version": build.version.number,
        "run": build.version.run_id,
        "wish": trained.wish,
        "code": {"commit": made["commit"], "dirty": made["dirty"]},
        "data": {"versions": made["data"], "columns": build.extras.get("asked", {}).get("columns", {})},
        "environment": {name: made[name] for name in ("python", "platform", "packages_digest", "rivals")},
        "metrics": dict(trained.scores.metrics),
        "gate": msgspec.to_builtins(gated),
    }
    signed = attest.sign(attest.statement(subjects, said), key)
    into = _folder(workspace)
    into.mkdir(mode=0o700, exist_ok=True)
    for file, content in ((_bill(into, trained.digest), bill), (_evidence(into, trained.digest), signed)):
        draft = file.with_suffix(".draft")
        draft.write_bytes(content)
        draft.replace(file)
    name = msgspec.json.decode(signed)["signatures"][0]["keyid"]
    files = str(_evidence(into, trained.digest)), str(_bill(into, trained.digest))
    return Released(variant, trained.digest, build.version.number, name, *files)


def vouched(workspace: Workspace, deployment: Deployment, now: float | None = None) -> dict[str, str]:
    """The evidence that travels with a deployment, as files; every byte and signature was checked.

    Without ``deploy.trust`` bundles that lie here are checked, and nothing is signed. Raises ``Refused``.
    """
    trust = workspace.spec.deploy.trust
    if not trust:
        for piece in deployment.pieces:
            if piece.digest and workspace.blobs.exists(piece.digest):
                _untouched(workspace, piece)
        return {}
    from rivals.registry import attest  # noqa: PLC0415 -- see above

    keys = [attest.public_key(workspace.folder / one) for one in trust]
    champion, files = deployment.piece(deployment.champion).digest, dict[str, str]()
    for piece in deployment.pieces:
        if not piece.digest:
            raise Refused(f"{piece.variant} is not deployed: nobody knows which bundle it is.")
        _untouched(workspace, piece)
        evidence, bill = (kind(_folder(workspace), piece.digest) for kind in (_evidence, _bill))
        if not evidence.is_file():
            raise Refused(
                f"{piece.variant} is not deployed: bundle {piece.digest[:12]} has no signed release; "
                f"`rivals release {piece.variant} --key KEY` makes one."
            )
        try:
            said = attest.checked(evidence.read_bytes(), keys)
            _fits(workspace, piece, said, bill)
            _fresh(workspace, piece, said, champion, time.time() if now is None else now)
        except Refused as why:
            raise Refused(f"{piece.variant} is not deployed: {why}.") from why
        files[f"evidence/{piece.variant}.dsse"] = evidence.read_text()
        files[f"evidence/{piece.variant}.cdx.json"] = bill.read_text()
    return files


def may_enter(workspace: Workspace, deployment: Deployment, environment: str, variant: str | None) -> Version:
    """The version that an environment's alias is to name. Raises ``Refused`` where the one before has another."""
    order = workspace.spec.deploy.environments
    if environment not in order:
        told = nearest(environment, list(order))
        raise SpecError(f"deploy.environments has no {environment!r}.{told} It has: {', '.join(order) or 'none'}.")
    piece = deployment.piece(variant or deployment.champion)
    version = _build(workspace, piece.variant, piece.digest).version
    if before := order[: order.index(environment)][-1:]:
        at = workspace.tracker.aliases().get(before[0])
        if at != version.number:
            there = f"version {at}" if at else "nothing"
            raise Refused(
                f"{piece.variant} (version {version.number}) does not enter {environment}: {before[0]} has {there}; "
                f"deploy it with --env {before[0]} first."
            )
    return version


def _untouched(workspace: Workspace, piece: Piece) -> None:
    try:
        workspace.blobs.verify(piece.digest)
        for _, digest in _members(workspace, piece.digest):
            workspace.blobs.verify(digest)
    except BundleError as why:
        raise Refused(f"{piece.variant} is not deployed: {why}") from why


def _fits(workspace: Workspace, piece: Piece, said: Statement, bill: Path) -> None:
    if said.digest(piece.variant) != piece.digest:
        raise Refused(f"its evidence is of another bundle than {piece.digest[:12]}")
    if said.predicate.get("project") != workspace.spec.project:
        raise Refused("its evidence is of another project")
    if not bill.is_file() or hashlib.sha256(bill.read_bytes()).hexdigest() != said.digest(BILL):
        raise Refused("its bill of materials is not the one that was signed")


def _fresh(workspace: Workspace, piece: Piece, said: Statement, champion: str, now: float) -> None:
    try:
        gated = msgspec.convert(said.predicate["gate"], GateReport)
    except (KeyError, msgspec.ValidationError) as error:
        raise Refused("its evidence does not hold what the gate said") from error
    again = f"`rivals gate {piece.variant}` and `rivals release {piece.variant}` ask and sign anew"
    if gated.status is not Status.PASS or gated.digest != piece.digest:
        raise Refused(f"the gate did not let this very bundle pass; {again}")
    limit = workspace.spec.deploy.gate_age
    if not 0 <= now - gated.at <= limit:
        raise Refused(
            f"what the gate said is stale, {(now - gated.at) / DAY:.1f} days old (limit {limit / DAY:g}); {again}"
        )
    if gated.asked != asked_of(workspace):
        raise Refused(f"what the gate said is stale, its judges are others now; {again}")
    if champion not in {gated.against, piece.digest}:
        raise Refused(f"what the gate said is stale, it was asked against another champion; {again}")


def _members(workspace: Workspace, digest: str) -> Iterator[tuple[str, str]]:
    for name, member in read_manifest(workspace.blobs.path(digest)).members.items():
        yield name, member
        yield from ((f"{name}/{inner}", its) for inner, its in _members(workspace, member))


def _build(workspace: Workspace, variant: str, digest: str) -> Build:
    """The newest of the builds that came to this bundle: two wishes can."""
    for one in builds(workspace.store):
        if (one.trained.variant, one.trained.digest) == (variant, digest):
            return one
    raise Refused(f"Bundle {digest[:12]} of {variant} was not built here; nothing is known that could vouch for it.")


def _folder(workspace: Workspace) -> Path:
    return workspace.state / "releases"


def _evidence(folder: Path, digest: str) -> Path:
    return folder / f"{digest}.dsse"


def _bill(folder: Path, digest: str) -> Path:
    return folder / f"{digest}.cdx.json"
