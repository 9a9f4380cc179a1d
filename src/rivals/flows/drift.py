"""Looking for drift, window after window: findings, quality, the cause, and what is told of it.

A look reads one window that has ended from what the serving processes wrote down; requests pay nothing for it. When the
labels of a window have had the time to come, it is judged: losses against what was foreseen. Each step is one
transaction, so whoever is killed repeats it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from rivals.decide.attribution import Bounds, attribute
from rivals.errors import RivalsError, SpecError
from rivals.flows import watched
from rivals.flows.archive import archive_of
from rivals.flows.begin import clock_of
from rivals.flows.judges import reward_rules
from rivals.flows.watched import Met
from rivals.flows.workspace import Workspace
from rivals.observe.looking import AlarmBudget, alarmed
from rivals.observe.looking import look as looked_at
from rivals.observe.quality import Record, advance, promised, quality
from rivals.plugins import make
from rivals.protocols import Detector
from rivals.registry.heard import Heard, heard
from rivals.registry.ledger import Ledger
from rivals.spec.watching import DriftSpec
from rivals.usual import NumberSketch
from rivals.values import Cause, Finding, Quality, Trouble

log = logging.getLogger("rivals.drift")

KEPT = 120  # steps that are remembered, of a window's two


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of the window [start, end): once it ended, and again once its labels had come (``judged``)."""

    start: float
    end: float
    judged: bool
    rows: int
    findings: tuple[Finding, ...]
    qualities: tuple[Quality, ...]
    cause: Cause

    @property
    def alarms(self) -> list[Finding]:
        """The findings that are drift, the strongest first."""
        return [one for one in self.findings if one.drifted]


@dataclass(frozen=True, slots=True)
class Watch:
    """All that is remembered from look to look."""

    looked: float = -math.inf  # up to here windows were looked at
    judged: float = -math.inf  # and up to here, judged by their labels
    digests: dict[str, str] = field(default_factory=dict)  # of the variants, the champion first
    memory: dict[str, Any] = field(default_factory=dict)  # of detectors
    usual: dict[str, NumberSketch] = field(default_factory=dict)  # of what has no reference at build
    records: dict[str, Record] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()  # of the last window looked at
    outcomes: tuple[Finding, ...] = ()  # of the last one judged
    looks: tuple[Look, ...] = ()
    recorded: float = -math.inf  # up to here MLflow knows

    @property
    def last(self) -> Look | None:
        """The newest step."""
        return self.looks[-1] if self.looks else None


def look(workspace: Workspace, now: float | None = None) -> list[Look]:
    """Take every step that is due, oldest first. Raises ``SpecError`` where the project watches for no drift."""
    wish, found = wish_of(workspace), list[Look]()
    until = clock_of(workspace) if now is None else now
    while (due := _due(workspace, wish, watch_of(workspace), until)) is not None:
        before, start, judging = due
        one, after = _step(workspace, wish, before, start, judging=judging)
        if not _keep(workspace, before, after, one):
            continue  # somebody else took the same step, and it is theirs
        found.append(one)
    return found


def wish_of(workspace: Workspace) -> DriftSpec:
    """What the project asks for. Raises ``SpecError`` where that is nothing."""
    wish = workspace.endpoint.drift
    if wish is None:
        raise SpecError(
            f"endpoint {workspace.endpoint.name!r} is not watched for drift; add 'drift: [edetector, adwin, psi]' to "
            "it, and 'capture: {features: all}' to watch its inputs, too."
        )
    return wish


def watch_of(workspace: Workspace) -> Watch:
    """What is remembered; nothing yet before the first look."""
    raw = workspace.store.state(_key(workspace))
    return msgspec.msgpack.decode(raw, type=Watch) if raw else Watch()  # MessagePack knows infinity and NaN


def is_due(workspace: Workspace, now: float) -> bool:
    """Whether ``look`` would take a step; cheap enough to ask every second."""
    wish = workspace.endpoint.drift
    return wish is not None and _due(workspace, wish, watch_of(workspace), now) is not None


def gauges(workspace: Workspace) -> Mapping[str, float]:
    """``rivals_drift_evidence`` by column: the strongest log evidence of the last look whose effect matters, else 0."""
    found: dict[str, float] = {}
    watch = watch_of(workspace)
    for one in (*watch.findings, *watch.outcomes):
        found[one.column] = max(found.get(one.column, 0.0), one.log_e if one.effect >= 1 else 0.0)
    return found


