"""A trained variant as a folder that runs alone: written, measured by what will serve it, named by its digest."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rivals.build.additive import to_native
from rivals.build.convert import modules_of, to_onnx
from rivals.build.graph import one_graph
from rivals.build.leftovers import DRAFT
from rivals.build.mlmodel import write_mlmodel
from rivals.build.parity import compare, latency
from rivals.build.reference import HeldOut, edges, sketch
from rivals.build.skops_file import dump
from rivals.bundles import (
    MANIFEST,
    MEASURED,
    NATIVE,
    ONNX,
    PROBE,
    REFERENCE,
    REMOTE,
    SKOPS,
    Address,
    BundleManifest,
    Candidate,
    Measured,
    Probe,
    columns_of,
    folder_bytes,
    folder_digest,
    read_manifest,
)  # fmt: skip
from rivals.errors import BuildError
from rivals.plugins import make, nearest
from rivals.protocols import Combiner, Opener, Predictor
from rivals.remote import Remote
from rivals.rules import is_beside
from rivals.values import Column, Columns, Signature, Use

BOOSTERS = {"lightgbm": "lightgbm", "xgboost": "xgboost-cpu", "catboost": "catboost"}  # packages by module
PARITY_ROWS = 2_000
PROBE_ROWS = 32
ASKED = 200  # rows that a remote model is asked, one by one too
TIMED = 40  # rows that members elsewhere are timed by, one by one: milliseconds each
AWAY = {"child", "remote", "fanout"}  # runtimes that answer, or ask, elsewhere
CATEGORIES = 1_000  # of a text input that are listed in the manifest
JOINED = 1e-6  # between a graph of an ensemble and its members asked one by one
CLEARLY = 0.8  # the graph gives way only to what takes less than this share of its time: noise shall not choose

Times = Mapping[str, tuple[float, float]]  # by runtime: median and 99th percentile of one row, in microseconds


class Runtime(Protocol):
    """``rivals.serve.runtimes.predictor``, handed in: rooms are strangers."""

    def __call__(self, folder: Path, manifest: BundleManifest, opener: Opener, /) -> Predictor:
        """Make the predictor that will serve this folder."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle as it was written; ``predict_us`` is one row's median, 0 for "child", which is not asked."""

    digest: str
    folder: Path
    manifest: BundleManifest
    predict_us: float
    p99_us: float
    bytes: int


def write(
    into: Path,
    pipeline: Any,
    signature: Signature,
    rows: pd.DataFrame,
    *,
    runtime: Runtime,
    metrics: Mapping[str, Any] | None = None,
    lineage: Mapping[str, Any] | None = None,
    known: HeldOut | None = None,
) -> Bundle:
    """Write a fitted scikit-learn pipeline as ``into/<digest>``; the same inputs give the same digest.

    ``rows`` are the rows it was fitted on, 1,000 or more: parity, latency, probe and reference come from them; what
    held-out rows say is ``known``. What no runtime answers exactly gets the runtime "child", and the reason. Raises
    ``BuildError``.
    """
    order = _order(pipeline, signature, rows)

    def answer(some: pd.DataFrame) -> NDArray[np.float64]:
        return outputs(pipeline, some[order], signature)

    real = _spread(rows, PARITY_ROWS)
    asked = pd.concat([real, edges(real, signature, answer)], ignore_index=True)
    expected, columns = answer(asked), columns_of(asked, signature)
    manifest = BundleManifest(
        signature, "child", dtypes=_dtypes(signature), categories=_categories(rows, signature),
        parity_rows=len(asked), metrics=dict(metrics or {}), lineage=dict(lineage or {}),
    )  # fmt: skip
    make: Mapping[str, Callable[[], bytes]] = {
        "onnx": lambda: to_onnx(pipeline, signature, order).SerializeToString(deterministic=True),
        "native": lambda: _json(to_native(pipeline, signature, real[order])),
    }
    with _draft(into) as folder:
        exact: dict[str, Predictor] = {}
        for name, file in FILES.items():
            trial = replace(manifest, runtime=name)
            candidate, opened = _try(folder / file, make[name], trial, runtime, (columns, expected))
            manifest = replace(manifest, candidates=(*manifest.candidates, candidate))
            if opened:
                exact[name] = opened
        times = latency(exact, columns)
        manifest = _choose(manifest, times)
        _keep(folder, manifest)
        packages = _save(folder / SKOPS, pipeline, manifest)
        answers = exact[manifest.runtime].predict(columns) if exact else expected
        write_mlmodel(folder, signature, packages if manifest.runtime == "child" else ())
        _describe(folder, asked, answers, manifest, times)
        (folder / REFERENCE).write_bytes(_json(sketch(rows, answer(rows), signature, known)))
        return _seal(folder, into, manifest, times)


