"""A variant that a past run has built, of this project or of another: taken as it is, and judged on the rows of now.

``model: "build:3f2a9c1d"`` is a build of this project by its wish, bundle or run, ``model:
"build:../other/rivals.yaml#boosted"`` the newest of a variant there. What it said of rows it was not fitted on is in
the bank of its run, so it is neither fitted nor asked again, and its scores are as honest as anybody's.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rivals.build import bank
from rivals.build.bundle import Bundle
from rivals.build.evaluate import scores
from rivals.build.leftovers import DRAFT
from rivals.build.pipeline import kept
from rivals.build.receipt import Made
from rivals.build.train import Fitted, Job, banked
from rivals.bundles import MEASURED, Measured, folder_bytes, read, read_manifest
from rivals.errors import DataError, SpecError
from rivals.flows.provenance import find, folder
from rivals.flows.workspace import Workspace
from rivals.registry.blobs import Blobs
from rivals.spec.project import BUILD
from rivals.values import Signature


@dataclass(frozen=True, slots=True)
class Past:
    """Where a past build is."""

    name: str
    bundles: Path
    digest: str
    bank: Path

    @property
    def bundle(self) -> Path:
        """Its bundle."""
        return Blobs(self.bundles).path(self.digest)


def past(workspace: Workspace, model: str) -> Past:
    """The build that ``model`` names. Raises ``RivalsError`` where there is no such build."""
    place, _, name = model.removeprefix(BUILD).rpartition("#")
    home = workspace
    if place:
        file = (workspace.folder / place).resolve()
        if not (file.parent / ".rivals" / "store.db").is_file():
            raise SpecError(
                f"{model}: nothing was built yet by {place}; a project's file is named, as ../other/rivals.yaml."
            )
        home = Workspace(workspace.spec, file)  # of its wish nothing is asked
    found = find(home, name)
    return Past(found.name, home.blobs.folder, found.trained.digest, folder(home, found))


def take(job: Job, into: Path, one: Past) -> Made:
    """Make it a variant here: its bundle as it is, its answers by row. Raises ``DataError`` where it fits not."""
    rows, division = kept(job.rows)
    manifest = read_manifest(one.bundle)
    _fits(job.variant, one, manifest.signature, rows.signature)
    before = bank.read(one.bank)
    places = {row: place for place, row in enumerate(before.ids)}
    parts = [*(valid for _, valid in division.folds), division.test]
    wanted = np.concatenate(parts)
    known = np.array([str(row) in places for row in rows.ids[wanted]], np.bool_)
    if not known.all():
        raise DataError(
            f"{job.variant!r}: {one.name} was judged on other rows; of {len(known)} here it was never asked "
            f"{int((~known).sum())}."
        )
    at = [np.array([places[str(row)] for row in rows.ids[part]], np.int64) for part in parts]
    if not np.array_equal(before.target[np.concatenate(at)], rows.target[wanted]):
        raise DataError(
            f"{job.variant!r}: in {one.name} rows of these ids have another {'label' if before.labels else 'value'}."
        )
    said = banked(rows, division, [before.outputs[place] for place in at])
    bank.write(job.into, said)
    _copied(one.bundles, into, one.digest)
    place = into / one.digest
    times = read(place / MEASURED, Measured)
    runtime = manifest.runtime
    bundle = Bundle(
        one.digest,
        place,
        manifest,
        times.median_us.get(runtime, 0.0),
        times.p99_us.get(runtime, 0.0),
        folder_bytes(place),
    )
    return Made(Fitted(job.variant, job.into, manifest.signature, scores(said, job.metrics), 0.0), bundle)


def _fits(variant: str, one: Past, theirs: Signature, ours: Signature) -> None:
    if (theirs.task, theirs.labels) != (ours.task, ours.labels):
        raise DataError(f"{variant!r}: {one.name} answers another question: task or labels differ.")
    kinds = {column.name: column.kind for column in ours.inputs}
    for column in theirs.inputs:
        if kinds.get(column.name) != column.kind:
            raise DataError(
                f"{variant!r}: {one.name} takes {column.name!r} as a {column.kind}, which the data has not."
            )


def _copied(source: Path, into: Path, digest: str) -> None:
    """A bundle and those of its members, checked on the way."""
    came = Blobs(source).verify(digest)
    for member in read_manifest(came).members.values():
        _copied(source, into, member)
    if source != into and not Blobs(into).exists(digest):
        draft = into / f"{DRAFT}{digest}"
        shutil.copytree(came, draft, dirs_exist_ok=True)
        draft.rename(into / digest)