def qualities(workspace: Workspace) -> Mapping[tuple[str, str], float]:
    """``rivals_quality`` by (metric, variant): the loss on labels, and the one foreseen without them."""
    last, found = watch_of(workspace).last, dict[tuple[str, str], float]()
    for one in last.qualities if last else ():
        found |= {(one.metric, one.variant): one.now, (f"foreseen_{one.metric}", one.variant): one.expected}
    return {key: value for key, value in found.items() if not math.isnan(value)}


# -- one step -----------------------------------------------------------------------------------------------


def _due(workspace: Workspace, wish: DriftSpec, watch: Watch, now: float) -> tuple[Watch, float, bool] | None:
    """What is to be done next: of which window, and whether it is to be judged."""
    newest = workspace.store.latest_time(workspace.endpoint.name)
    if newest is None:
        return None
    watch = _begun(workspace, wish, watch)
    delay = workspace.spec.data.label_delay
    steps = [(watch.looked + wish.window, 0, watch.looked), (watch.judged + wish.window + delay, 1, watch.judged)]
    for at, judging, start in sorted(steps):
        behind = not judging or start < watch.looked  # a window is judged after it was looked at
        if at <= now and start <= newest and behind:
            return watch, start, bool(judging)
    return None


def _begun(workspace: Workspace, wish: DriftSpec, watch: Watch) -> Watch:
    """The first window is that of the first answer; its bounds are whole multiples of the window's length."""
    if math.isfinite(watch.looked):
        return watch
    first = workspace.store.first_time(workspace.endpoint.name) or 0.0
    start = first // wish.window * wish.window
    return replace(watch, looked=start, judged=start)


def _step(workspace: Workspace, wish: DriftSpec, before: Watch, start: float, *, judging: bool) -> tuple[Look, Watch]:
    known = watched.met(workspace)
    watch, end = _current(before, known), start + wish.window
    rows = _heard(workspace, start, end, wish.rows)
    budget = AlarmBudget(wish.budget.most, wish.looks)
    detectors = {use.name: make(Detector, use) for use in wish.uses}
    if judging:
        watch = _judged(workspace, watch, known, rows, (start, end))
        seen = watched.outcomes(rows, known, workspace.spec.data.target, start, end)
        if rules := reward_rules(workspace):
            more, usual = watched.rewards(rows, watch.usual, (rules.low, rules.high), start, end)
            seen, watch = [*seen, *more], replace(watch, usual=usual)
        found, memory = looked_at(seen, detectors, watch.memory, budget, _promised(watch, known))
        watch = replace(watch, judged=end, memory=memory, outcomes=tuple(found))
    else:
        pairs, usual = watched.disagreements(rows, known, watch.usual, start, end)
        seen = [*watched.inputs(rows, known, start, end), *watched.answers(rows, known, start, end), *pairs]
        found, memory = looked_at(seen, detectors, watch.memory, budget)
        watch = replace(watch, looked=end, memory=memory, usual=usual, findings=tuple(found))
    findings = alarmed([*watch.findings, *watch.outcomes], budget)
    judged = [
        quality(name, watch.records[name], one.judged)
        for name, one in known.items()
        if one.judged is not None and name in watch.records and watch.records[name].blocks
    ]
    bounds = Bounds(proof=budget.proof(3 * max(1, len(judged))))  # of each: worse, biased to either side
    cause = attribute(findings, judged, bounds)
    one = Look(start, end, judging, len(rows), tuple(findings), tuple(judged), cause)
    return one, replace(watch, looks=(*(_brief(old) for old in watch.looks[-KEPT + 1 :]), one))


def _judged(
    workspace: Workspace, watch: Watch, known: Mapping[str, Met], rows: Sequence[Heard], span: tuple[float, float]
) -> Watch:
    met = {name: one.judged for name, one in known.items() if one.judged is not None}
    found = watched.blocks(rows, known, *span, workspace.endpoint.rollout.slices)
    log.debug("drift.judged endpoint=%s variants=%d", workspace.endpoint.name, len(found))
    return replace(watch, records=advance(watch.records, found, met))


def _promised(watch: Watch, known: Mapping[str, Met]) -> list[Finding]:
    made = [
        promised(name, watch.records[name], one.judged)
        for name, one in known.items()
        if one.judged is not None and name in watch.records
    ]
    return [one for one in made if one is not None]


