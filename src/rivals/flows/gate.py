"""May a variant go live? The project's gate on offline evidence, before a single request is asked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pandas as pd

from rivals import plugins
from rivals.build.rows import prepare
from rivals.build.schema import breaks
from rivals.decide.compare import Leaderboard
from rivals.decide.gate import gate, offline, worst
from rivals.decide.judges.behaviour import Behaviour
from rivals.decide.judges.bundle import SAID
from rivals.decide.judges.slices import Slices
from rivals.errors import RivalsError
from rivals.flows.asked import ask
from rivals.flows.behaviour import tried
from rivals.flows.compare import champion_of, compare_project
from rivals.flows.gated import GateReport, asked_of, gate_key
from rivals.flows.reading import anchored
from rivals.flows.schema import schema_of
from rivals.flows.workspace import Workspace
from rivals.protocols import Judge, Source
from rivals.values import Evidence, Trained


def gate_project(workspace: Workspace, variant: str | None = None) -> GateReport:
    """Ask the judges under ``gate`` about a variant, the recommended one if none is named, and keep what they say."""
    spec = workspace.spec
    wanted = [str(judge.options.get("metric")) for judge in spec.gate if "metric" in judge.options]
    boards = [compare_project(workspace, metric) for metric in dict.fromkeys([spec.measures[0], *wanted])]
    chosen = variant or boards[0].recommended
    trained = workspace.trained(chosen)
    judges = [plugins.make(Judge, use) for use in spec.gate]
    verdicts = gate(_evidence(workspace, boards, trained, judges), judges)
    champion = boards[0].champion
    against = _digest(workspace, champion)
    report = GateReport(
        chosen, champion, worst(verdicts), tuple(verdicts), trained.digest, against, asked_of(workspace), time.time()
    )
    with workspace.store.transaction() as tx:
        tx.put_state(gate_key(chosen), msgspec.json.encode(report))
    return report


# -- what judges look at -----------------------------------------------------------------------------------


def _evidence(
    workspace: Workspace, boards: Sequence[Leaderboard], trained: Trained, judges: Sequence[Judge]
) -> Evidence:
    extras = workspace.store.trained_extras(trained.variant)
    p99 = float(extras.get("p99_us", 0.0))
    found = offline(boards, trained.variant, p50_us=trained.predict_us, p99_us=p99, size=trained.bytes)
    more: dict[str, float] = {"parity": trained.parity}
    names = {use.name for use in workspace.spec.gate}
    if "schema" in names or any(isinstance(judge, Behaviour) for judge in judges):
        set_of = workspace.spec.set_of(trained.variant)
        frame = _frame(workspace, set_of)
        more |= _schema(workspace, set_of, frame)
        for judge in judges:
            if isinstance(judge, Behaviour):
                more |= tried(workspace, trained, prepare(frame, workspace.spec.data).inputs, judge)
    for judge in judges:
        if isinstance(judge, Slices):
            more |= _slices(workspace, trained.variant, judge.columns)
    return replace(found, estimates={**found.estimates, **more})


def _digest(workspace: Workspace, champion: str) -> str:
    """The champion's bundle: what is served now, or what is built."""
    table = workspace.store.table(workspace.spec.endpoint.name) if workspace.spec.endpoint else None
    served = {arm.variant: arm.digest for arm in table.arms} if table else {}
    found = workspace.store.trained(champion) if champion else None
    return served.get(champion) or (found.digest if found else "")


def _frame(workspace: Workspace, name: str) -> pd.DataFrame:
    data = workspace.spec.data
    return plugins.make(Source, anchored(workspace, data.sets.get(name, data.source))).read()


def _schema(workspace: Workspace, name: str, frame: pd.DataFrame) -> dict[str, float]:
    kept = schema_of(workspace, name)
    if kept is None:
        return {}
    return {"schema.columns": float(len(kept.columns)), **{f"{SAID}{said}": 1.0 for said in breaks(kept, frame)}}


def _slices(workspace: Workspace, variant: str, columns: Sequence[str]) -> dict[str, float]:
    """Slices that are told apart from the champion's, as differences: more is worse, whatever the metric."""
    champion = champion_of(workspace)
    if not champion or champion == variant or not columns:
        return {}
    asked, judged, found = ask(workspace), 0, dict[str, float]()
    sign = 1.0 if asked.metric().lower_is_better else -1.0
    for column in columns:
        for one in asked.sliced(column, reference=champion):
            if one.variant != variant or one.q != one.q:
                continue
            judged += 1
            if one.verdict == "worse":
                found[f"slices.found/{column}={one.value}"] = sign * one.difference
    if not judged:
        raise RivalsError(f"judge slices: no value of {', '.join(columns)} has rows in ten blocks or more.")
    return {"slices.judged": float(judged), **found}
