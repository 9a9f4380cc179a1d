"""From a folder to a predictor, with nothing believed: the digest, the manifest and the probe are checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from rivals.bundles import PROBE, REMOTE, Address, BundleManifest, Probe, allowed, folder_digest, read, read_manifest
from rivals.errors import BundleError
from rivals.plugins import make
from rivals.protocols import Combiner, Opener, Predictor
from rivals.serve.runtimes.native import NativePredictor
from rivals.serve.runtimes.onnx import OnnxPredictor
from rivals.serve.runtimes.remote import RemotePredictor
from rivals.serve.runtimes.together import TogetherPredictor
from rivals.values import Columns

NOBODY: Mapping[str, Predictor] = MappingProxyType({})
VERSION = 12  # digits of a digest by which a server of one bundle calls it


Alone = Callable[[Path, BundleManifest], Predictor]  # opens what is not served in process


def open_bundle(
    folder: Path, opener: Opener, known: Mapping[str, Predictor] = NOBODY, alone: Alone | None = None
) -> Predictor:
    """Open the bundle in ``folder``, which is named by its digest; blocking: milliseconds to a second.

    Members of an ensemble are taken from ``known`` (by digest) or opened. Raises ``BundleError`` with a sentence.
    """
    intact(folder)
    return open_unnamed(folder, opener, known, alone)


def intact(folder: Path) -> None:
    """Check a bundle against its name. Raises ``BundleError``."""
    if (actual := folder_digest(folder)) != folder.name:
        msg = f"Bundle {folder.name[:12]} is not what its name says (its files make {actual[:12]}): build it again."
        raise BundleError(msg)


def open_unnamed(
    folder: Path, opener: Opener, known: Mapping[str, Predictor] = NOBODY, alone: Alone | None = None
) -> Predictor:
    """Open a bundle that was copied to a folder of another name: the probe alone is checked."""
    manifest = read_manifest(folder)
    opened = predictor(folder, manifest, opener, known, alone)
    _probe(opened, manifest, folder, f"Bundle {folder.name[:12]}", "Build the variant again.")
    return opened


def open_placed(folder: Path, variant: str, url: str, token: str = "") -> RemotePredictor:
    """Ask the `rivals serve-bundle` at ``url`` for the bundle in ``folder``, by its name and then by its probe.

    The bundle's digest is in every question, so that whoever comes to live there later is not taken for it.
    Raises ``BundleError`` with a sentence.
    """
    intact(folder)
    manifest, digest = read_manifest(folder), folder.name[:VERSION]
    if manifest.beside:
        msg = f"{variant!r} looks at {', '.join(manifest.beside)}, which no --place is told: serve it here."
        raise BundleError(msg)
    opened = RemotePredictor(f"oip+{url}/versions/{digest}", manifest.signature, token=token)
    _probe(opened, manifest, folder, f"{variant!r} at {url}", f"Serve bundle {digest} there.")
    return opened


def predictor(
    folder: Path,
    manifest: BundleManifest,
    opener: Opener,
    known: Mapping[str, Predictor] = NOBODY,
    alone: Alone | None = None,
) -> Predictor:
    """Make the predictor ``manifest`` asks for, unchecked: what building measures, and opening checks.

    Members of an ensemble are asked one by one, wherever they are; where clients wait, ``rivals.serve.fanout`` does it.
    """
    match manifest.runtime:
        case "onnx":
            return OnnxPredictor(folder, manifest.signature)
        case "remote":
            return RemotePredictor(read(folder / REMOTE, Address).url, manifest.signature)
        case "native":
            return NativePredictor(folder, manifest.signature)
        case "child" if alone and not manifest.members:
            return alone(folder, manifest)
        case "together" | "fanout" if manifest.combiner and manifest.members:
            members = {
                name: known[digest] if digest in known else open_bundle(opener(digest), opener, known, alone)
                for name, digest in manifest.members.items()
            }
            combiner = make(Combiner, manifest.combiner)
            return TogetherPredictor(folder.name, manifest.signature, members, combiner, manifest.beside)
    why = manifest.reason or "it is an ensemble without members"
    msg = f"Bundle {folder.name[:12]} is not served in process: {why}"
    raise BundleError(msg)


def _probe(opened: Predictor, manifest: BundleManifest, folder: Path, who: str, mend: str) -> None:
    """Ask what was asked at build. Raises ``BundleError`` unless the answers are the same, to ``TOLERANCE``."""
    probe = read(folder / PROBE, Probe)
    expected = np.array(probe.outputs, np.float64)
    try:
        got = opened.predict(Columns(probe.columns, len(probe.outputs)))
        off = np.abs(got - expected)
    except Exception as error:  # a damaged bundle may raise anything
        msg = f"{who} cannot answer its probe ({error}). {mend}"
        raise BundleError(msg) from error
    if not (off <= allowed(manifest.signature, expected)).all():
        msg = f"{who} answers its probe {off.max():.2g} off. {mend}"
        raise BundleError(msg)