def write_remote(
    into: Path,
    remote: Remote,
    rows: pd.DataFrame,
    *,
    metrics: Mapping[str, Any] | None = None,
    lineage: Mapping[str, Any] | None = None,
    known: HeldOut | None = None,
) -> Bundle:
    """Write what stands for a model elsewhere as ``into/<digest>``; its probe tells when another answers there.

    Its latency is that of asking it from here. Raises ``BundleError`` or ``Unreachable``.
    """
    signature = remote.signature
    asked = _spread(rows, ASKED)
    columns = columns_of(asked, signature)
    answers = remote.predict(columns)
    manifest = BundleManifest(
        signature, "remote", dtypes=_dtypes(signature), categories=_categories(rows, signature),
        metrics=dict(metrics or {}), lineage=dict(lineage or {}),
    )  # fmt: skip
    with _draft(into) as folder:
        times = latency({"remote": remote}, columns)
        (folder / REMOTE).write_bytes(_json(Address(remote.url)))
        write_mlmodel(folder, signature)
        (folder / REFERENCE).write_bytes(_json(sketch(rows, answers, signature, known)))
        _describe(folder, asked, answers, manifest, times)
        return _seal(folder, into, manifest, times)


def write_ensemble(
    into: Path,
    members: Mapping[str, str],
    combiner: Use,
    rows: pd.DataFrame,
    *,
    runtime: Runtime,
    opener: Opener,
    deadline_ms: float | None = None,
    quorum: int | None = None,
    columns: Sequence[Column] = (),
    metrics: Mapping[str, Any] | None = None,
    lineage: Mapping[str, Any] | None = None,
    known: HeldOut | None = None,
) -> Bundle:
    """Write an ensemble as ``into/<digest>``: its members by reference (name to digest) and what combines them.

    It takes the members' columns together, and those of ``columns`` that its combiner looks at, and is as exact as the
    least exact member. Where members and combiner join into one graph that answers as they do, and is not slower, the
    graph serves. Where a member answers in another process, all are asked at once; its latency here is that of asking
    them one by one. ``runtime`` then opens what is not served in process, too. Raises ``BuildError``.
    """
    manifests = {name: read_manifest(opener(digest)) for name, digest in members.items()}
    wanted = frozenset(getattr(make(Combiner, combiner), "columns", ()))
    signature = _together(manifests, [column for column in columns if column.name in wanted])
    _looks(wanted, signature)
    away = [name for name, member in manifests.items() if member.runtime in AWAY]
    asked = _spread(rows, ASKED if away else PARITY_ROWS)
    given = columns_of(asked, signature)
    manifest = BundleManifest(
        signature, "fanout" if away else "together", dtypes=_dtypes(signature), categories=_categories(rows, signature),
        parity=max(member.parity for member in manifests.values()), parity_rows=len(asked),
        reason=f"its member {away[0]} answers from another process" if away else "",
        members=dict(members), combiner=combiner, deadline_ms=deadline_ms, quorum=quorum,
        beside=tuple(sorted({one for one in wanted if is_beside(one)}.union(*(m.beside for m in manifests.values())))),
        metrics=dict(metrics or {}), lineage=dict(lineage or {}),
    )  # fmt: skip
    with _draft(into) as folder:
        opened: dict[str, Predictor] = {manifest.runtime: runtime(folder, manifest, opener)}
        answers = opened[manifest.runtime].predict(given)
        if away:
            times = latency(opened, columns_of(_spread(asked, TIMED), signature))
        else:

            def joined() -> bytes:
                parts = {name: (opener(digest) / ONNX).read_bytes() for name, digest in members.items()}
                graphs = {name: (raw, manifests[name].signature) for name, raw in parts.items()}
                return one_graph(graphs, make(Combiner, combiner), signature)

            graph, found = _try(folder / ONNX, joined, replace(manifest, runtime="onnx"), runtime, (given, answers))
            if found and (graph.parity or 0.0) > JOINED * max(1.0, float(np.abs(answers).mean())):
                graph, found = replace(graph, exact=False, reason=f"it is {graph.parity:.2g} off its members"), None
            opened |= {"onnx": found} if found else {}
            times = latency(opened, given)
            chosen = _choose(replace(manifest, candidates=(graph, Candidate("together", exact=True))), times)
            manifest = replace(chosen, parity=manifest.parity + chosen.parity)
            _keep(folder, manifest)
        write_mlmodel(folder, signature)
        (folder / REFERENCE).write_bytes(_json(sketch(rows, answers, signature, known)))
        _describe(folder, asked, answers, manifest, times)
        return _seal(folder, into, manifest, times)


