"""Is the evidence enough, and what does it say? ``analyse`` asks every judge; the worst answer counts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rivals.protocols import Judge
from rivals.values import Evidence, Status, Verdict

ORDER = (Status.PASS, Status.INCONCLUSIVE, Status.ERROR, Status.FAIL)


def analyse(evidence: Evidence, judges: Sequence[Judge]) -> Verdict:
    """One verdict of all judges: FAIL before ERROR before INCONCLUSIVE before PASS, with the reasons of the worst.

    A judge that passes on a figure that is not a number is not believed; without judges nothing is known. The figures
    of all judges are kept, each under its judge's name.
    """
    verdicts = [_believed(judge.judge(evidence)) for judge in judges]
    if not verdicts:
        return Verdict("analysis", Status.INCONCLUSIVE, "no judge was asked")
    status = max((one.status for one in verdicts), key=ORDER.index)
    reason = "; ".join(f"{one.judge}: {one.reason}" for one in verdicts if one.status is status)
    figures = {f"{one.judge}.{name}": value for one in verdicts for name, value in one.figures.items()}
    return Verdict("analysis", status, reason, figures)


def _believed(verdict: Verdict) -> Verdict:
    strange = sorted(name for name, value in verdict.figures.items() if math.isnan(value))
    if verdict.status is not Status.PASS or not strange:
        return verdict
    reason = f"it would pass, but {', '.join(strange)} is not a number"
    return Verdict(verdict.judge, Status.INCONCLUSIVE, reason, verdict.figures)
