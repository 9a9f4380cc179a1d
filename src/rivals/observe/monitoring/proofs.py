"""Unit tests of the rules, for ``promtool test rules``: what pages, what makes a ticket, and what makes nobody look."""

from __future__ import annotations

import math
from typing import Any

from rivals.observe.monitoring.rules import FEW, MONTH, Promise, rules

OK = 'rivals_requests_total{endpoint="e",variant="a",outcome="ok"}'
ERROR = 'rivals_requests_total{endpoint="e",variant="a",outcome="error"}'
STAND_IN = 'rivals_degraded_total{endpoint="e",reason="stand_in"}'
BUSY = 'rivals_shed_total{endpoint="e",reason="busy"}'
COUNT = 'rivals_request_duration_seconds_count{endpoint="e",variant="a"}'
MONTHLY = math.log(FEW * MONTH)

Case = dict[str, Any]


def proofs(rules_file: str, promise: Promise) -> dict[str, Any]:
    """The file beside the rules, as YAML would have it."""
    budget = promise.budgets["availability"]
    fast, mild = 40 * budget, 2 * budget  # shares of the requests that fail
    quick = f'rivals_request_duration_seconds_bucket{{endpoint="e",variant="a",le="{promise.latency_seconds}"}}'
    harm = 'rivals_evidence{endpoint="e",judge="failures",claim="harm",pair="a/b"}'
    cases = [
        _case("a burst of failures pages", {OK: _of(600, 1 - fast), ERROR: _of(600, fast)}, "1h", _burns(True, True)),
        _case("a slow leak is a ticket", {OK: _of(600, 1 - mild), ERROR: _of(600, mild)}, "1h", _burns(False, True)),
        _case("all is well", {OK: _of(600, 1.0), ERROR: _of(600, 0.0)}, "1h", _burns(False, False)),
        _case(
            "what the champion answered instead is no failure",
            {OK: _of(600, 1.0), ERROR: _of(600, fast), STAND_IN: _of(600, fast)},
            "1h",
            _burns(False, False),
        ),
        _case("a refused request is a failure", {OK: _of(600, 1.0), BUSY: _of(600, fast)}, "1h", _burns(True, True)),
        _case(
            "few requests page by evidence, not by rate",
            {
                OK: _of(6, 0.5),
                ERROR: _of(6, 0.5),
                'rivals_objective_evidence{endpoint="e",objective="availability"}': f"{MONTHLY + 1:.3f}x60",
                'rivals_objective_evidence{endpoint="e",objective="latency"}': f"{MONTHLY - 1:.3f}x60",
            },
            "1h",
            {**_burns(False, False), "RivalsObjectiveMissed": [{"objective": "availability"}]},
        ),
        _case(
            "many requests page by rate, not by evidence",
            {
                OK: _of(600, 1.0),
                'rivals_objective_evidence{endpoint="e",objective="availability"}': f"{MONTHLY + 1:.3f}x60",
            },
            "1h",
            {**_burns(False, False), "RivalsObjectiveMissed": []},
        ),
        _case(
            "slow answers page",
            {OK: _of(600, 1.0), quick: _of(600, 0.8), COUNT: _of(600, 1.0)},
            "1h",
            {"RivalsLatencyBurns": [{"objective": "latency"}], "RivalsAvailabilityBurns": []},
        ),
        _case("harm is a ticket", {harm: f"0x10 {promise.harm + 0.1:.4f}x20"}, "30m", {"RivalsChallengerHarms": [{}]}),
        _case("less than proof is not", {harm: f"{promise.harm - 0.1:.4f}x30"}, "30m", {"RivalsChallengerHarms": []}),
        _case(
            "the control process is missed",
            {'rivals_control_round_timestamp_seconds{endpoint="e"}': "0x30"},
            "10m",
            {"RivalsControlAway": [{}]},
        ),
        _case("so is the server", {'up{job="rivals",instance="i"}': "1 0x30"}, "20m", {"RivalsDown": [{}]}),
    ]
    return {
        "rule_files": [rules_file],
        "evaluation_interval": "10m",
        "group_eval_order": [group["name"] for group in rules(promise)["groups"]],
        "tests": cases,
    }


def _of(a_minute: float, share: float) -> str:
    """A counter that grows by a share of so many requests a minute, for an hour."""
    return f"0+{a_minute * share:.9g}x60"


def _burns(page: bool, ticket: bool) -> dict[str, list[dict[str, str]]]:
    found = [{"objective": "availability"}]
    return {"RivalsAvailabilityBurns": found if page else [], "RivalsAvailabilityBurnsSlowly": found if ticket else []}


def _case(name: str, series: dict[str, str], at: str, alerts: dict[str, list[dict[str, str]]]) -> Case:
    """One of promtool's tests: which alerts fire, by the labels that tell them from others of their name."""
    tests = []
    for alert, firing in alerts.items():
        labels = ["alertname", *sorted({label for one in firing for label in one})]
        expr = f'count by ({", ".join(labels)}) (ALERTS{{alertname="{alert}",alertstate="firing"}})'
        wanted = [{"alertname": alert, **one} for one in firing]
        told = [",".join(f'{label}="{value}"' for label, value in one.items()) for one in wanted]
        samples = [{"labels": f"{{{one}}}", "value": 1} for one in told]
        tests.append({"expr": expr, "eval_time": at, "exp_samples": samples})
    given = [{"series": one, "values": values} for one, values in series.items()]
    return {"name": name, "interval": "1m", "input_series": given, "promql_expr_test": tests}