def outputs(pipeline: Any, rows: pd.DataFrame, signature: Signature) -> NDArray[np.float64]:
    """Ask a pipeline: probabilities (rows, labels) or values (rows, 1). Raises ``BuildError`` where it has none."""
    if signature.task != "regression" and not hasattr(pipeline, "predict_proba"):
        msg = f"{_name(pipeline)} gives no probabilities (predict_proba): choose another estimator, or calibrate it."
        raise BuildError(msg)
    if signature.task != "regression" and list(pipeline.classes_) != list(signature.labels):
        msg = f"{_name(pipeline)} was fitted on the labels {list(pipeline.classes_)}, not {list(signature.labels)}."
        raise BuildError(msg)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of unseen categories: they are asked about on purpose
        out = pipeline.predict(rows) if signature.task == "regression" else pipeline.predict_proba(rows)
    return np.asarray(out, np.float64).reshape(len(rows), -1)


# -- candidates -------------------------------------------------------------------------------------

FILES: Mapping[Any, str] = {"onnx": ONNX, "native": NATIVE}


def _try(
    file: Path,
    make: Callable[[], bytes],
    manifest: BundleManifest,
    runtime: Runtime,
    question: tuple[Columns, NDArray[np.float64]],
) -> tuple[Candidate, Predictor | None]:
    """Make a runtime's file and ask it; the predictor comes back where it is exact. Failing is an answer, too."""
    try:
        file.write_bytes(make())
        opened = runtime(file.parent, manifest, _no_members)
        columns, expected = question
        worst, reason = compare(manifest.signature, expected, opened.predict(columns))
    except Exception as error:  # noqa: BLE001 -- converters and onnxruntime raise what they like
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return Candidate(manifest.runtime, exact=False, reason=f"cannot be made: {lines[0][:300]}"), None
    return Candidate(manifest.runtime, not reason, worst, reason), None if reason else opened


def _choose(manifest: BundleManifest, times: Times) -> BundleManifest:
    exact = [candidate for candidate in manifest.candidates if candidate.exact]
    if not exact:
        reasons = "; ".join(f"{candidate.runtime}: {candidate.reason}" for candidate in manifest.candidates)
        return replace(manifest, reason=f"No runtime answers as the pipeline does ({reasons}).")
    best = exact[0]
    for other in exact[1:]:
        if times[other.runtime][0] < CLEARLY * times[best.runtime][0]:
            best = other
    return replace(manifest, runtime=best.runtime, parity=best.parity or 0.0)


def _keep(folder: Path, manifest: BundleManifest) -> None:
    """Leave the graph where it is exact, and the tables where they were chosen."""
    kept = {c.runtime for c in manifest.candidates if c.exact and c.runtime in {"onnx", manifest.runtime}}
    for name, file in FILES.items():
        if name not in kept:
            (folder / file).unlink(missing_ok=True)


def _save(file: Path, pipeline: Any, manifest: BundleManifest) -> list[str]:
    """Write the skops file; return the packages it needs. What another runtime answers may do without one."""
    try:
        file.write_bytes(dump(pipeline))
    except Exception as error:
        if manifest.runtime == "child":
            msg = f"{_name(pipeline)} can be neither compiled nor saved without pickle ({error}). {manifest.reason}"
            raise BuildError(msg) from error
    modules = modules_of(pipeline)
    return ["scikit-learn", "skops", *sorted(BOOSTERS[name] for name in modules & BOOSTERS.keys())]


# -- the folder -------------------------------------------------------------------------------------


@contextmanager
def _draft(into: Path) -> Iterator[Path]:
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=DRAFT, dir=into))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # it has its own name by now, or failed


