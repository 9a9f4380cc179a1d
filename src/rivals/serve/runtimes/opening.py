"""From a folder to a predictor, with nothing believed: the digest, the manifest and the probe are checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from rivals.bundles import PROBE, BundleManifest, Probe, allowed, folder_digest, read, read_manifest
from rivals.errors import BundleError
from rivals.plugins import make
from rivals.protocols import Combiner, Opener, Predictor
from rivals.serve.runtimes.native import NativePredictor
from rivals.serve.runtimes.onnx import OnnxPredictor
from rivals.serve.runtimes.remote import RemotePredictor
from rivals.serve.runtimes.together import TogetherPredictor
from rivals.values import Columns

NOBODY: Mapping[str, Predictor] = MappingProxyType({})


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
    _probe(opened, read(folder / PROBE, Probe), manifest, folder)
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
            return RemotePredictor(folder, manifest.signature)
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


def _probe(opened: Predictor, probe: Probe, manifest: BundleManifest, folder: Path) -> None:
    """Ask what was asked at build. Raises ``BundleError`` unless the answers are the same, to ``TOLERANCE``."""
    expected = np.array(probe.outputs, np.float64)
    try:
        got = opened.predict(Columns(probe.columns, len(probe.outputs)))
        off = np.abs(got - expected)
    except Exception as error:  # a damaged bundle may raise anything
        msg = f"Bundle {folder.name[:12]} cannot answer its probe ({error}). Build the variant again."
        raise BundleError(msg) from error
    if not (off <= allowed(manifest.signature, expected)).all():
        msg = f"Bundle {folder.name[:12]} answers its probe {off.max():.2g} off. Build the variant again."
        raise BundleError(msg)
