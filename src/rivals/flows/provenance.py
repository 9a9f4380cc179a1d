"""Where builds come from: what was kept of each, and how two of them differ."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rivals.build import bank
from rivals.build.bank import Bank
from rivals.build.plan import causes
from rivals.errors import DataError, RivalsError
from rivals.flows.status import live_scores
from rivals.flows.workspace import Workspace
from rivals.plugins import nearest
from rivals.registry.builds import Build, builds
from rivals.registry.lineage import Lineage, root_of

if TYPE_CHECKING:  # it asks here where past runs are
    from rivals.flows.reading import Data

FILE = "lineage.json"
TOP = 10  # rows that are shown
SHORTEST = 6  # digits that name a build
TOLD = {"code": "code ", "data": "column ", "environment": "package "}  # what a cause begins with


def keep(into: Path, workspace: Workspace, lineage: Lineage, data: Data) -> None:
    """Write down beside a build's predictions what it was built from; all of it or nothing."""
    root = root_of(workspace.folder)
    where = str(workspace.file.relative_to(root.resolve())) if root else workspace.file.name
    above = [str(one) for one in workspace.above]
    told = asdict(lineage) | {"file": where, "above": above, "overlay": workspace.overlay, "data": dict(data.versions)}
    draft = into / f".{FILE}.{os.getpid()}"
    draft.write_text(json.dumps(told))
    draft.rename(into / FILE)