def _describe(
    folder: Path, rows: pd.DataFrame, answers: NDArray[np.float64], manifest: BundleManifest, times: Times
) -> None:
    signature = manifest.signature
    some = sorted({*_indexes(len(rows), PROBE_ROWS // 2), *range(max(0, len(rows) - PROBE_ROWS // 2), len(rows))})
    asked = columns_of(rows.iloc[some], signature)
    measured = Measured({k: t[0] for k, t in times.items()}, {k: t[1] for k, t in times.items()}, len(rows))
    (folder / PROBE).write_bytes(_json(Probe(asked.values, answers[some].tolist())))
    (folder / MEASURED).write_bytes(_json(measured))
    (folder / MANIFEST).write_bytes(msgspec.json.format(_json(manifest), indent=2))


def _seal(folder: Path, into: Path, manifest: BundleManifest, times: Times) -> Bundle:
    for file in folder.iterdir():
        file.chmod(0o600)
    digest = folder_digest(folder)
    place = into / digest
    if place.exists() and folder_digest(place) != digest:  # damaged since: the new one heals it
        shutil.rmtree(place)
    if not place.exists():
        folder.rename(place)
    median, p99 = times.get(manifest.runtime, (0.0, 0.0))
    return Bundle(digest, place, manifest, median, p99, folder_bytes(place))


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value, enc_hook=lambda number: number.item())  # numpy's numbers


# -- signatures and rows ----------------------------------------------------------------------------


def _order(pipeline: Any, signature: Signature, rows: pd.DataFrame) -> list[str]:
    """The columns in the order the pipeline was fitted on. Raises ``BuildError`` where one is not in the signature."""
    known = [column.name for column in signature.inputs]
    order = [str(name) for name in getattr(pipeline, "feature_names_in_", known)]
    missing = [name for name in order if name not in known] or [name for name in known if name not in rows.columns]
    if missing:
        msg = f"{_name(pipeline)} needs the column {missing[0]!r}, which is not among {', '.join(known)}."
        raise BuildError(msg)
    return order


def _looks(wanted: frozenset[str], signature: Signature) -> None:
    """Refuse a combiner that looks at what no request brings. Raises ``BuildError``."""
    known = [column.name for column in signature.inputs]
    for name in sorted(wanted):
        if name not in known and not is_beside(name):
            raise BuildError(f"The combiner looks at the column {name!r}, which is no input.{nearest(name, known)}")


def _together(manifests: Mapping[str, BundleManifest], looked_at: Sequence[Column]) -> Signature:
    """One signature for all members: their columns together; a gap is taken where every member takes it."""
    if not manifests:
        msg = "An ensemble needs members: name at least one."
        raise BuildError(msg)
    inputs: dict[str, Column] = {}
    first = next(iter(manifests.values())).signature
    for name, member in manifests.items():
        if (member.signature.task, member.signature.labels) != (first.task, first.labels):
            msg = f"Member {name} answers another question than {next(iter(manifests))}: task and labels must be equal."
            raise BuildError(msg)
        for column in member.signature.inputs:
            other = inputs.setdefault(column.name, column)
            if other.kind != column.kind:
                msg = f"Member {name} takes {column.name!r} as {column.kind}, another one as {other.kind}."
                raise BuildError(msg)
            inputs[column.name] = replace(other, nullable=other.nullable and column.nullable)
    for column in looked_at:
        inputs.setdefault(column.name, column)
    return replace(first, inputs=tuple(inputs.values()))


def _dtypes(signature: Signature) -> dict[str, str]:
    return {column.name: "float32" if column.kind == "number" else "str" for column in signature.inputs}


def _categories(rows: pd.DataFrame, signature: Signature) -> dict[str, list[str]]:
    texts = [column.name for column in signature.inputs if column.kind == "text"]
    return {name: sorted(map(str, rows[name].dropna().unique()))[:CATEGORIES] for name in texts}


def _spread(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    return rows.iloc[_indexes(len(rows), most)]


def _indexes(rows: int, most: int) -> list[int]:
    return sorted({int(i) for i in np.linspace(0, rows - 1, min(rows, most))}) if rows else []


def _name(pipeline: Any) -> str:
    return type(pipeline.steps[-1][1] if hasattr(pipeline, "steps") else pipeline).__name__


def _no_members(digest: str) -> Path:
    msg = f"A single model has no member {digest}."
    raise BuildError(msg)
