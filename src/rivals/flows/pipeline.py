"""One change on its way to production: planned, trained, gated, tried, rolled out, watched, taken back.

Each verb is one job of a pipeline. What they tell one another is kept in the store under the pipeline's id, so a
pipeline hands no files around, and a job that is run twice finds what it did.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from rivals import plugins
from rivals.build.schema import breaks
from rivals.errors import DataError, RivalsError, RolloutError
from rivals.flows.begin import start_rollout
from rivals.flows.compare import champion_of, compare_project
from rivals.flows.events import BuildEvent, BuildReport
from rivals.flows.gate import gate_project
from rivals.flows.gated import GateReport
from rivals.flows.reading import anchored
from rivals.flows.rollout import steer
from rivals.flows.schema import schema_of
from rivals.flows.train import plan_project, train_project
from rivals.flows.workspace import Workspace
from rivals.protocols import Source
from rivals.spec.project import MAIN
from rivals.values import Phase, Rollout, Status

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")  # it is part of a folder's name
PAUSE = 0.2  # seconds between two looks at a rollout


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What one pipeline did so far. ``affected``: what its change builds anew; ``rollout``: the id of its rollout."""

    id: str
    affected: tuple[str, ...]
    gate: GateReport | None = None
    rollout: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """How a watched pipeline ended. PASS: promoted, FAIL: rolled back, INCONCLUSIVE: taken back for want of proof."""

    rollout: str
    status: Status
    sentence: str


# -- before anything is live -------------------------------------------------------------------------------


def check_data(workspace: Workspace) -> list[str]:
    """What the data no longer is that it was at the first build, a sentence each. Raises ``DataError``."""
    data = workspace.spec.data
    found = []
    for name, source in {MAIN: data.source, **data.sets}.items():
        frame = plugins.make(Source, anchored(workspace, source)).read()
        if not len(frame):
            raise DataError(f"The data set {name!r} has no rows.")
        kept = schema_of(workspace, name)
        found += [] if kept is None else [f"{name}: {said}" for said in breaks(kept, frame)]
    return found


def plan_pipeline(workspace: Workspace, pipeline: str) -> Pipeline:
    """Find what the change affects and remember it; one that was planned before keeps its plan."""
    known = _known(workspace, pipeline)
    if known is not None:
        return known
    told = plan_project(workspace)
    planned = Pipeline(_named(pipeline), tuple(name for name, why in told.items() if why != "built already"))
    _keep(workspace, planned)
    return planned


def train_pipeline(
    workspace: Workspace, pipeline: str, only: Sequence[str], tell: Callable[[BuildEvent], None]
) -> BuildReport | None:
    """Build those of ``only`` (all, if none is named) that the change affects; None: it affects none of them."""
    for name in only:
        workspace.spec_variant(name)
    affected = [name for name in pipeline_of(workspace, pipeline).affected if not only or name in only]
    return train_project(workspace, affected, tell) if affected else None


def gate_pipeline(workspace: Workspace, pipeline: str) -> GateReport | None:
    """Ask the gate about the best of what was built anew; None: nothing was. Raises ``RolloutError`` for a champion."""
    known = pipeline_of(workspace, pipeline)
    if not known.affected:
        return None
    champion = _serving(workspace)
    mine = [name for name in known.affected if name != champion]
    if not mine:
        raise RolloutError(
            f"The change builds only {champion!r} anew, and that is the champion: nobody could compare it with itself. "
            "Give the changed variant another name."
        )
    board = compare_project(workspace)
    ranked = [row.variant for row in board.rows if row.variant in mine]
    if not ranked:
        raise RivalsError(f"Nothing of {', '.join(mine)} can be compared; `rivals ci train` builds it.")
    report = gate_project(workspace, board.recommended if board.recommended in mine else ranked[0])
    _keep(workspace, replace(known, gate=report))
    return report


def candidate(workspace: Workspace, pipeline: str) -> str:
    """The variant that passed this pipeline's gate, as it was then; empty where the change affects nothing."""
    known = pipeline_of(workspace, pipeline)
    if not known.affected:
        return ""
    report = known.gate
    if report is None:
        raise RolloutError(f"Pipeline {pipeline!r} was not gated yet: `rivals ci gate`.")
    if report.status is not Status.PASS:
        raise RolloutError(f"The gate said {report.status.value} of {report.variant!r}; it does not go on.")
    if workspace.trained(report.variant).digest != report.digest:
        raise RolloutError(f"{report.variant!r} was built anew since the gate looked at it: `rivals ci gate` again.")
    return report.variant


# -- in production -----------------------------------------------------------------------------------------


def begin_canary(workspace: Workspace, pipeline: str, by: str = "") -> str:
    """Start the rollout of what passed the gate; a sentence. One that was started before is left as it is."""
    variant, known = candidate(workspace, pipeline), pipeline_of(workspace, pipeline)
    if not variant:
        return "The change affects no variant: nothing to roll out."
    if known.rollout:
        return f"{variant} is on its way already, as rollout {known.rollout}."
    started = start_rollout(workspace, variant, by=by)
    _keep(workspace, replace(known, rollout=started.rollout.id))
    return started.sentence