def kept(workspace: Workspace, build: Build) -> dict[str, Any]:
    """What a build was built from. Raises ``RivalsError`` where that was not written down."""
    try:
        found: dict[str, Any] = json.loads((folder(workspace, build) / FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise RivalsError(
            f"What {build.name} was built from is not written down; `rivals train` builds it anew."
        ) from error
    return found


def find(workspace: Workspace, name: str) -> Build:
    """A build by its variant (the newest), its wish, its bundle or its MLflow run: six digits or more are enough.

    Raises ``RivalsError`` where none or several go by that name.
    """
    every = builds(workspace.store)
    if newest := [one for one in every if one.trained.variant == name]:
        return newest[0]
    if len(name) >= SHORTEST and re.fullmatch(r"[0-9a-f]+", name):
        found = [one for one in every if any(digits.startswith(name) for digits in one.names)]
        if len({one.trained.wish for one in found}) == 1:
            return found[0]
        if found:
            raise RivalsError(f"{name} is the beginning of {len(found)} builds; give more of it.")
    known = sorted({one.trained.variant for one in every})
    raise RivalsError(f"There is no build {name!r}.{nearest(name, known)} `rivals compare` lists the variants.")


def folder(workspace: Workspace, build: Build) -> Path:
    """Where its predictions are."""
    return workspace.state / "bank" / build.trained.wish


def hashed(said: Bank) -> str:
    """The name of a build's predictions: SHA-256 over rows, folds and answers, to the last bit."""
    whole = hashlib.sha256()
    for one in ("\0".join(map(str, said.ids)).encode(), said.fold.tobytes(), said.outputs.tobytes()):
        whole.update(hashlib.sha256(one).digest())
    return whole.hexdigest()


@dataclass(frozen=True, slots=True)
class Row:
    """A row that two builds answer differently."""

    id: str
    first: tuple[float, ...]
    second: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """Two builds' answers to the rows that both were asked: ``differ`` of ``count``, by at most ``most``."""

    count: int
    differ: int
    most: float
    mean: float
    flips: int  # classifiers: another label is the likeliest
    top: tuple[Row, ...]
    only: tuple[int, int]  # rows that one of them alone was asked


@dataclass(frozen=True, slots=True)
class Difference:
    """What two builds differ in: each part in words, metrics as (first, second)."""

    first: str
    second: str
    code: tuple[str, ...]
    config: tuple[str, ...]
    environment: tuple[str, ...]
    data: tuple[str, ...]
    metrics: Mapping[str, tuple[float | None, float | None]]
    rows: Rows


def differ(workspace: Workspace, first: str, second: str) -> Difference:
    """Compare two builds. Raises ``RivalsError`` where one is not known, or its predictions are gone."""
    a, b = find(workspace, first), find(workspace, second)
    told = causes(a.extras.get("asked", {}), b.extras.get("asked", {}))
    parts = {name: [one for one in told if one.startswith(start)] for name, start in TOLD.items()}
    config = [one for one in told if not any(one in part for part in parts.values())]
    parts["code"] += _commits(workspace, a, b)
    parts["environment"] += _packages(workspace, a, b)
    measures = {**a.trained.scores.metrics, **b.trained.scores.metrics}
    metrics = {name: (a.trained.scores.metrics.get(name), b.trained.scores.metrics.get(name)) for name in measures}
    rows = compared(bank.read(folder(workspace, a)), bank.read(folder(workspace, b)))
    return Difference(
        a.name, b.name, tuple(parts["code"]), tuple(config), tuple(parts["environment"]), tuple(parts["data"]),
        metrics, rows,
    )  # fmt: skip


def compared(first: Bank, second: Bank) -> Rows:
    """Row by row, where both were asked. Raises ``DataError`` where their answers are of different kinds."""
    if first.outputs.shape[1:] != second.outputs.shape[1:] or first.labels != second.labels:
        raise DataError("The two answer different questions (task or labels): their rows cannot be compared.")
    places = {str(name): index for index, name in enumerate(second.ids)}
    pairs = [(index, places[str(name)]) for index, name in enumerate(first.ids) if str(name) in places]
    mine, others = (np.array(side, int) for side in zip(*pairs, strict=True)) if pairs else (np.zeros(0, int),) * 2
    a, b = first.outputs[mine], second.outputs[others]
    off = np.abs(a - b).max(axis=1) if len(a) else np.zeros(0)
    order = np.argsort(-off, kind="stable")[:TOP]
    flips = int((a.argmax(axis=1) != b.argmax(axis=1)).sum()) if len(a) and first.labels else 0
    top = tuple(Row(str(first.ids[mine[i]]), tuple(a[i].tolist()), tuple(b[i].tolist())) for i in order if off[i] > 0)
    return Rows(
        len(off), int((off > 0).sum()), float(off.max(initial=0.0)), float(off.mean()) if len(off) else 0.0, flips, top,
        (len(first) - len(off), len(second) - len(off)),
    )  # fmt: skip


def _commits(workspace: Workspace, a: Build, b: Build) -> list[str]:
    one, other = (kept(workspace, build) for build in (a, b))
    said = []
    if one["commit"] != other["commit"]:
        said.append(f"commit was {one['commit'][:12] or '(none)'}, is {other['commit'][:12] or '(none)'}")
    if one["diff"] != other["diff"]:
        said.append("what was not committed differs")
    return said


def _packages(workspace: Workspace, a: Build, b: Build) -> list[str]:
    one, other = (kept(workspace, build) for build in (a, b))
    said = [f"python was {one['python']}, is {other['python']}"] if one["python"] != other["python"] else []
    before, after = one["packages"], other["packages"]
    changed = [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
    return said + [f"{name} was {before.get(name, 'not there')}, is {after.get(name, 'not there')}" for name in changed]


@dataclass(frozen=True, slots=True)
class Line:
    """A build from its data to its rollouts; ``live`` are metrics on the labels of what it answered."""

    variant: str
    build: str
    run: str
    version: int
    commit: str
    dirty: bool
    data: str  # as DVC or Delta name it, else its fingerprint
    trained: Mapping[str, float]
    rollouts: tuple[str, ...]
    live: Mapping[str, float]

    @property
    def sentence(self) -> str:
        """All of it on one line."""
        code = f"{self.commit[:8] or 'no commit'}{' and changes' if self.commit and self.dirty else ''}"
        offline = ", ".join(f"{name} {value:.4g}" for name, value in self.trained.items())
        live = ", ".join(f"{name} {value:.4g}" for name, value in self.live.items()) or "never live"
        rollouts = "; ".join(self.rollouts) or "no rollout"
        return f"{self.build}  run {self.run[:8] or '-'}  {code}  data {self.data[:20]}  {offline}  {rollouts}  {live}"


def lineage_of(workspace: Workspace, variant: str = "") -> list[Line]:
    """Run, data version, rollouts and live score of every build (or those of one variant), the newest first.

    A live score is told of the newest build alone: answers are kept by variant.
    """
    if variant:
        workspace.spec_variant(variant)
    found, seen = [], set[str]()
    named = workspace.spec.endpoint.name if workspace.spec.endpoint else ""
    served = workspace.store.table(named) if named else None
    rollouts = workspace.store.rollouts(named) if named else []
    for build in builds(workspace.store):
        name = build.trained.variant
        if variant and name != variant:
            continue
        live = live_scores(workspace, [name]).get(name, {}) if served and name not in seen else {}
        seen.add(name)
        mine = [one for one in rollouts if one.challenger.digest == build.trained.digest]
        found.append(_line(workspace, build, tuple(f"{one.id} {one.phase.value}" for one in mine), live))
    return found


def _line(workspace: Workspace, build: Build, rollouts: tuple[str, ...], live: Mapping[str, float]) -> Line:
    try:
        told = kept(workspace, build)
    except RivalsError:  # of a time when it was not written down
        told = {"commit": "", "dirty": True, "data": {}}
    columns = build.extras.get("asked", {}).get("columns", {})
    fingerprint = hashlib.sha256("".join(f"{name}{columns[name]}" for name in sorted(columns)).encode()).hexdigest()
    data = next(iter(told["data"].values()), fingerprint)
    version, trained = build.version, build.trained
    return Line(
        trained.variant, build.name, version.run_id, version.number, told["commit"], told["dirty"], data,
        dict(trained.scores.metrics), rollouts, live,
    )  # fmt: skip
