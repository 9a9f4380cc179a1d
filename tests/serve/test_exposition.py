"""What /metrics says, read back by the official parsers of both formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from rivals import __version__
from rivals.errors import RivalsError
from rivals.metrics import TABLE, series
from rivals.serve.exposition import exposition, publish_exemplars, publish_gauges, wants_openmetrics
from rivals.serve.metrics import Counters, EndpointTally, Exemplar
from rivals.statistics.assignment import slots
from rivals.values import Arm, Outcome, RoutingTable

NAMES = ("a", 'b"\\', "ü}{,\n")
SHARES = (0.5, 0.25, 0.25)
ARMS = tuple(Arm(name, str(number), share) for number, (name, share) in enumerate(zip(NAMES, SHARES, strict=True)))
TABLE_IN_FORCE = RoutingTable("toy", 1, "a", ARMS, "s", slots(SHARES))
BUCKET = "rivals_request_duration_seconds_bucket"


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Two workers that counted, and what the control process published."""
    for slot in (0, 1):
        tally = EndpointTally(Counters(tmp_path / "metrics", slot), "toy")
        for name in NAMES:
            for number in range(5):
                tally.request(name, Outcome.OK if number else Outcome.ERROR, 10.0**-number, f"{name}-{slot}-{number}")
        tally.shadow("b", Outcome.SHED)
        tally.feedback(3)
        publish_exemplars(tmp_path, slot, tally.exemplars())
    lag = "rivals_feedback_lag_seconds"
    gauges = {
        series("rivals_drift_evidence", endpoint="toy", column="c"): 1.5,
        series(f"{lag}_bucket", endpoint="toy", le="10.0"): 2.0,
        series(f"{lag}_bucket", endpoint="toy", le="+Inf"): 1.0,
        series(f"{lag}_sum", endpoint="toy"): 1e7,
        series(f"{lag}_count", endpoint="toy"): 3.0,
    }
    publish_gauges(tmp_path, "control", gauges)
    return tmp_path


def values(families: Any) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def test_both_formats_say_the_same(run_dir: Path) -> None:
    told = values(read_text(exposition(run_dir, TABLE_IN_FORCE).decode()))
    assert told == values(read_openmetrics(exposition(run_dir, TABLE_IN_FORCE, openmetrics=True).decode()))
    for name in NAMES:
        labels = {("endpoint", "toy"), ("variant", name)}
        assert told["rivals_requests_total", frozenset({*labels, ("outcome", "ok")})] == 8
        assert told["rivals_request_duration_seconds_count", frozenset(labels)] == 10
        assert told[BUCKET, frozenset({*labels, ("le", "0.01")})] == 6  # 2 each of 0.0001, 0.001 and 0.01
    assert told["rivals_variant_weight_ratio", frozenset({("endpoint", "toy"), ("variant", NAMES[1])})] == 0.25
    assert told["rivals_shadow_total", frozenset({("endpoint", "toy"), ("variant", "b"), ("outcome", "dropped")})] == 2
    assert told["rivals_feedback_lag_seconds_bucket", frozenset({("endpoint", "toy"), ("le", "60.0")})] == 2
    assert told["rivals_build_info", frozenset({("version", __version__)})] == 1


def test_every_metric_has_its_type_and_help(tmp_path: Path) -> None:
    text, better = exposition(tmp_path, None).decode(), exposition(tmp_path, None, openmetrics=True).decode()
    for metric in TABLE:
        assert f"# TYPE {metric.name} {metric.kind}\n" in text
        assert f"# HELP {metric.name} {metric.told}\n" in text
    assert better.endswith("# EOF\n")
    assert "# TYPE rivals_requests counter\n" in better
    assert "# UNIT rivals_request_duration_seconds seconds\n" in better


def test_a_bucket_names_its_last_request(run_dir: Path) -> None:
    found = {}
    for family in read_openmetrics(exposition(run_dir, TABLE_IN_FORCE, openmetrics=True).decode()):
        for one in family.samples:
            if one.exemplar:
                found[one.labels["variant"], one.labels["le"]] = one.exemplar
    assert found["a", "0.01"].labels["request_id"] in {"a-0-2", "a-1-2"}
    assert (NAMES[1], "1.0") not in found  # quotes in an id lead parsers astray
    assert found["a", "0.01"].value == 0.01
    assert "# {" not in exposition(run_dir, TABLE_IN_FORCE).decode()


def test_with_traces_it_names_the_trace(tmp_path: Path) -> None:
    one = series(BUCKET, endpoint="toy", variant="a", le="0.01")
    EndpointTally(Counters(tmp_path / "metrics", 0), "toy").request("a", Outcome.OK, 0.006)
    publish_exemplars(tmp_path, 0, {one: Exemplar(f"00-{'ab' * 16}-{'cd' * 8}-01", 0.006, 1e9)})
    told = f'{one} 1 # {{trace_id="{"ab" * 16}"}} 0.006 1000000000.000'
    assert told in exposition(tmp_path, None, openmetrics=True).decode().splitlines()


def test_a_name_too_long_for_an_exemplar_is_left_out(tmp_path: Path) -> None:
    tally = EndpointTally(Counters(tmp_path / "metrics", 0), "toy")
    tally.request("a", Outcome.OK, 0.006, "x" * 200)
    publish_exemplars(tmp_path, 0, tally.exemplars())
    told = exposition(tmp_path, None, openmetrics=True).decode()
    assert "# {" not in told
    assert list(read_openmetrics(told))


@pytest.mark.parametrize(
    ("accept", "better"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", True),
        ("application/openmetrics-text; version=1.0.0; q=0.3, text/plain; version=0.0.4; q=0.4", False),
        ("application/openmetrics-text; version=9.0.0", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=much", False),
    ],
)
def test_a_scraper_gets_what_it_prefers(accept: str, better: bool) -> None:
    assert wants_openmetrics(accept.encode()) is better


def test_a_publisher_replaces_what_it_said_and_only_that(tmp_path: Path) -> None:
    column, step = (
        series("rivals_drift_evidence", endpoint="toy", column="c"),
        series("rivals_rollout_step", endpoint="toy", variant="b"),
    )
    publish_gauges(tmp_path, "control", {step: 2.0})
    publish_gauges(tmp_path, "drift", {column: 1.0})
    publish_gauges(tmp_path, "drift", {})
    told = exposition(tmp_path, None).decode()
    assert f"{step} 2\n" in told
    assert column not in told


def test_a_metric_that_the_table_lacks_cannot_be_published(tmp_path: Path) -> None:
    with pytest.raises(RivalsError, match="no metric 'rivals_mood'"):
        publish_gauges(tmp_path, "control", {"rivals_mood": 1.0})


def test_damaged_files_are_passed_over(run_dir: Path) -> None:
    for name in ("control.gauges", "0.exemplars"):
        (run_dir / "metrics" / name).write_bytes(b'{"torn')
    assert list(read_openmetrics(exposition(run_dir, TABLE_IN_FORCE, openmetrics=True).decode()))
