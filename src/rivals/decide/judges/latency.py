"""A variant must answer in time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rivals.errors import SpecError
from rivals.values import Evidence, Status, Verdict


@dataclass(frozen=True, slots=True)
class Latency:
    """Pass what answers one row within ``p99_ms`` milliseconds (99th percentile) and ``p50_us`` microseconds (median).

    ``Latency(p99_ms=5)``. Measured in process, by the runtime that will serve it; the network is not in it.
    """

    p99_ms: float | None = None
    p50_us: float | None = None

    def __post_init__(self) -> None:
        if not self._limits():
            raise SpecError("judge latency: say p99_ms, p50_us or both.")
        for name, limit in self._limits().items():
            if not (isinstance(limit, (int, float)) and limit > 0):
                raise SpecError(f"judge latency: {name} is a number above 0, not {limit!r}.")

    def judge(self, evidence: Evidence) -> Verdict:
        """Look at ``latency.p99_ms`` and ``latency.p50_us``."""
        measured = {name: evidence.estimates.get(f"latency.{name}", math.nan) for name in self._limits()}
        if missing := [name for name, value in measured.items() if math.isnan(value)]:
            reason = f"{missing[0]} was not measured: nothing answers this variant in process"
            return Verdict("latency", Status.INCONCLUSIVE, reason)
        over = {name: limit for name, limit in self._limits().items() if measured[name] > limit}
        told = ", ".join(f"{name} {measured[name]:.3g} (limit {limit:g})" for name, limit in self._limits().items())
        return Verdict("latency", Status.FAIL if over else Status.PASS, told, measured)

    def _limits(self) -> dict[str, float]:
        return {name: limit for name, limit in (("p99_ms", self.p99_ms), ("p50_us", self.p50_us)) if limit is not None}
