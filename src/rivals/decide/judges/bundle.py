"""What a bundle must be: small enough, and the same as the pipeline it was made of."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rivals.errors import SpecError
from rivals.values import Evidence, Status, Verdict

SAID = "schema.break/"


@dataclass(frozen=True, slots=True)
class Size:
    """Pass a bundle of at most ``max_kb`` kilobytes (1,000 bytes)."""

    max_kb: float

    def __post_init__(self) -> None:
        _positive("size", "max_kb", self.max_kb)

    def judge(self, evidence: Evidence) -> Verdict:
        """Look at ``size.bytes``."""
        return _below("size", "kB", evidence.estimates.get("size.bytes", math.nan) / 1e3, self.max_kb)


@dataclass(frozen=True, slots=True)
class Parity:
    """Pass a bundle whose answers differ from the fitted pipeline's by at most ``most``."""

    most: float = 1e-5

    def __post_init__(self) -> None:
        _positive("parity", "most", self.most)

    def judge(self, evidence: Evidence) -> Verdict:
        """Look at ``parity``."""
        return _below("parity", "away from the pipeline", evidence.estimates.get("parity", math.nan), self.most)


@dataclass(frozen=True, slots=True)
class Schema:
    """Fail where the data is not what it was when the project was first built."""

    def judge(self, evidence: Evidence) -> Verdict:
        """Look at ``schema.columns`` and at the sentences under ``schema.break/``."""
        columns = evidence.estimates.get("schema.columns", math.nan)
        if math.isnan(columns):
            return Verdict("schema", Status.INCONCLUSIVE, "nothing is known of the data at the first build")
        faults = sorted(name.removeprefix(SAID) for name in evidence.estimates if name.startswith(SAID))
        if faults:
            return Verdict("schema", Status.FAIL, "; ".join(faults), {"breaks": float(len(faults))})
        return Verdict("schema", Status.PASS, f"{columns:.0f} columns are as they were", {"breaks": 0.0})


def _positive(judge: str, name: str, value: object) -> None:
    if not (isinstance(value, (int, float)) and 0 < value < math.inf):
        raise SpecError(f"judge {judge}: {name} is a number above 0, not {value!r}.")


def _below(judge: str, unit: str, value: float, limit: float) -> Verdict:
    if math.isnan(value):
        return Verdict(judge, Status.INCONCLUSIVE, "it was not measured")
    status = Status.PASS if value <= limit else Status.FAIL
    return Verdict(judge, status, f"{value:.3g} {unit} (limit {limit:g})", {"value": value, "limit": float(limit)})
