"""What everybody knows about a bundle: its files, its manifest and its digest.

An immutable folder named by its digest: ``build`` writes it, ``serve`` answers from it, ``registry`` keeps it::

    rivals.json       BundleManifest
    model.onnx        the whole pipeline as a graph          (runtime "onnx")
    native.json       the same as arithmetic on a few tables (runtime "native")
    model.skops       the fitted scikit-learn pipeline, without pickle
    MLmodel           lets MLflow load the folder; with requirements.txt and python_env.yaml
    reference.json    sketch of every input and of the scores, for drift
    probe.json        Probe: rows and the outputs they must give, checked at every load
    measured.json     Measured: what one machine took for it; not part of the digest
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from rivals.errors import BundleError
from rivals.values import Columns, Signature, Use

if TYPE_CHECKING:  # arrays pass through; reading a manifest needs no numpy
    import numpy as np
    from numpy.typing import NDArray

FORMAT = 1

MANIFEST = "rivals.json"
ONNX = "model.onnx"
NATIVE = "native.json"
SKOPS = "model.skops"
REMOTE = "remote.json"
REFERENCE = "reference.json"
PROBE = "probe.json"
MEASURED = "measured.json"

NUMBERS, TEXTS = "numbers", "texts"  # the two inputs of a graph, each in the order of the signature
NULL = "\ufdd0null"  # a missing text inside a graph or table; a noncharacter, so that no text is mistaken for it
TOLERANCE = 1e-5  # between a runtime and the pipeline: absolute for probabilities, relative for values

Runtime = Literal["onnx", "native", "together", "fanout", "child", "remote"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A runtime that was tried: its worst difference from the pipeline, and why it is not exact."""

    runtime: Runtime
    exact: bool
    parity: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class BundleManifest:
    """``rivals.json``: what the bundle takes and gives, and how it answers.

    ``members`` maps the members of an ensemble to their bundles' digests; ``combiner`` makes one answer of theirs.
    A bundle whose runtime is "child" is answered in a process of its own; ``reason`` says why. An ensemble with the
    runtime "fanout" has a member elsewhere: all are asked at once, within ``deadline_ms``, and ``quorum`` must answer.
    ``beside`` are the columns that it makes of what a request says beside its rows (``rivals.rules``).
    """

    signature: Signature
    runtime: Runtime
    dtypes: Mapping[str, str] = field(default_factory=dict)  # by input: float32 or str
    categories: Mapping[str, Sequence[str]] = field(default_factory=dict)  # by text input: as seen in training
    parity: float = 0.0  # of the chosen runtime
    parity_rows: int = 0
    reason: str = ""
    candidates: tuple[Candidate, ...] = ()
    members: Mapping[str, str] = field(default_factory=dict)
    combiner: Use | None = None
    deadline_ms: float | None = None
    quorum: int | None = None
    beside: tuple[str, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    lineage: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Address:
    """``remote.json``: where the model is that a bundle stands for."""

    url: str


@dataclass(frozen=True, slots=True)
class Probe:
    """Rows by column and the outputs they must give, to ``TOLERANCE``."""

    columns: Mapping[str, Sequence[float | str | None]]
    outputs: Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Measured:
    """Microseconds for one row, over many different rows, by runtime: median and 99th percentile."""

    median_us: Mapping[str, float]
    p99_us: Mapping[str, float]
    rows: int


@dataclass(frozen=True, slots=True)
class Native:
    """``native.json``: a model that adds up, ``link(bias + sum(slope * number) + sum(table[text]))``, k terms each.

    ``nulls`` is what a missing number adds (no entry: the model takes none); ``tables`` has ``NULL`` for missing texts.
    """

    link: Literal["identity", "sigmoid", "softmax", "ovr"]
    bias: Sequence[float]
    slopes: Mapping[str, Sequence[float]]
    nulls: Mapping[str, Sequence[float]]
    tables: Mapping[str, Mapping[str, Sequence[float]]]
    unseen: Mapping[str, Sequence[float]]


def allowed(signature: Signature, expected: NDArray[np.float64]) -> Any:
    """How far a runtime may be from ``expected`` (rows, k): ``TOLERANCE``, of each value or of their mean size."""
    if signature.task != "regression":
        return TOLERANCE
    size = abs(expected)
    return TOLERANCE * size.clip(min=size.mean() or 1)


def is_gap(value: object) -> bool:
    """Whether a value out of a data frame is missing."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def columns_of(frame: Any, signature: Signature) -> Columns:
    """Take the signature's columns out of a data frame as plain Python values; NaN is None."""
    values = {
        column.name: [None if is_gap(value) else value for value in frame[column.name].tolist()]
        for column in signature.inputs
    }
    return Columns(values, len(frame))


def folder_digest(path: Path) -> str:
    r"""Name a bundle: SHA-256 over the sorted files and their SHA-256.

    As by hand: ``find * -type f ! -path measured.json | LC_ALL=C sort | xargs -d "\n" sha256sum | sha256sum``.
    Timings are left out, so that the same model built twice has one name. Raises ``BundleError`` on links and devices.
    """
    lines = [f"{_file_digest(file)}  {name}\n" for name, file in _files(path) if name != MEASURED]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def folder_bytes(path: Path) -> int:
    """Add up the sizes of the files, in bytes."""
    return sum(file.stat().st_size for _, file in _files(path))


def read_manifest(folder: Path) -> BundleManifest:
    """Read ``rivals.json``. Raises ``BundleError`` where it is missing, damaged or of a format not known here."""
    manifest = read(folder / MANIFEST, BundleManifest)
    if manifest.format != FORMAT:
        msg = f"Bundle {folder.name} has format {manifest.format}, not {FORMAT}: build it again with this rivals."
        raise BundleError(msg)
    return manifest


def read(file: Path, kind: type[T]) -> T:
    """Read a JSON file of a bundle as a value. Raises ``BundleError``."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        msg = f"Bundle {file.parent.name}: {file.name} cannot be read ({error}). Build the variant again."
        raise BundleError(msg) from error


def _files(path: Path) -> list[tuple[str, Path]]:
    if not path.is_dir():
        msg = f"There is no bundle at {path.name}: build the variant again."
        raise BundleError(msg)
    found = []
    for root, folders, names in os.walk(path):
        for name in folders + names:
            file = Path(root, name)
            if file.is_symlink() or not (file.is_file() or file.is_dir()):
                msg = f"Bundle {path.name}: {name} is not a plain file; a bundle holds nothing else. Build it again."
                raise BundleError(msg)
            if file.is_file():
                found.append((file.relative_to(path).as_posix(), file))
    return sorted(found, key=lambda pair: pair[0].encode())


def _file_digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
