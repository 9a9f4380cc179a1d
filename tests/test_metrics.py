"""The table of metrics: every name of the contract, once, in a form that others can read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivals.errors import RivalsError
from rivals.metrics import METRICS, PARTS, TABLE, bucketed, read, series

ROOT = Path(__file__).parents[1]
CONTRACT = {
    "rivals_requests_total": {"endpoint", "variant", "outcome"},
    "rivals_request_duration_seconds": set[str](),
    "rivals_variant_weight_ratio": set(),
    "rivals_shadow_total": {"outcome"},
    "rivals_feedback_total": set(),
    "rivals_feedback_lag_seconds": set(),
    "rivals_quality": {"metric", "variant"},
    "rivals_evidence": {"judge", "pair"},
    "rivals_drift_evidence": {"column"},
    "rivals_shed_total": {"reason"},
    "rivals_rollout_step": set(),
    "rivals_build_info": set(),
}
WORDS = st.text(max_size=20)


def test_every_name_of_the_contract_is_there_with_its_labels() -> None:
    for name, labels in CONTRACT.items():
        assert labels <= set(METRICS[name].labels), name


def test_names_follow_prometheus() -> None:
    assert len({one.name for one in TABLE}) == len(TABLE)
    for one in TABLE:
        assert re.fullmatch(r"rivals_[a-z_]+[a-z]", one.name)
        assert (one.kind == "counter") == one.name.endswith("_total")
        assert one.unit == "" or one.name.removesuffix("_total").endswith(one.unit)
        assert bool(one.bounds) == (one.kind == "histogram")


def test_no_name_of_a_metric_stands_anywhere_but_in_words_of_the_table() -> None:
    """In code, rules, dashboards and pages alike."""
    pages = [*(ROOT / "src").rglob("*.py"), *(ROOT / "docs").glob("*.md")]
    wrong = set()
    for page in pages:
        for name in re.findall(
            r"\brivals_[a-z_]+_(?:total|seconds|ratio|bytes|info|evidence|quality)\b", page.read_text()
        ):
            if name not in PARTS and name not in METRICS:
                wrong.add((page.name, name))
    assert wrong == set()


def test_the_page_has_every_metric() -> None:
    page = (ROOT / "docs" / "monitoring.md").read_text()
    assert [one.name for one in TABLE if f"`{one.name}`" not in page] == []


@given(endpoint=WORDS, variant=WORDS, outcome=WORDS)
def test_a_series_is_read_as_it_was_written(endpoint: str, variant: str, outcome: str) -> None:
    given = {"endpoint": endpoint, "variant": variant, "outcome": outcome}
    name, labels = read(series("rivals_requests_total", **given))
    assert (name, labels) == ("rivals_requests_total", {label: told for label, told in given.items() if told})


def test_a_name_or_label_of_no_metric_is_refused() -> None:
    with pytest.raises(RivalsError, match="no metric 'rivals_request_total'"):
        series("rivals_request_total")
    with pytest.raises(RivalsError, match="has the labels endpoint, reason, not unit"):
        series("rivals_shed_total", unit="u-1")


def test_buckets_hold_all_below_them_though_one_was_never_counted() -> None:
    name = "rivals_feedback_lag_seconds_bucket"
    found = bucketed({series(name, endpoint="e", le="10.0"): 2.0, "other": 1.0}, METRICS["rivals_feedback_lag_seconds"])
    assert found[series(name, endpoint="e", le="1.0")] == 0
    assert {value for one, value in found.items() if 'le="1.0"' not in one} == {2.0}
