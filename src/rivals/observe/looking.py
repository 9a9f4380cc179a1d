"""One look at a window: every detector at every column, and an alarm budget over all of them. Pure.

Chance alone lets a finding's evidence reach x in one of e^x looks at most. With as many findings in a look as there
are, and so many looks in the period of the budget, evidence of ``ln(findings * looks / most)`` is met by chance at most
``most`` times in the period, over everything and however columns depend on one another (the union bound). An alarm
needs an effect that matters besides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rivals.protocols import Detector, Follower, Window
from rivals.usual import NumberSketch, Sketch
from rivals.values import Finding


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
    for reference, window in watched:
        if isinstance(reference, NumberSketch) and not reference.counts:
            continue  # a bundle of an earlier day: it does not say how its columns were spread
        for name, detector in detectors.items():
            key = f"{window.kind}/{window.variant}/{window.column}/{name}"
            if isinstance(detector, Follower):
                one, after[key] = detector.follow(reference, window, memory.get(key))
            else:
                one = detector.look(reference, window)
            if one is not None:
                found.append(one)
    return alarmed(found, budget), after


def alarmed(findings: Sequence[Finding], budget: AlarmBudget) -> list[Finding]:
    """The findings, those that are alarms marked; the strongest first."""
    proof = budget.proof(len(findings))
    marked = [replace(one, drifted=one.effect >= 1 and one.log_e >= proof) for one in findings]
    return sorted(marked, key=lambda one: (not one.drifted, -one.effect if one.log_e >= proof else 0.0, one.column))
