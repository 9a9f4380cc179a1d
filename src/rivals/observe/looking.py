"""One look at a window: every detector at every column, and an alarm budget over all of them. Pure.

Chance alone lets a finding's evidence reach x in one of e^x looks at most. With as many findings in a look as there
are, and so many looks in the period of the budget, evidence of ``ln(findings * looks / most)`` is met by chance at most
``most`` times in the period, over everything and however columns depend on one another (the union bound). An alarm
needs an effect that matters besides, and that counts from how restless a column is: one whose windows differ among
themselves, as those of a weekday or of the weather do by day, has to move by ``CALM`` times as much as it usually does
from one window to the next.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rivals.observe.seen import MEANS, counted
from rivals.protocols import Detector, Follower, Window
from rivals.statistics.cells import cells
from rivals.statistics.distances import psi
from rivals.usual import NumberSketch, Sketch
from rivals.values import Finding

CALM = 5.0  # times what a column moves by from window to window, in the middle of the last ones
SHIFT = 0.2  # of the stability index
BROKEN = "unseen"  # the detector of what is wrong whatever is usual
STEPS = 8  # from window to window that are remembered


@dataclass(frozen=True, slots=True)
class AlarmBudget:
    """At most ``most`` false alarms, on average, in ``looks`` looks."""

    most: float = 1.0
    looks: float = 30.0

    def proof(self, findings: int) -> float:
        """The log evidence that each of so many findings needs."""
        return math.log(max(1.0, findings * self.looks / self.most))


def look(
    watched: Sequence[tuple[Sketch, Window]],
    detectors: Mapping[str, Detector],
    memory: Mapping[str, Any],
    budget: AlarmBudget,
    others: Sequence[Finding] = (),
) -> tuple[list[Finding], dict[str, Any]]:
    """All findings, with the alarms among them; and what followers remember. ``others`` share the budget."""
    found, after = list(others), dict(memory)
    following = {name: one for name, one in detectors.items() if isinstance(one, Follower)}
    for reference, heard in watched:
        if isinstance(reference, NumberSketch) and not reference.counts:
            continue  # a bundle of an earlier day: it does not say how its columns were spread
        window = heard if heard.kind in MEANS else replace(heard, cells=cells(reference, heard.values))
        unrest = 0.0
        if window.kind not in MEANS:
            unrest, after[f"{_place(window)}/"] = _restless(reference, window, memory.get(f"{_place(window)}/"))
        for name, detector in detectors.items():
            key = f"{_place(window)}/{name}"
            if name in following:
                one, after[key] = following[name].follow(reference, window, memory.get(key))
            else:
                one = detector.look(reference, window)
            if one is not None:
                calm = one.detector == BROKEN or not unrest
                found.append(one if calm else replace(one, effect=max(0.0, one.effect - CALM * unrest)))
    return alarmed(found, budget), after


def _place(window: Window) -> str:
    return f"{window.kind}/{window.variant}/{window.column}"


def _restless(reference: Sketch, window: Window, memory: Any) -> tuple[float, Any]:
    """How much a column usually moves from one window to the next, in shifts; of a first window nobody knows."""
    now = counted(reference, window)
    before, steps = memory or (None, [])
    if before is not None and len(before) == len(now) and now.sum() and sum(before):
        steps = [*steps, psi(np.array(before), now)[0] / SHIFT][-STEPS:]
    return (float(np.median(steps)) if steps else math.inf), [now.tolist(), steps]


def alarmed(findings: Sequence[Finding], budget: AlarmBudget) -> list[Finding]:
    """The findings, those that are alarms marked; the strongest first."""
    proof = budget.proof(len(findings))
    marked = [replace(one, drifted=one.effect >= 1 and one.log_e >= proof) for one in findings]
    return sorted(marked, key=lambda one: (not one.drifted, -one.effect if one.log_e >= proof else 0.0, one.column))
