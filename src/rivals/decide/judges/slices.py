"""Does the challenger get worse anywhere? Quality in every declared slice, as carrier=UA."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rivals.decide.proof import MOST_DROPPED, Budget, biased, figure
from rivals.errors import SpecError
from rivals.values import Evidence, Status, Verdict

WORSE, NONINFERIOR = "slices.worse/", "slices.noninferior/"


@dataclass(frozen=True, slots=True)
class Slices:
    """Fail what is proven worse in any slice, pass what is proven not worse by the slice margin in each.

    All slices are watched for harm and share this judge's part of alpha (e-Bonferroni). Only those with ``least`` of
    the labelled pairs or more must be proven not worse: a slice of a few rows a week would hold every rollout.
    Endpoint key ``slices`` of the rollout; margin ``risk.slice_margin``.

    In a gate: ``Slices(columns=["carrier"], margin=0.01)`` fails what is worse by more than ``margin`` on held-out rows
    of any value of these columns, with false discoveries held at 5 % among them (Benjamini & Hochberg).

    ``Slices(alpha=0.05, among=3)``; evidence: ``rivals.statistics.eprocess.BlockBets``, one bet per block and slice.
    e-Bonferroni: Vovk & Wang, arXiv:1912.06116.
    """

    columns: Sequence[str] = ()
    margin: float = 0.0
    alpha: float = 0.05
    among: int = 1
    least: float = 0.01
    most_dropped: float = MOST_DROPPED

    def __post_init__(self) -> None:
        Budget("slices", self.alpha, self.among)
        if not (isinstance(self.least, (int, float)) and 0 <= self.least < 1):
            raise SpecError(f"judge slices: least is a share from 0 to below 1, not {self.least!r}.")

    def judge(self, evidence: Evidence) -> Verdict:
        """The worst slice first; then the one that is furthest from proof."""
        if self.columns:  # in a gate
            return self._offline(evidence)
        values = figure(evidence.estimates, "slices.values")
        if not values >= 1:
            return Verdict("slices", Status.INCONCLUSIVE, "no row of a declared slice has a label yet")
        budget = Budget("slices", self.alpha, self.among * int(values))
        harm = _by_slice(evidence.log_e, WORSE)
        needed = {
            name: value
            for name, value in _by_slice(evidence.log_e, NONINFERIOR).items()
            if not evidence.estimates.get(f"slices.share/{name}", math.nan) < self.least
        }
        worst = max(harm, key=lambda name: (harm[name], name), default="")
        last = min(needed, key=lambda name: (needed[name], name), default="")
        figures = {"values": values, "worse": harm.get(worst, math.nan), "noninferior": needed.get(last, math.nan)}
        if reason := biased(evidence, self.most_dropped):
            status = Status.INCONCLUSIVE
        elif harm.get(worst, math.nan) >= budget.against:
            status, reason = Status.FAIL, f"it is worse where {_told(evidence, worst)}"
        elif last and needed[last] >= budget.proof:
            status, reason = Status.PASS, f"it is not worse by the margin in any of {len(needed)} slices"
        else:
            short = budget.short(needed.get(last, math.nan))
            status, reason = Status.INCONCLUSIVE, f"not decided where {_told(evidence, last)} ({short})"
        return Verdict(
            "slices", status, reason, {name: value for name, value in figures.items() if math.isfinite(value)}
        )

    def _offline(self, evidence: Evidence) -> Verdict:
        """On held-out rows: ``slices.found/<slice>`` are differences, more is worse, of slices that are told apart."""
        judged = evidence.estimates.get("slices.judged", math.nan)
        if not judged >= 1:
            return Verdict("slices", Status.INCONCLUSIVE, "no slice has enough rows; name columns that have")
        found = _named(evidence.estimates, "slices.found/")
        worse = {name: value for name, value in found.items() if value > self.margin}
        if worse:
            told = ", ".join(f"{name} by {worse[name]:.5f}" for name in sorted(worse, key=lambda one: -worse[one]))
            return Verdict("slices", Status.FAIL, f"it is worse where {told}", {"judged": judged, "worse": len(worse)})
        return Verdict("slices", Status.PASS, f"not worse in any of {judged:.0f} slices", {"judged": judged})


def _named(estimates: Mapping[str, float], prefix: str) -> dict[str, float]:
    return {name.removeprefix(prefix): value for name, value in estimates.items() if name.startswith(prefix)}


def _by_slice(log_e: Mapping[str, float], prefix: str) -> dict[str, float]:
    """By slice; what is not a number proves nothing."""
    found = {name.removeprefix(prefix): value for name, value in log_e.items() if name.startswith(prefix)}
    return {name: -math.inf if math.isnan(value) else value for name, value in found.items()}


def _told(evidence: Evidence, name: str) -> str:
    off = figure(evidence.estimates, f"slices.difference/{name}")
    return f"{name}: loss differs by {off:+.5f} from {evidence.champion}'s" if name else "any slice has labels"
