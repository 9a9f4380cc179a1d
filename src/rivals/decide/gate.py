"""May it go live? Judges on offline evidence, before a single request is asked.

``offline`` puts the figures into ``Evidence.estimates`` under these names; a judge that misses its figure says so:

==================================  =============================================================================
``noninferior.<metric>``            challenger minus champion on held-out rows; more is worse, whatever the metric
``noninferior.<metric>.low|high``   its interval, holding together over all variants that were compared
``latency.p50_us``                  one row's median in process, microseconds
``latency.p99_ms``                  its 99th percentile, milliseconds
``size.bytes``                      of the bundle
==================================  =============================================================================
"""

from __future__ import annotations

from collections.abc import Sequence

from rivals.decide.compare import Leaderboard
from rivals.protocols import Judge
from rivals.values import Evidence, Status, Verdict

ORDER = (Status.PASS, Status.INCONCLUSIVE, Status.ERROR, Status.FAIL)


def offline(
    boards: Sequence[Leaderboard],
    challenger: str,
    *,
    endpoint: str = "",
    p50_us: float = 0.0,
    p99_us: float = 0.0,
    size: int = 0,
) -> Evidence:
    """Evidence on ``challenger`` from leaderboards (one a metric) and measured latencies; 0: not measured."""
    champion = next((board.champion for board in boards if board.champion), "")
    found: dict[str, float] = {}
    for board in boards:
        row = board.row(challenger)
        if row.verdict in {"better", "worse", "tied"}:
            ends = (row.difference_low, row.difference_high)
            low, high = ends if board.lower_is_better else (-ends[1], -ends[0])
            found[f"noninferior.{board.metric}"] = row.difference if board.lower_is_better else -row.difference
            found[f"noninferior.{board.metric}.low"], found[f"noninferior.{board.metric}.high"] = low, high
    if p99_us > 0:
        found |= {"latency.p50_us": p50_us, "latency.p99_ms": p99_us / 1e3}
    if size:
        found["size.bytes"] = float(size)
    return Evidence(endpoint, champion, challenger, now=0.0, estimates=found)


def gate(evidence: Evidence, judges: Sequence[Judge]) -> list[Verdict]:
    """Every judge's verdict, in their order."""
    return [judge.judge(evidence) for judge in judges]


def worst(verdicts: Sequence[Verdict]) -> Status:
    """What the gate says: the worst one counts; without judges there is nothing against it."""
    return max((verdict.status for verdict in verdicts), key=ORDER.index, default=Status.PASS)
