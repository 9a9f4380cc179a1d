"""Whether an endpoint keeps what it promises, where too few ask for rates to say: one bet on every request.

An objective is missed where a larger share of the requests than its limit gets no answer, or none in time. For each
of a few larger shares a Shiryaev-Roberts e-detector adds up the e-processes that begin at every look: M becomes
(1 + M) times the likelihood ratio of what came since. While the objective is kept, M reaches a level A after A looks on
average at the earliest, whatever the traffic does, and every look has a request at least: so there is one false alarm
in A requests, or fewer. Shin, Ramdas & Rinaldo, E-detectors (arXiv:2203.03532).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from rivals.metrics import read

TIMES = (2.0, 4.0, 16.0, 64.0)  # how much above its limit a share may be
LOWEST = -700.0  # the logarithm of as good as nothing
REFUSED = {"busy", "deadline", "policy"}  # why a request was never put to a variant
LATE = 0.01  # of the answers may take longer than the objective says


@dataclass(frozen=True, slots=True)
class Detector:
    """Evidence that an objective is missed, from totals that only grow."""

    good: float
    bad: float
    logs: tuple[float, ...] = (LOWEST,) * len(TIMES)

    @property
    def evidence(self) -> float:
        """Natural logarithm of the e-detector."""
        top = max(self.logs)
        return top + math.log(sum(math.exp(log - top) for log in self.logs) / len(self.logs))


def look(before: Detector | None, good: float, bad: float, limit: float) -> Detector:
    """Take in the requests since the last look, from all that ever were; the first look only begins to count."""
    if before is None or good < before.good or bad < before.bad:  # none before, or somebody deleted the counters
        return Detector(good, bad)
    well, ill = good - before.good, bad - before.bad
    if not well + ill:
        return before
    shares = [min(times * limit, (1 + limit) / 2) for times in TIMES]
    won = [ill * math.log(share / limit) + well * math.log((1 - share) / (1 - limit)) for share in shares]
    logs = [max(LOWEST, _plus_one(log) + more) for log, more in zip(before.logs, won, strict=True)]
    return Detector(good, bad, tuple(logs))


def asked(totals: Mapping[str, float], within: float) -> dict[str, tuple[float, float]]:
    """Requests that were dealt with as promised, and those that were not, by objective; from counters by series.

    ``within``: seconds, a bound of the durations. A question that the champion answered in another's stead is no
    missed request: only the last one put for a client counts.
    """
    found: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for one, value in totals.items():
        name, labels = read(one)
        match name:
            case "rivals_requests_total":
                found["availability"][labels["outcome"] != "ok"] += value
            case "rivals_degraded_total" if labels["reason"] == "stand_in":
                found["availability"][1] -= value
            case "rivals_shed_total" if labels["reason"] in REFUSED:
                found["availability"][1] += value
            case "rivals_request_duration_seconds_bucket":
                found["latency"][float(labels["le"]) > within] += value
    return {name: (good, bad) for name, (good, bad) in found.items()}


def _plus_one(log: float) -> float:
    """log(1 + M)."""
    return log + math.log1p(math.exp(-log)) if log > 0 else math.log1p(math.exp(log))
