"""Grafana dashboards, made from the metric table: a panel for every metric that is shown, and the objectives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

from rivals.metrics import TABLE, Metric
from rivals.observe.monitoring.rules import FAST, WINDOWS, Promise

ROWS = {
    "traffic": "Traffic",
    "variants": "Variants",
    "decisions": "Decisions",
    "quality": "Quality and feedback",
    "resources": "Processes",
}
UNITS = {"seconds": "s", "bytes": "bytes", "ratio": "percentunit", "": "short"}
WIDE, HIGH = 12, 8  # of 24 columns
RATE = "$__rate_interval"
HERE = 'endpoint=~"$endpoint"'
SOURCE = {"type": "prometheus", "uid": "${datasource}"}

Panel = dict[str, Any]


def dashboards(promise: Promise) -> dict[str, dict[str, Any]]:
    """By file name: what is measured, and whether the objectives are kept."""
    return {
        "rivals-endpoint.json": _dashboard("rivals-endpoint", "rivals: endpoint", _of_table()),
        "rivals-objectives.json": _dashboard("rivals-objectives", "rivals: objectives", _of_objectives(promise)),
    }


def queries(metric: Metric) -> list[tuple[str, str]]:
    """What is asked about a metric, each with what its lines are called."""
    labels = [label for label in metric.labels if label != "endpoint"]
    legend, by = " ".join(f"{{{{{label}}}}}" for label in labels), ", ".join(labels)
    match metric.kind:
        case "counter":
            return [(f"sum by ({by}) (rate({metric.name}{{{HERE}}}[{RATE}]))", legend)]
        case "histogram":
            within = ", ".join(["le", *labels])
            rate = f"sum by ({within}) (rate({metric.name}_bucket{{{HERE}}}[{RATE}]))"
            return [(f"histogram_quantile({q}, {rate})", f"{legend} p{q * 100:g}".strip()) for q in (0.5, 0.99)]
        case _ if metric.name.endswith("_timestamp_seconds"):
            return [(f"time() - {metric.name}{{{HERE}}}", "seconds ago")]
        case _:
            return [(f"{metric.name}{{{HERE}}}", legend)]


def _of_table() -> Iterator[Panel]:
    for shown, title in ROWS.items():
        yield {"type": "row", "title": title}
        for metric in TABLE:
            if metric.shown == shown:
                rate = "CPU seconds a second" if metric.unit == "seconds" else "a second"
                told = f"{metric.name} ({rate})" if metric.kind == "counter" else metric.name
                unit = "short" if metric.kind == "counter" else UNITS[metric.unit]
                yield _panel(told, metric.told, unit, queries(metric))


def _of_objectives(promise: Promise) -> Iterator[Panel]:
    yield {"type": "row", "title": "Objectives"}
    for objective, budget in promise.budgets.items():
        asked = [(f"rivals:{objective}:missed{window}{{{HERE}}} / {budget:.9g}", window) for window in WINDOWS]
        lines = ", ".join(f"{times:g} over {long} and {short}" for long, short, times in FAST)
        yield _panel(
            f"{objective}: burn rate", f"1 uses up the budget of {budget:.3%}; a page at {lines}.", "short", asked
        )
    evidence = [(f"rivals_objective_evidence{{{HERE}}}", "{{objective}}")]
    yield _panel(
        "evidence that an objective is missed", "Natural logarithm; what counts on few requests.", "short", evidence
    )
    rate = [(f"rivals:requests:rate1h{{{HERE}}} * 3600", "an hour")]
    yield _panel("requests an hour", "Below 1,000 evidence pages, above it the burn rate.", "short", rate)
    yield {"type": "row", "title": "Alerts"}
    firing = [('sum by (alertname, severity) (ALERTS{alertstate="firing"})', "{{alertname}} {{severity}}")]
    yield _panel("firing", "Alerts that fire now.", "short", firing)


def _panel(title: str, told: str, unit: str, asked: Sequence[tuple[str, str]]) -> Panel:
    return {
        "type": "timeseries",
        "title": title,
        "description": told,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": SOURCE,
                "expr": expr,
                "legendFormat": legend,
                "exemplar": True,
            }
            for number, (expr, legend) in enumerate(asked)
        ],
    }


def _dashboard(uid: str, title: str, panels: Iterator[Panel]) -> dict[str, Any]:
    placed, ids, left, top = [], count(1), 0, 0
    for panel in panels:
        if panel["type"] == "row":
            top, left = top + (HIGH if left else 0), 0
            placed.append({**panel, "id": next(ids), "collapsed": False, "panels": [], "gridPos": _at(0, top, 24, 1)})
            top += 1
            continue
        placed.append({**panel, "id": next(ids), "gridPos": _at(left, top, WIDE, HIGH)})
        left += WIDE
        if left >= 2 * WIDE:
            left, top = 0, top + HIGH
    endpoints = {
        "type": "query",
        "name": "endpoint",
        "datasource": SOURCE,
        "query": "label_values(rivals_requests_total, endpoint)",
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "refresh": 2,
    }
    return {
        "uid": uid,
        "title": title,
        "tags": ["rivals"],
        "schemaVersion": 39,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "templating": {"list": [{"type": "datasource", "name": "datasource", "query": "prometheus"}, endpoints]},
        "panels": placed,
    }


def _at(left: int, top: int, width: int, height: int) -> dict[str, int]:
    return {"x": left, "y": top, "w": width, "h": height}
