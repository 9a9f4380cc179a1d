"""One training: every variant built anew on newer rows, and the challenger that the former champion makes with them.

Each variant is built on each window: a short one knows what is new and a long one what comes again, and nobody knows
beforehand which is needed (Pesaran & Pick, Forecast combination across estimation windows, J. of Business & Economic
Statistics 29, 2011). The challenger is an ensemble with equal parts of each window's mean, and a part of the former
champion where ``former`` says so (Clemen, Combining forecasts, Int. J. of Forecasting 5, 1989). New variants have the
number of the training in their names, and the window where it is not the longest: ``boosted.2.90d``.
"""

from __future__ import annotations

import hashlib
import os
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rivals.build import bank
from rivals.build.bank import Bank
from rivals.build.bundle import Bundle, write_ensemble
from rivals.build.evaluate import scores
from rivals.build.rows import Rows, prepare, seconds_of
from rivals.bundles import columns_of, read_manifest
from rivals.decide.backtest import backtest
from rivals.errors import DataError, RivalsError
from rivals.flows import tracked
from rivals.flows.compare import banked, compare_project
from rivals.flows.events import BuildEvent
from rivals.flows.gate import gate_project
from rivals.flows.train import train_project
from rivals.flows.workspace import Workspace
from rivals.observe.outcomes import LOSSES
from rivals.registry.lineage import lineage
from rivals.serve.runtimes import open_bundle, predictor
from rivals.spec.project import MAIN, VariantSpec
from rivals.spec.watching import RetrainSpec
from rivals.statistics.offline import blocks_of
from rivals.values import Retrain, Scores, Status, Trained, Use, Verdict, Version

LEAST_PART = 0.01  # of the challenger: who would have less is no member of it any more
AGAINST_CHAMPION = {"noninferior", "slices"}  # judges of a gate that need the champion on the same rows: the backtest's


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a training came to. ``challenger`` is empty where there is none, and ``verdict`` says why."""

    number: int
    asked: Retrain
    at: float
    rows: int
    built: tuple[str, ...]
    failed: Mapping[str, str]
    challenger: str
    verdict: Verdict
    seconds: float
    cpu_seconds: float
    weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether there is a challenger that nothing speaks against."""
        return bool(self.challenger) and self.verdict.status not in {Status.FAIL, Status.ERROR}

    @property
    def sentence(self) -> str:
        """In one line."""
        ends = f"{self.challenger}: {self.verdict.reason}" if self.challenger else self.verdict.reason
        return f"training {self.number} on {self.rows} rows, for {self.asked.reason}: {ends}"


