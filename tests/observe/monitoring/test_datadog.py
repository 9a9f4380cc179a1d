"""What Datadog's agent gets: deltas that add up, and the same names by both ways."""

from __future__ import annotations

import itertools
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from rivals.metrics import TABLE, series
from rivals.observe.monitoring.datadog import MOST, check, datagrams, lines

OK = series("rivals_requests_total", endpoint="e", variant="a,b", outcome="ok")


@given(st.lists(st.integers(0, 1_000), min_size=1, max_size=30))
def test_deltas_add_up_to_what_was_counted(steps: list[int]) -> None:
    sent: dict[str, float] = {}
    total, told = 0, Counter[str]()
    for step in steps:
        total += step
        now = {OK: float(total)}
        for line in lines(now, sent):
            name, kind, _ = line.split("|")
            assert kind == "c"
            told[name.split(":")[0]] += float(name.split(":")[1])  # type: ignore[assignment]
        sent = now
    assert told["rivals.requests.count"] == total


def test_each_kind_has_its_form() -> None:
    bucket, step = "rivals_request_duration_seconds", series("rivals_rollout_step", endpoint="e", variant="b")
    now = {
        OK: 3.0,
        series(f"{bucket}_bucket", endpoint="e", variant="a", le="0.1"): 2.0,
        series(f"{bucket}_bucket", endpoint="e", variant="a", le="+Inf"): 4.0,
        series(f"{bucket}_sum", endpoint="e", variant="a"): 0.5,
        step: 2.0,
        series("rivals_process_cpu_seconds_total", endpoint="e", process="worker", worker="0"): 1.5,
    }
    assert list(lines(now, {OK: 1.0})) == [
        "rivals.requests.count:2|c|#endpoint:e,variant:a_b,outcome:ok",
        "rivals.request_duration_seconds.bucket:2|c|#endpoint:e,variant:a,upper_bound:0.1",
        "rivals.request_duration_seconds.bucket:4|c|#endpoint:e,variant:a,upper_bound:inf",
        "rivals.request_duration_seconds.sum:0.5|c|#endpoint:e,variant:a",
        "rivals.rollout_step:2|g|#endpoint:e,variant:b",
        "rivals.process.cpu_seconds.count:1.5|c|#endpoint:e,process:worker,worker:0",
    ]


def test_a_counter_that_began_again_is_counted_from_nothing() -> None:
    assert list(lines({OK: 2.0}, {OK: 5.0})) == ["rivals.requests.count:2|c|#endpoint:e,variant:a_b,outcome:ok"]


@given(st.lists(st.text("abc|#:", min_size=1, max_size=300), max_size=60))
def test_datagrams_are_full_and_not_too_large(said: list[str]) -> None:
    sent = list(datagrams(said))
    assert b"\n".join(sent).decode() == "\n".join(said)
    assert all(len(one) <= MOST for one in sent)
    assert all(len(one) + len(other) + 1 > MOST for one, other in itertools.pairwise(sent))


def test_the_check_file_names_every_metric_as_the_datagrams_do() -> None:
    (instance,) = check("http://127.0.0.1:8080/metrics")["instances"]
    names = {theirs: ours for one in instance["metrics"] for theirs, ours in one.items()}
    assert len(names) == len(TABLE)
    assert names["rivals_requests"] == "requests"
    assert names["rivals_process_cpu_seconds"] == "process.cpu_seconds"
