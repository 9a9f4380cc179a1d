"""Drift as text, for a terminal."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from rivals.app.show import columns
from rivals.flows.drift_report import Drifted
from rivals.values import Quality


def drift_text(found: Drifted) -> str:
    """The cause, then what drifted, then every variant."""
    if found.cause is None:
        return f"Nothing was looked at yet: {found.waiting}"
    lines = [f"{found.cause.remedy.value}: {found.cause.reason}."]
    lines.append(f"Windows of {found.hours:g} hours; the last one ended {when(found.until)}.")
    if found.alarms:
        rows = [
            [one.column, one.detector, f"{one.effect:.1f}", f"{one.log_e:.1f}", when(one.since), one.told]
            for one in found.alarms
        ]
        lines += ["", columns(["column", "seen by", "effect", "evidence", "since", "what"], rows)]
    if found.qualities:
        head = ["variant", "metric", "held out", "foreseen", "now", "bias", "labelled", "suffers"]
        lines += ["", columns(head, [_quality(one, found) for one in found.qualities])]
    lines += [f"{note}." for note in found.notes]
    return "\n".join(lines)


def when(time: float | None) -> str:
    """A moment, to the minute, in UTC."""
    return "" if time is None else datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M")


def _quality(one: Quality, found: Drifted) -> list[str]:
    numbers = [
        f"{value:.4g}" if math.isfinite(value) else "" for value in (one.before, one.expected, one.now, one.bias)
    ]
    labelled = f"{one.labelled} of {one.answered}"
    return [one.variant, one.metric, *numbers, labelled, "yes" if one.variant in found.suffering else ""]