def sweep(
    workspace: Workspace,
    frame: pd.DataFrame,
    asked: Retrain,
    number: int,
    now: float,
    tell: Callable[[BuildEvent], None] = lambda _: None,
) -> Sweep:
    """Build all variants that can be on the rows from ``asked.since`` to ``now`` and on shorter windows; join them.

    Raises ``RivalsError`` where there is nothing to learn from; a variant that fails is told, and the others go on.
    """
    began, spent = time.monotonic(), _cpu()
    spans = _spans(workspace, frame, asked, now)
    built: list[str] = []
    failed: dict[str, str] = {}
    groups: list[Group] = []
    for suffix, rows in spans:
        derived = derived_for(workspace, rows, f"{number}{suffix}")
        report = train_project(derived, tell=tell)
        names = [one.variant for one in report.trained]
        built += names
        failed |= report.failed
        if names:
            groups.append(Group(derived, rows, tuple(_near_the_best(derived, names))))
    challenger, weights = "", dict[str, float]()
    if groups:
        challenger, weights, verdict = _join(workspace, groups, number)
    else:
        first = next(iter(failed.items()), ("no variant", "none is trained on the project's main rows"))
        verdict = Verdict("build", Status.ERROR, f"nothing could be built; {first[0]}: {first[1]}")
    return Sweep(
        number, asked, now, len(spans[0][1]), tuple(built), failed, challenger, verdict,
        time.monotonic() - began, _cpu() - spent, weights,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Group:
    """What one window came to: the project as its training saw it, its rows, and the variants that are good enough."""

    derived: Workspace
    rows: pd.DataFrame
    names: tuple[str, ...]


def _spans(workspace: Workspace, frame: pd.DataFrame, asked: Retrain, now: float) -> list[tuple[str, pd.DataFrame]]:
    """Of each window the end of its variants' names and its rows, the longest first; windows alike are one."""
    found = [("", within(workspace, frame, asked.since, now))]
    shorter = [one for one in (workspace.endpoint.retrain or RetrainSpec()).window if isinstance(one, float)]
    for length in sorted(shorter, reverse=True) if workspace.spec.data.time else ():
        if asked.since is not None and now - length <= asked.since:
            continue
        try:
            rows = within(workspace, frame, now - length, now)
        except DataError:  # the newest rows are older than that: the longer windows have them
            continue
        if len(rows) < len(found[-1][1]):
            found.append((f".{length / 86_400:g}d", rows))
    return found


def within(workspace: Workspace, frame: pd.DataFrame, since: float | None, now: float) -> pd.DataFrame:
    """The labelled rows of that time; all where the project names no time. Raises ``DataError`` where there is none."""
    data = workspace.spec.data
    kept = (
        frame[data.target].notna().to_numpy(copy=True) if data.target in frame.columns else np.zeros(len(frame), bool)
    )
    if data.time:
        moments = seconds_of(frame[data.time], data.time)
        kept &= moments <= now
        if since is not None:
            kept &= moments >= since
    if not kept.any():
        raise DataError(f"No row with a {data.target!r} lies in the window that a training would learn from.")
    return frame[kept].reset_index(drop=True)


# -- the new variants ----------------------------------------------------------------------------------------


def _kept(workspace: Workspace, rows: pd.DataFrame, number: str) -> Path:
    """The rows as a file of this training, so that it can be reproduced."""
    folder = workspace.state / "retrain"
    folder.mkdir(mode=0o700, exist_ok=True)
    file = folder / f"rows-{number}.parquet"
    draft = folder / f".{file.name}.{os.getpid()}"
    rows.to_parquet(draft, index=False)
    draft.chmod(0o600)
    draft.rename(file)
    return file


def derived_for(workspace: Workspace, rows: pd.DataFrame, number: str) -> Workspace:
    """The project as this training sees it: these rows, all of them learned from; variants by new names.

    Raises ``RivalsError`` where there is no variant to train.
    """
    spec, file = workspace.spec, _kept(workspace, rows, number)
    division = spec.data.split.model_copy(update={"test": 0.0, **({"by": "time"} if spec.data.time else {})})
    data = spec.data.model_copy(update={"source": Use("parquet", {"path": str(file)}), "sets": {}, "split": division})
    variants = tuple(
        one.model_copy(update={"name": f"{one.name}.{number}"})
        for one in spec.variants
        if one.kind == "train" and one.data == MAIN
    )
    if not variants:
        raise RivalsError("No variant of the project can be trained anew: all exist already, or combine others.")
    gate = tuple(one for one in spec.gate if one.name not in AGAINST_CHAMPION)
    changed = spec.model_copy(update={"data": data, "variants": variants, "endpoint": None, "gate": gate})
    return replace(workspace, spec=changed)


def _near_the_best(derived: Workspace, built: Sequence[str]) -> list[str]:
    """Those that are not clearly worse than the best: their intervals meet."""
    try:
        board = compare_project(derived)
    except DataError:  # too few rows to rank them; nobody is turned away
        return list(built)
    sign = 1.0 if board.lower_is_better else -1.0
    ends = {row.variant: sorted((sign * row.low, sign * row.high)) for row in board.rows if row.variant in built}
    least = min(high for _, high in ends.values())
    return [name for name in built if name in ends and ends[name][0] <= least]


# -- the challenger --------------------------------------------------------------------------------------------


def _join(workspace: Workspace, groups: Sequence[Group], number: int) -> tuple[str, dict[str, float], Verdict]:
    """The challenger by its name, the parts of its members, and what the gate says of it."""
    derived = groups[0].derived
    rows = prepare(groups[0].rows, derived.spec.data)
    table, former = workspace.table(), (workspace.endpoint.retrain or RetrainSpec()).former
    champion = next(Version(arm.variant, arm.digest) for arm in table.arms if arm.variant == table.champion)
    new = [[workspace.trained(name) for name in one.names] for one in groups]
    members, weights = _members(workspace, champion, new, former)
    name = f"retrained.{number}"
    honest = _honest(workspace, champion, rows, [[banked(workspace, one) for one in few] for few in new], former)
    bundle = write_ensemble(
        workspace.blobs.folder, members, Use("mean", {"weights": weights}),
        rows.inputs[_inputs(workspace, members)], runtime=predictor, opener=workspace.blobs.path,
        lineage=_lineage(derived, rows, name),
    )  # fmt: skip
    verdict = _judged(workspace, groups, honest)
    _register(workspace, derived, (name, members, weights), bundle, honest, len(rows))
    return name, weights, verdict


def _members(
    workspace: Workspace, champion: Version, new: Sequence[Sequence[Trained]], former: float
) -> tuple[dict[str, str], dict[str, float]]:
    """Digests and weights. Of a champion that is a mean itself the members go on, each with its part."""
    manifest = read_manifest(workspace.blobs.path(champion.digest))
    parts = {champion.variant: (champion.digest, 1.0)}
    if manifest.members and manifest.combiner and manifest.combiner.name == "mean":
        said = manifest.combiner.options.get("weights") or dict.fromkeys(manifest.members, 1.0)
        whole = sum(said.values())
        parts = {name: (digest, said.get(name, 0.0) / whole) for name, digest in manifest.members.items()}
    each = {name: (digest, part * former) for name, (digest, part) in parts.items()}
    each |= {one.variant: (one.digest, (1 - former) / len(new) / len(few)) for few in new for one in few}
    kept = {name: one for name, one in each.items() if one[1] >= LEAST_PART}
    whole = sum(part for _, part in kept.values())
    return {name: digest for name, (digest, _) in kept.items()}, {name: one[1] / whole for name, one in kept.items()}


def _honest(
    workspace: Workspace, champion: Version, rows: Rows, banks: Sequence[Sequence[Bank]], former: float
) -> tuple[Bank, NDArray[np.float64]]:
    """What the challenger would have said of rows that none of its parts was fitted on, and what the champion said."""
    manifest = read_manifest(workspace.blobs.path(champion.digest))
    until = float(manifest.lineage.get("trained_until", -np.inf))
    fresh = [_latest(few, until) for few in banks]
    shared = min(len(one) for one in fresh)  # windows end alike, and each has the latest rows of the longer ones
    known = fresh[0].where(np.arange(len(fresh[0])) >= len(fresh[0]) - shared)
    if not shared:
        return known, known.outputs
    new = np.mean([one.outputs[len(one) - shared :] for one in fresh], axis=0)
    places = {one: place for place, one in enumerate(rows.ids.tolist())}
    asked = rows.inputs.iloc[[places[one] for one in known.ids.tolist()]]
    opened = open_bundle(workspace.blobs.path(champion.digest), workspace.blobs.path)
    said = opened.predict(columns_of(asked, manifest.signature))
    return replace(known, outputs=former * said + (1 - former) * new), said


def _latest(banks: Sequence[Bank], until: float) -> Bank:
    """The mean of what the variants of a window said of the rows after ``until``, in the order of time."""
    first = banks[0]
    if first.time is None:
        return first.where(np.zeros(len(first), bool))
    order = np.argsort(first.time, kind="stable")
    order = order[first.time[order] > until]
    said = replace(first, outputs=np.mean([one.outputs for one in banks], axis=0))
    return said.where(order)


def _judged(workspace: Workspace, groups: Sequence[Group], honest: tuple[Bank, NDArray[np.float64]]) -> Verdict:
    """The backtest's word; or that of the project's gate, where it keeps a new member from going live."""
    for derived, name in ((one.derived, name) for one in groups for name in one.names):
        if not derived.spec.gate:
            continue
        report = gate_project(derived, name)
        if report.status is Status.FAIL:
            told = "; ".join(f"{one.judge}: {one.reason}" for one in report.verdicts if one.status is Status.FAIL)
            return Verdict("gate", Status.FAIL, f"the gate keeps {name} from going live: {told}")
    known, champion = honest
    wish = workspace.endpoint.rollout
    metric = wish.metric or ("squared" if workspace.spec.data.answers == "regression" else "brier")
    if not len(known):
        return backtest([], alpha=wish.risk.alpha)
    target = known.target.astype(float)
    gaps = LOSSES[metric](target, known.outputs, np.inf) - LOSSES[metric](target, champion, np.inf)
    blocks = blocks_of(len(gaps), known.time, None, length=wish.block)
    sums, counts = np.bincount(blocks, weights=gaps), np.bincount(blocks)
    return backtest((sums[counts > 0] / counts[counts > 0]).tolist(), alpha=wish.risk.alpha)


def _inputs(workspace: Workspace, members: Mapping[str, str]) -> list[str]:
    found: dict[str, None] = {}
    for digest in members.values():
        found |= {one.name: None for one in read_manifest(workspace.blobs.path(digest)).signature.inputs}
    return list(found)


def _lineage(derived: Workspace, rows: Rows, name: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"variant": name, "commit": lineage(derived.folder, derived.spec.seed).commit}
    return facts | ({"trained_until": float(rows.time.max())} if rows.time is not None else {})


def _register(
    workspace: Workspace,
    derived: Workspace,
    made: tuple[str, Mapping[str, str], Mapping[str, float]],
    bundle: Bundle,
    honest: tuple[Bank, NDArray[np.float64]],
    rows: int,
) -> None:
    """Remember the challenger as any variant that was built: its predictions, its version, its scores."""
    name, members, weights = made
    wish = hashlib.sha256(msgspec.json.encode([dict(members), dict(weights)], order="sorted")).hexdigest()
    bank.write(workspace.state / "bank" / wish, honest[0])
    measured = scores(honest[0], derived.spec.measures) if len(honest[0]) else Scores({})
    trained = Trained(
        name, bundle.digest, wish, measured, 0.0, bundle.predict_us, bundle.bytes,
        bundle.manifest.runtime, bundle.manifest.parity,
    )  # fmt: skip
    parts = ", ".join(f"{weights[one]:.2f} {one}" for one in members)
    told = VariantSpec(
        name=name, model=f"the mean of {parts}"
    )  # as MLflow is told of it: some members are no longer asked for
    known = replace(derived, spec=derived.spec.model_copy(update={"variants": (*derived.spec.variants, told)}))
    version = Version(name, bundle.digest)
    try:
        seen = lineage(workspace.folder, workspace.spec.seed)
        version = tracked.build(known, trained, bundle, seen, (wish, rows))
    except RivalsError:  # MLflow follows where it can; the bundle and the ledger are what counts
        pass
    with workspace.store.transaction() as tx:
        tx.put_trained(trained, version, {"p99_us": bundle.p99_us, "weights": dict(weights)})


def _cpu() -> float:
    """CPU-seconds of this process and all it waited for."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)
