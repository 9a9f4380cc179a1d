"""What drifted, as a value and as one HTML file that needs no other: which column, since when, who suffers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from rivals.errors import RivalsError
from rivals.flows.drawing import Line, page, plot, plots, section, table, text
from rivals.flows.drift import Look, Watch, look, watch_of, wish_of
from rivals.flows.workspace import Workspace
from rivals.values import Cause, Finding, Quality, Remedy, Trouble

COHORTS = (("Of each window alone", "cohort"), ("Calibration error", "calibration"))
SHOWN = 8  # columns in one plot: those that drifted most
DAY = 86_400.0
REMEDIES = {
    Remedy.RETRAIN: "Retrain",
    Remedy.ROLL_BACK: "Roll it back",
    Remedy.IGNORE: "Touch no model",
}


@dataclass(frozen=True, slots=True)
class Drifted:
    """What `rivals drift` shows. ``since``: when the oldest of a column's alarms in a row began, by column."""

    endpoint: str
    cause: Cause | None  # None: nothing was looked at yet, for which ``waiting`` gives the reason
    waiting: str = ""
    until: float | None = None  # end of the last window
    hours: float = 0.0
    alarms: tuple[Finding, ...] = ()
    quiet: tuple[Finding, ...] = ()  # the strongest finding of every other column
    qualities: tuple[Quality, ...] = ()
    suffering: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    looks: tuple[Look, ...] = ()


def drifted(workspace: Workspace) -> Drifted:
    """Look at what is due, then tell what stands. Raises ``SpecError`` where the project watches for no drift."""
    wish, name = wish_of(workspace), workspace.endpoint.name
    if workspace.store.latest_time(name) is None:
        return Drifted(name, None, "nothing was asked yet.")
    look(workspace)
    watch = watch_of(workspace)
    if watch.last is None:
        return Drifted(name, None, f"the first window of {wish.window / 3600:g} hours has not ended.")
    last, since = watch.last, _since(watch)
    alarms = _strongest([_dated(one, since) for one in last.alarms])
    loud = {one.column for one in alarms}
    return Drifted(
        name,
        last.cause,
        "",
        watch.looked,
        wish.window / 3600,
        alarms,
        _strongest([one for one in last.findings if one.column not in loud]),
        last.qualities,
        last.cause.variants if last.cause.trouble in {Trouble.WORLD, Trouble.VARIANT} else (),
        _notes(workspace, watch),
        watch.looks,
    )


