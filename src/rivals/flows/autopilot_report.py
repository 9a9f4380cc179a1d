"""What an autopilot came to, as a person reads it: figures by month, every decision with its reason, what it cost."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rivals.build.evaluate import measure
from rivals.errors import RivalsError
from rivals.flows.autopilot import Flown, told
from rivals.flows.drawing import Line, page, plot, plots, section, table, text

Floats = NDArray[np.float64]
AUTOPILOT, ALONE, HINDSIGHT = "autopilot", "first champion left alone", "best in hindsight"


@dataclass(frozen=True, slots=True)
class Report:
    """The mean of the metric by month, of each who is compared, and what happened. Months are UTC's, as 2013-05."""

    project: str
    metric: str
    rows: int
    months: tuple[str, ...]
    by_month: Mapping[str, tuple[float, ...]]
    decisions: tuple[str, ...]
    trainings: int
    seconds: float
    cpu_seconds: Mapping[str, float]

    def mean(self, name: str) -> float:
        """The mean of the months."""
        return float(np.nanmean(self.by_month[name]))


def report_of(flown: Flown, others: Mapping[str, Floats] | None = None) -> Report:
    """The report. ``others``: what else could have answered (rows, k), by name; the best of each month is hindsight."""
    spec = flown.workspace.spec
    metric = measure(spec.measures[0], spec.data.task, flown.stream.labels)
    known = np.isfinite(flown.stream.target)
    target = flown.stream.target[known]
    target = target.astype(np.int64) if flown.stream.labels else target
    month = np.array([time.strftime("%Y-%m", time.gmtime(one)) for one in flown.stream.time[known]])
    names = tuple(sorted(set(month.tolist())))
    said = {AUTOPILOT: flown.served, ALONE: flown.alone, **(others or {})}
    by_month = {
        name: tuple(_of(metric, target[month == one], outputs[known][month == one]) for one in names)
        for name, outputs in said.items()
    }
    if others:
        single = [values for name, values in by_month.items() if name != AUTOPILOT]
        best = np.nanmin(single, axis=0) if metric.lower_is_better else np.nanmax(single, axis=0)
        by_month[HINDSIGHT] = tuple(best.tolist())
    lines = tuple(line for entry in flown.entries if (line := told(entry)))
    return Report(
        spec.project, metric.name, int(known.sum()), names, by_month, lines, flown.trainings, flown.seconds,
        flown.cpu_seconds,
    )  # fmt: skip


def markdown(report: Report) -> str:
    """The report as Markdown."""
    head, rows = _table(report)
    lines = [f"# {report.project}: {report.metric} by month", "", f"| {' | '.join(head)} |"]
    lines += [f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows), "", _costs(report), ""]
    lines += ["## What was decided", "", *(f"- {line}" for line in report.decisions or ("nothing",)), ""]
    return "\n".join(lines)


def html(report: Report) -> str:
    """The report as one HTML file."""
    x = np.arange(1, len(report.months) + 1, dtype=float)
    drawn = [Line(name, x, np.array(values)) for name, values in report.by_month.items()]
    decided = [[line.partition("  ")[0], line.partition("  ")[2]] for line in report.decisions]
    return page(
        f"{report.project}: an autopilot over {report.rows:,} rows",
        [
            section(
                f"{report.metric} by month",
                table(*_table(report), (AUTOPILOT,)),
                plots(plot("By month", "month of the stream", report.metric, drawn)),
            ),
            section("What was decided", table(["when", "what and why"], decided) if decided else text("Nothing.")),
            section("What it cost", text(_costs(report))),
        ],
    )


def write_report(report: Report, file: Path) -> Path:
    """Write it as HTML, or as Markdown where the file's name says so. Raises ``RivalsError``."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(markdown(report) if file.suffix == ".md" else html(report), encoding="utf-8")
    except OSError as error:
        raise RivalsError(f"The report cannot be written to {file}: {error.strerror}; give another file.") from error
    return file


def _of(metric: object, target: NDArray[np.generic], outputs: Floats) -> float:
    try:
        return float(metric.of(target, outputs, None, None))  # type: ignore[attr-defined]  # a Metric
    except (ValueError, ZeroDivisionError):
        return math.nan


def _table(report: Report) -> tuple[list[str], list[list[str]]]:
    head = ["who", *report.months, "mean"]
    rows = [
        [name, *(f"{one:.4f}" for one in values), f"{report.mean(name):.4f}"]
        for name, values in report.by_month.items()
    ]
    return head, rows


def _costs(report: Report) -> str:
    spent = ", ".join(f"{what} {seconds:.0f}" for what, seconds in report.cpu_seconds.items())
    return (
        f"{report.rows} labelled rows, {report.trainings} trainings with the first one; {report.seconds:.0f} s without "
        f"them; CPU-seconds: {spent}."
    )
