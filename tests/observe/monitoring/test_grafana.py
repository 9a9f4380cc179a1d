"""Dashboards: every metric that is shown has its panel, and no panel asks for what is not there."""

from __future__ import annotations

import re

from rivals.metrics import METRICS, PARTS, TABLE
from rivals.observe.monitoring.grafana import ROWS, dashboards
from rivals.observe.monitoring.rules import Promise, rules

BOARDS = dashboards(Promise())


def exprs() -> list[str]:
    return [one["expr"] for board in BOARDS.values() for panel in board["panels"] for one in panel.get("targets", [])]


def test_every_query_names_metrics_of_the_table_or_recorded_ones() -> None:
    recorded = {one["record"] for group in rules(Promise())["groups"] for one in group["rules"] if "record" in one}
    for expr in exprs():
        names = set(re.findall(r"\brivals[_:][a-z_:]+[a-z](?:\d+[mhd])?", expr))
        assert names <= PARTS.keys() | METRICS.keys() | recorded, expr


def test_every_metric_that_is_shown_has_a_panel() -> None:
    told = " ".join(exprs())
    assert {one.shown for one in TABLE} - {""} == set(ROWS)
    assert [one.name for one in TABLE if one.shown and one.name not in told] == []


def test_panels_have_places_of_their_own() -> None:
    for board in BOARDS.values():
        taken = set()
        for panel in board["panels"]:
            at = panel["gridPos"]
            cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
            assert not cells & taken, panel["title"]
            assert at["x"] + at["w"] <= 24
            taken |= cells
        ids = [panel["id"] for panel in board["panels"]]
        assert len(set(ids)) == len(ids)