def watch_pipeline(workspace: Workspace, pipeline: str, seconds: float, say: Callable[[str], None]) -> End:
    """Wait for the end of its rollout, and through the window after a promotion.

    What is not decided after ``seconds`` is taken back, as is what this process is stopped in the midst of. A promotion
    that still has some of its window before it stands: the control process guards it and restores the earlier revision.
    """
    known = pipeline_of(workspace, pipeline)
    if not known.rollout:
        return End("", Status.PASS, "Nothing of this pipeline is being rolled out.")
    until, told = time.monotonic() + seconds, ""
    try:
        while True:
            now = _latest(workspace, known.rollout)
            line = f"{now.challenger.variant}: {now.phase.value} {now.share:.0%}"
            if line != told:
                say(line)
                told = line
            if (end := _ended(workspace, known.rollout, now)) is not None:
                return end
            if time.monotonic() >= until:
                break
            time.sleep(PAUSE)
    except BaseException:
        take_back(workspace, pipeline)
        raise
    if now.phase is Phase.WATCH:
        return End(known.rollout, Status.PASS, f"{now.challenger.variant} is promoted; the control process guards it.")
    take_back(workspace, pipeline)
    return End(
        known.rollout,
        Status.INCONCLUSIVE,
        f"{now.challenger.variant} was not decided within {seconds:g} seconds and was taken back.",
    )


def take_back(workspace: Workspace, pipeline: str, by: str = "") -> str:
    """Give all traffic back to who had it before this pipeline, and say so; nothing to do is no mistake."""
    known = _known(workspace, pipeline)
    if known is None or not known.rollout:
        return "Nothing of this pipeline is in production."
    now = _latest(workspace, known.rollout)
    promoted = now.phase in {Phase.PROMOTED, Phase.WATCH, Phase.CONCLUDED}
    if now.phase.final and not (promoted and _serving(workspace) == now.challenger.variant):
        return f"{now.challenger.variant}: {now.phase.value}; {_serving(workspace)} answers."
    after = steer(workspace, "rollback", now.challenger.variant, by=by)
    return f"{after.challenger.variant}: {after.phase.value}; {_serving(workspace)} answers."


def _latest(workspace: Workspace, rollout: str) -> Rollout:
    """A rollout, or where it was promoted the watch over it."""
    known = workspace.store.rollouts(workspace.endpoint.name)
    place = next(index for index, one in enumerate(known) if one.id == rollout)
    mine = known[place]
    if mine.phase is not Phase.PROMOTED:
        return mine
    later = known[place + 1 :]
    return next((one for one in later if one.strategy == "watch" and one.challenger == mine.challenger), mine)


def _ended(workspace: Workspace, rollout: str, now: Rollout) -> End | None:
    if not now.phase.final:
        return None
    who, reason = now.challenger.variant, f": {now.reason}" if now.reason else ""
    if now.phase is Phase.ROLLED_BACK:
        return End(rollout, Status.FAIL, f"{who} was rolled back{reason}")
    if now.phase is Phase.PROMOTED or (now.phase is Phase.CONCLUDED and _serving(workspace) == who):
        return End(rollout, Status.PASS, f"{who} was promoted{reason}")
    return End(rollout, Status.INCONCLUSIVE, f"{who}: {now.phase.value}{reason}; {_serving(workspace)} answers")


# -- what is remembered ------------------------------------------------------------------------------------


def pipeline_of(workspace: Workspace, pipeline: str) -> Pipeline:
    """The pipeline of that id. Raises ``RivalsError`` before it was planned."""
    known = _known(workspace, pipeline)
    if known is None:
        raise RivalsError(f"There is no pipeline {pipeline!r} yet; `rivals ci plan` begins it.")
    return known


def _known(workspace: Workspace, pipeline: str) -> Pipeline | None:
    raw = workspace.store.state(f"pipeline/{_named(pipeline)}")
    return msgspec.json.decode(raw, type=Pipeline) if raw else None


def _keep(workspace: Workspace, pipeline: Pipeline) -> None:
    with workspace.store.transaction() as tx:
        tx.put_state(f"pipeline/{pipeline.id}", msgspec.json.encode(pipeline))


def _named(pipeline: str) -> str:
    if not pipeline:
        raise RivalsError("Which pipeline? Set RIVALS_PIPELINE to the pipeline's id, or give --id.")
    if not NAME.fullmatch(pipeline):
        raise RivalsError(f"A pipeline's id is letters, digits, '.', '_' and '-', at most 128, not {pipeline!r}.")
    return pipeline


def _serving(workspace: Workspace) -> str:
    """Who answers now; before the endpoint was first served, who is to."""
    table = workspace.store.table(workspace.endpoint.name)
    return table.champion if table else champion_of(workspace)


def append_output(pipeline: Pipeline, file: Path) -> None:
    """Add ``variants=[...]`` to a file of outputs, as GitHub's runners read it. Raises ``RivalsError``."""
    try:
        with file.open("a", encoding="utf-8") as out:
            out.write(f"variants={msgspec.json.encode(pipeline.affected).decode()}{os.linesep}")
    except OSError as error:
        raise RivalsError(f"{file} cannot be written: {error.strerror}.") from error
