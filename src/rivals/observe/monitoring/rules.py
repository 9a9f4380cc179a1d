"""Prometheus' rules for an endpoint: what is recorded, and when a person hears of it.

Burn rates over two windows each, as the Site Reliability Workbook has them (sre.google/workbook/alerting-on-slos,
"multiwindow, multi-burn-rate alerts"): a page where 2 % of a month's budget goes in an hour or 5 % in six, a ticket
where 10 % goes in three days. Below ``FEW`` requests an hour a rate is noise (one failure in ten requests burns a
hundred times the budget); there the e-detector of ``rivals_objective_evidence`` pages instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rivals.observe.objectives import LATE, REFUSED

FEW = 1_000  # requests an hour
MONTH = 720  # hours; FEW * MONTH requests between two false pages
WINDOWS = ("5m", "30m", "1h", "6h", "3d")
FAST = (("1h", "5m", 14.4), ("6h", "30m", 6.0))  # long window, short window, times the budget
SLOW = (("3d", "6h", 1.0),)
DROPPED = 0.05  # of the questions in the shadow
DRIFTED = 1e6  # rows between two false tickets on one column
AWAY = 120  # seconds without a word of the control process

Rule = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Promise:
    """What is promised. ``harm``: the evidence from which on a challenger counts as harmful (a natural logarithm)."""

    availability: float = 0.999
    latency_seconds: float = 0.25
    harm: float = math.log(40)

    @property
    def budgets(self) -> dict[str, float]:
        """Share of the requests that may miss each objective."""
        return {"availability": 1 - self.availability, "latency": LATE}


def rules(promise: Promise) -> dict[str, list[Rule]]:
    """The rules file, as YAML would have it."""
    recorded = [one for window in WINDOWS for one in _recorded(window, promise)]
    burning = [one for name, budget in promise.budgets.items() for one in _burning(name, budget)]
    return {
        "groups": [
            {"name": "rivals-objectives", "rules": recorded},
            {"name": "rivals-burn-rates", "rules": [*burning, _missed()]},
            {"name": "rivals-decisions", "rules": _decisions(promise)},
            {"name": "rivals-processes", "rules": _processes()},
        ]
    }


def _recorded(window: str, promise: Promise) -> list[Rule]:
    """Requests a second, and the share of them that missed each objective."""
    every = f"sum by (endpoint) (rate(rivals_requests_total[{window}]))"
    failed = f'sum by (endpoint) (rate(rivals_requests_total{{outcome!="ok"}}[{window}]))'
    again = f'sum by (endpoint) (rate(rivals_degraded_total{{reason="stand_in"}}[{window}]))'
    refused = f'sum by (endpoint) (rate(rivals_shed_total{{reason=~"{"|".join(sorted(REFUSED))}"}}[{window}]))'
    # A question that the champion answered in another's stead is no request of its own.
    beside = f"- ({again} or 0 * {every}) + ({refused} or 0 * {every})"
    took = "rivals_request_duration_seconds"
    quick = f'sum by (endpoint) (rate({took}_bucket{{le="{promise.latency_seconds}"}}[{window}]))'
    return [
        {"record": f"rivals:requests:rate{window}", "expr": f"{every} {beside}"},
        {
            "record": f"rivals:availability:missed{window}",
            "expr": f"(({failed} or 0 * {every}) {beside}) / (rivals:requests:rate{window} > 0)",
        },
        {
            "record": f"rivals:latency:missed{window}",
            "expr": f"1 - {quick} / (sum by (endpoint) (rate({took}_count[{window}])) > 0)",
        },
    ]


def _burning(objective: str, budget: float) -> list[Rule]:
    def burns(windows: tuple[tuple[str, str, float], ...]) -> str:
        pairs = [
            f"(rivals:{objective}:missed{long} > {times * budget:.9g} "
            f"and rivals:{objective}:missed{short} > {times * budget:.9g})"
            for long, short, times in windows
        ]
        return " or ".join(pairs)

    name, labels = objective.capitalize(), {"objective": objective}
    what = {"availability": "get no answer", "latency": "wait too long"}[objective]
    many = f"rivals:requests:rate1h * 3600 >= {FEW}"
    return [
        _alert(
            f"Rivals{name}Burns",
            f"({burns(FAST)}) and {many}",
            "page",
            f"{{{{ $labels.endpoint }}}}: {{{{ $value | humanizePercentage }}}} of the requests {what}; "
            f"{budget:.3%} are allowed.",
            **labels,
        ),
        _alert(
            f"Rivals{name}BurnsSlowly",
            f"{burns(SLOW)} and {many}",
            "ticket",
            f"{{{{ $labels.endpoint }}}}: for days {{{{ $value | humanizePercentage }}}} of the requests {what}; "
            f"{budget:.3%} are allowed.",
            **labels,
        ),
    ]


def _missed() -> Rule:
    return _alert(
        "RivalsObjectiveMissed",
        f"rivals_objective_evidence >= {math.log(FEW * MONTH):.4f} "
        f"and on (endpoint) rivals:requests:rate1h * 3600 < {FEW}",
        "page",
        "{{ $labels.endpoint }} misses its {{ $labels.objective }}: proven on few requests (evidence "
        "{{ $value | humanize }}).",
    )


def _decisions(promise: Promise) -> list[Rule]:
    dropped = 'sum by (endpoint, variant) (rate(rivals_shadow_total{outcome="dropped"}[1h]))'
    return [
        _alert(
            "RivalsChallengerHarms",
            f'rivals_evidence{{claim=~"harm|worse"}} >= {promise.harm:.4f}',
            "ticket",
            "{{ $labels.endpoint }}: the challenger of {{ $labels.pair }} does harm, says {{ $labels.judge }} "
            "({{ $labels.claim }}).",
        ),
        _alert(
            "RivalsShadowDropped",
            f"{dropped} / sum by (endpoint, variant) (rate(rivals_shadow_total[1h])) > {DROPPED}",
            "ticket",
            "{{ $labels.endpoint }}: {{ $value | humanizePercentage }} of what {{ $labels.variant }} was to answer in "
            "the shadow was dropped; what is left is a selection.",
            wait="15m",
        ),
        _alert(
            "RivalsDrift",
            f"rivals_drift_evidence >= {math.log(DRIFTED):.4f}",
            "ticket",
            "{{ $labels.endpoint }}: {{ $labels.column }} {{ $labels.variant }} drifts.",
        ),
    ]


def _processes() -> list[Rule]:
    return [
        _alert("RivalsDown", 'up{job="rivals"} == 0', "page", "{{ $labels.instance }} does not answer.", wait="1m"),
        _alert(
            "RivalsControlAway",
            f"time() - rivals_control_round_timestamp_seconds > {AWAY}",
            "page",
            "{{ $labels.endpoint }}: the control process is away for {{ $value | humanizeDuration }}; challengers get "
            "nothing, nobody judges.",
        ),
    ]


def _alert(name: str, expr: str, severity: str, summary: str, wait: str = "", **labels: str) -> Rule:
    rule: Rule = {"alert": name, "expr": expr}
    if wait:
        rule["for"] = wait
    return {**rule, "labels": {"severity": severity, **labels}, "annotations": {"summary": summary}}