def write_report(found: Drifted, file: Path) -> Path:
    """Write the report. Raises ``RivalsError`` where the file cannot be written."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(render(found), encoding="utf-8")
    except OSError as error:
        raise RivalsError(f"The report cannot be written to {file}: {error.strerror}; give another file.") from error
    return file


def render(found: Drifted) -> str:
    """The report as HTML."""
    title = f"{found.endpoint}: what changed"
    if found.cause is None:
        return page(title, [text(f"Nothing was looked at yet: {found.waiting}")])
    parts = [
        _summary(found, found.cause),
        _drift(found),
        _courses(found),
        _quality(found),
        _sliced(found),
        _history(found),
        _quiet(found),
    ]
    return page(title, [one for one in parts if one])


def _since(watch: Watch) -> Mapping[str, float]:
    """Since when each column has been in alarm, look after look."""
    found: dict[str, float] = {}
    for one in watch.looks:
        loud = {each.column: each for each in one.alarms}
        kept = {name: at for name, at in found.items() if name in loud}
        found = {name: each.since if each.since is not None else one.start for name, each in loud.items()} | kept
    return found


def _dated(one: Finding, since: Mapping[str, float]) -> Finding:
    begun = min(since.get(one.column, math.inf), one.since if one.since is not None else math.inf)
    return Finding(
        one.column, one.detector, one.statistic, one.effect, one.log_e, begun if math.isfinite(begun) else None,
        one.kind, one.variant, one.rows, one.drifted, one.told,
    )  # fmt: skip


def _strongest(findings: list[Finding]) -> tuple[Finding, ...]:
    """Of every column the finding with the largest effect, the largest first."""
    best: dict[str, Finding] = {}
    for one in sorted(findings, key=lambda each: each.effect):
        best[one.column] = one
    return tuple(sorted(best.values(), key=lambda one: -one.effect))


def _notes(workspace: Workspace, watch: Watch) -> tuple[str, ...]:
    endpoint, notes = workspace.endpoint, []
    if endpoint.capture is None or not endpoint.capture.features:
        notes.append("Inputs are not watched: endpoint.capture.features: all keeps them")
    elif endpoint.capture.redact:
        notes.append(f"Never written down, and so not watched: {', '.join(endpoint.capture.redact)}")
    if not watch.records and watch.digests:
        notes.append("Quality is not watched: no bundle knows its held-out rows; `rivals train` builds those that do")
    return tuple(notes)


# -- the page -----------------------------------------------------------------------------------------------


def _summary(found: Drifted, cause: Cause) -> str:
    told = [text(f"{REMEDIES[cause.remedy]}: {cause.reason}.")]
    if cause.since is not None:
        told.append(text(f"Since {_when(cause.since)}."))
    last = f"Windows of {found.hours:g} hours; the last one ended {_when(found.until)}."
    told += [text(last, "note"), *(text(f"{note}.", "note") for note in found.notes)]
    return "".join(told)


def _drift(found: Drifted) -> str:
    if not found.alarms:
        return section("Drift", text("Nothing drifted."))
    rows = [
        [one.column, one.kind, _when(one.since), one.told, f"{one.effect:.1f}", one.detector, f"{one.log_e:.1f}"]
        for one in found.alarms
    ]
    note = "Effect: multiples of what counts as a shift. Evidence: chance alone reaches x in one of e^x looks at most."
    head = ["column", "what", "since", "how much", "effect", "seen by", "evidence"]
    return section("Drift", table(head, rows), text(note, "note"))


def _courses(found: Drifted) -> str:
    """The effect of the loudest columns over time."""
    names = [one.column for one in (*found.alarms, *found.quiet)][:SHOWN]
    lines = []
    for name in names:
        seen = [(one.end, [each.effect for each in one.findings if each.column == name]) for one in found.looks]
        lines += _line(name, [(end, max(effects)) for end, effects in seen if effects], found)
    if not lines:
        return ""
    return section("Over time", plots(plot("Effect: from 1 on it matters", "days ago", "effect", lines)))


def _quality(found: Drifted) -> str:
    if not found.qualities:
        return ""
    rows = [
        [
            one.variant,
            *(
                f"{value:.4g}" if math.isfinite(value) else ""
                for value in (one.before, one.expected, one.now, one.bias)
            ),
            f"{one.labelled} of {one.answered}",
            f"{max(one.log_worse, one.log_biased):.1f}",
            "yes" if one.variant in found.suffering else "no",
        ]
        for one in found.qualities
    ]
    metric = found.qualities[0].metric
    head = ["variant", f"{metric} held out", "foreseen", "now", "bias", "labelled", "evidence", "suffers"]
    note = "Foreseen: what the calibrated answers expect of themselves. Bias: labels minus calibrated answers."
    return section("Quality", table(head, rows, found.suffering), plots(*_lives(found)), text(note, "note"))


def _lives(found: Drifted) -> list[str]:
    """Loss by time, on labels and foreseen, a figure each."""
    figures = []
    for caption, value in (("On labels", "now"), ("Foreseen without labels", "expected"), ("Bias", "bias"), *COHORTS):
        lines: list[Line] = []
        for name in (one.variant for one in found.qualities):
            seen = [(one.end, each) for one in found.looks if one.judged for each in one.qualities]
            lines += _line(name, [(end, getattr(each, value)) for end, each in seen if each.variant == name], found)
        if lines:
            figures.append(
                plot(
                    caption, "days ago", value if value in {"bias", "calibration"} else found.qualities[0].metric, lines
                )
            )
    return figures


def _sliced(found: Drifted) -> str:
    """Loss by variant and declared slice, where slices are declared."""
    rows = [
        [quality.variant, name, str(one.rows), f"{one.loss:.4g}", "" if one.cohort is None else f"{one.cohort:.4g}"]
        for quality in found.qualities
        for name, one in sorted(quality.slices.items(), key=lambda each: -each[1].loss)
    ]
    if not rows:
        return ""
    metric = found.qualities[0].metric
    return section("By slice", table(["variant", "slice", "labelled", f"{metric}, rolling", "last window"], rows))


def _line(name: str, points: Sequence[tuple[float, float]], found: Drifted) -> list[Line]:
    """A line over the days before the last window, where there are two points at least."""
    known = [(end, value) for end, value in points if math.isfinite(value)]
    if len(known) < 2:  # noqa: PLR2004 -- of a line
        return []
    x, y = np.array(known).T
    return [Line(name, (x - (found.until or 0.0)) / DAY, y)]


def _history(found: Drifted) -> str:
    """Every change of the cause."""
    rows, before = [], None
    for one in found.looks:
        now = (one.cause.trouble, one.cause.variants, one.cause.columns)
        if now != before:
            rows.append([_when(one.end), one.cause.trouble.value, REMEDIES[one.cause.remedy], one.cause.reason])
        before = now
    return section("What was made of it", table(["when", "trouble", "remedy", "reason"], rows[::-1]))


def _quiet(found: Drifted) -> str:
    rows = [[one.column, one.told, f"{one.effect:.2f}", one.detector] for one in found.quiet]
    return section("As it was", table(["column", "how much", "effect", "seen by"], rows)) if rows else ""


def _when(time: float | None) -> str:
    return "" if time is None else datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M")