def _current(watch: Watch, known: Mapping[str, Met]) -> Watch:
    """Forget what is of bundles that were replaced: another bundle begins anew."""
    digests = {name: one.digest for name, one in known.items()}
    stale = {name for name, digest in watch.digests.items() if digests.get(name, digest) != digest}
    other = next(iter(digests.values()), "") != next(iter(watch.digests.values()), "") and bool(watch.digests)
    memory = {
        key: value
        for key, value in watch.memory.items()
        if key.split("/")[1] not in stale and not (other and key.split("/")[0] in {"input", "label"})
    }
    usual = {key: value for key, value in watch.usual.items() if not any(name in key for name in stale)}
    records = {name: one for name, one in watch.records.items() if name not in stale}
    return replace(watch, digests=digests, memory=memory, usual=usual, records=records)


def _heard(workspace: Workspace, start: float, end: float, most: int) -> list[Heard]:
    if workspace.endpoint.capture is not None:
        try:
            return archive_of(workspace).heard(start, end, most)
        except ModuleNotFoundError as error:  # then nothing was ever archived
            log.info("drift.no_archive reason=%s is not installed", error.name)
    return heard(workspace.store, workspace.endpoint.name, start, end, most)


def _brief(one: Look) -> Look:
    """An earlier look: of every column the strongest finding is enough."""
    strongest: dict[str, Finding] = {}
    for finding in sorted(one.findings, key=lambda each: (each.drifted, each.effect)):
        strongest[finding.column] = finding
    return replace(one, findings=tuple(strongest.values()))


# -- what is kept and told ----------------------------------------------------------------------------------


def _keep(workspace: Workspace, before: Watch, after: Watch, one: Look) -> bool:
    """Write the step down, unless somebody else has taken it meanwhile."""
    endpoint = workspace.endpoint.name
    with workspace.store.transaction() as tx:
        now = watch_of(workspace)
        if math.isfinite(now.looked) and (now.looked, now.judged) != (before.looked, before.judged):
            return False
        earlier = before.last
        if _news(earlier.cause if earlier else None, one.cause):
            Ledger(workspace.store).append(tx, endpoint, "drift.explained", one.end, explained(one))
            log.info("drift.explained endpoint=%s trouble=%s reason=%s", endpoint, one.cause.trouble, one.cause.reason)
        tx.put_state(_key(workspace), msgspec.msgpack.encode(after))
    return True


def _news(before: Cause | None, now: Cause) -> bool:
    """Whether it is another cause than the one that was told last."""
    if before is None:
        return now.trouble is not Trouble.NOTHING
    return (before.trouble, before.variants, before.columns) != (now.trouble, now.variants, now.columns)


def explained(one: Look) -> dict[str, Any]:
    """A cause and its evidence, as the ledger has it."""
    return {
        **msgspec.to_builtins(one.cause),
        "remedy": one.cause.remedy.value,
        "window": [one.start, one.end],
        "rows": one.rows,
        "findings": msgspec.to_builtins(one.alarms),
        "qualities": msgspec.to_builtins(one.qualities),
    }


def record(workspace: Workspace) -> int:
    """Tell MLflow the windows it does not know yet, as metrics of each variant's run; returns how many there were."""
    watch = watch_of(workspace)
    fresh = [one for one in watch.looks if one.judged and one.end > watch.recorded]
    if not fresh:
        return 0
    try:
        for name in watch.digests:
            version = workspace.store.version(name)
            if version is None or not version.run_id:
                continue
            points = [(one.end, metrics) for one in fresh if (metrics := _metrics(one, name))]
            workspace.tracker.live(version, points, wish_of(workspace).window)
    except (RivalsError, ModuleNotFoundError) as error:
        log.warning("mlflow.live_failed reason=%s", error)
        return 0
    with workspace.store.transaction() as tx:
        tx.put_state(_key(workspace), msgspec.msgpack.encode(replace(watch_of(workspace), recorded=fresh[-1].end)))
    return len(fresh)


def _metrics(one: Look, variant: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for each in (each for each in one.qualities if each.variant == variant):
        found |= {
            f"live_{each.metric}": each.now,
            f"live_foreseen_{each.metric}": each.expected,
            "live_bias": each.bias,
            "live_answered": float(each.answered),
            "live_labelled": float(each.labelled),
            "live_evidence_worse": each.log_worse,
            f"live_cohort_{each.metric}": each.cohort,
            "live_calibration_error": each.calibration,
            **{f"live_{each.metric}/{_named(name)}": one.loss for name, one in each.slices.items()},
        }
    return {name: value for name, value in found.items() if not math.isnan(value)}


def _named(slice_: str) -> str:
    """A slice as a part of a metric's name in MLflow, which takes few signs."""
    return "".join(one if one.isascii() and (one.isalnum() or one in "_-. ") else "_" for one in slice_)[:100]


def _key(workspace: Workspace) -> str:
    return f"drift/{workspace.endpoint.name}"
