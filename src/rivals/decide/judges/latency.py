"""A variant must answer in time: measured before it goes live, and as slow answers when it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rivals.decide.proof import Budget, figure, unmet
from rivals.errors import SpecError
from rivals.values import Evidence, Status, Verdict


@dataclass(frozen=True, slots=True)
class Latency:
    """Pass what answers one row within ``p99_ms`` milliseconds (99th percentile) and ``p50_us`` microseconds (median).

    In a gate: ``Latency(p99_ms=5)``, measured in process, by the runtime that will serve it; the network is not in it.
    In a rollout: an answer above ``p99_ms`` (or, where it is not said, above the champion's own 99th percentile when
    the rollout began), or none at all, is slow. FAIL where the challenger is proven to be slow more often than the
    champion; PASS where it is proven not to be by the margin, or to be slow less often than ``risk.slow_limit``. In
    the shadow, where no client waits for it, it says nothing against going on. ``among`` judges share ``alpha``.
    Evidence: ``rivals.statistics.eprocess.FailureArm``.
    """

    p99_ms: float | None = None
    p50_us: float | None = None
    alpha: float = 0.05
    among: int = 1

    def __post_init__(self) -> None:
        Budget("latency", self.alpha, self.among)
        for name, limit in self._limits().items():
            if not (isinstance(limit, (int, float)) and limit > 0):
                raise SpecError(f"judge latency: {name} is a number above 0, not {limit!r}.")

    def judge(self, evidence: Evidence) -> Verdict:
        """Slow answers where there is traffic; else ``latency.p99_ms`` and ``latency.p50_us`` as measured."""
        if "share" in evidence.estimates:  # a rollout
            return self._live(evidence)
        if not self._limits():
            return Verdict("latency", Status.INCONCLUSIVE, "no limit was named: say p99_ms, p50_us or both")
        measured = {name: evidence.estimates.get(f"latency.{name}", math.nan) for name in self._limits()}
        if missing := [name for name, value in measured.items() if math.isnan(value)]:
            reason = f"{missing[0]} was not measured: nothing answers this variant in process"
            return Verdict("latency", Status.INCONCLUSIVE, reason)
        over = {name: limit for name, limit in self._limits().items() if measured[name] > limit}
        told = ", ".join(f"{name} {measured[name]:.3g} (limit {limit:g})" for name, limit in self._limits().items())
        return Verdict("latency", Status.FAIL if over else Status.PASS, told, measured)

    def _live(self, evidence: Evidence) -> Verdict:
        tau = figure(evidence.estimates, "latency.tau_ms")
        if math.isnan(tau):
            reason = (
                "nobody said what is slow: the champion had too few answers when the rollout began; say p99_ms, as "
                "{use: latency, with: {p99_ms: 50}}, and start it again"
            )
            return Verdict("latency", Status.INCONCLUSIVE, reason)
        harm = Budget("latency", self.alpha, self.among)
        budget = Budget("latency", self.alpha, self.among, ways=2)
        names = ("harm", "noninferior", "under_limit")
        found = {name: figure(evidence.log_e, f"latency.{name}") for name in names}
        told = f"slow is above {tau:.3g} ms, or no answer"
        best = max((found[name] for name in names[1:] if not math.isnan(found[name])), default=math.nan)
        if found["harm"] >= harm.against:
            status, reason = Status.FAIL, f"it is slow more often than {evidence.champion}: {told}"
        elif best >= budget.proof:
            status, reason = Status.PASS, f"it is not slow more often than agreed: {told}"
        elif unmet(evidence):
            status, reason = Status.PASS, "in the shadow no client waits for it; it is judged from the first step on"
        else:
            status, reason = Status.INCONCLUSIVE, f"{told}: not decided ({budget.short(best)})"
        figures = {**{name: value for name, value in found.items() if not math.isnan(value)}, "tau_ms": tau}
        return Verdict("latency", status, reason, figures)

    def _limits(self) -> dict[str, float]:
        return {name: limit for name, limit in (("p99_ms", self.p99_ms), ("p50_us", self.p50_us)) if limit is not None}
