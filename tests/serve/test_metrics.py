"""Counters: they survive their process and add up over workers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from rivals.metrics import series
from rivals.serve.metrics import Counters, EndpointTally, answered, totals
from rivals.values import Outcome

OK = series("rivals_requests_total", endpoint="toy", variant="a", outcome="ok")
TOOK = "rivals_request_duration_seconds"


def test_workers_add_up(tmp_path: Path) -> None:
    for slot, times in ((0, 3), (1, 4)):
        tally = EndpointTally(Counters(tmp_path, slot), "toy")
        for _ in range(times):
            tally.request("a", Outcome.OK, 0.002)
    told = totals(tmp_path)
    assert told[OK] == 7
    assert told[series(f"{TOOK}_count", endpoint="toy", variant="a")] == 7
    assert told[series(f"{TOOK}_bucket", endpoint="toy", variant="a", le="0.001")] == 0
    assert told[series(f"{TOOK}_bucket", endpoint="toy", variant="a", le="0.0025")] == 7


def test_a_worker_that_comes_back_counts_on(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from rivals.serve.metrics import Counters\n"
        "counters = Counters(Path(sys.argv[1]), 0)\n"
        "for _ in range(5): counters.add('rivals_feedback_total')\n"
        "os.kill(os.getpid(), 9)"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert totals(tmp_path)["rivals_feedback_total"] == 10


def test_names_cannot_break_out_of_their_label(tmp_path: Path) -> None:
    EndpointTally(Counters(tmp_path, 0), "toy").request('b"\\', Outcome.ERROR, 1.0)
    assert totals(tmp_path)['rivals_requests_total{endpoint="toy",variant="b\\"\\\\",outcome="error"}'] == 1


def test_answers_are_told_by_variant(tmp_path: Path) -> None:
    tally = EndpointTally(Counters(tmp_path, 0), "toy")
    for variant, outcome in (("a", Outcome.OK), ("a", Outcome.ERROR), ("b", Outcome.OK)):
        tally.request(variant, outcome, 0.5)
    assert answered(tmp_path, "toy") == {"a": (1, 1, 1.0), "b": (1, 0, 0.5)}
    assert answered(tmp_path, "toys") == {}


def test_more_series_than_there_is_room_for_are_left_out(tmp_path: Path) -> None:
    counters = Counters(tmp_path, 0)
    for number in range(20_000):
        counters.add(f'rivals_shed_total{{reason="{number:050d}"}}')
    told = [one for one in totals(tmp_path) if one.startswith("rivals_shed_total")]
    assert 5_000 < len(told) < 20_000


@settings(max_examples=20, deadline=None)
@given(names=st.lists(st.text(max_size=40), min_size=1, max_size=500))
def test_no_name_that_a_client_chooses_is_a_series(names: list[str], tmp_path_factory: object) -> None:
    folder = tmp_path_factory.mktemp("counters")  # type: ignore[attr-defined]
    tally = EndpointTally(Counters(folder, 0), "toy")
    tally.request("a", Outcome.OK, 0.002, "the first")
    before = set(totals(folder))
    for name in names:
        tally.request("a", Outcome.OK, 0.002, name)
    assert set(totals(folder)) == before


def test_a_bucket_remembers_its_last_answer_once(tmp_path: Path) -> None:
    tally = EndpointTally(Counters(tmp_path, 0), "toy")
    for about, seconds in (("one", 0.002), ("two", 0.0021), ("slow", 9.0)):
        tally.request("a", Outcome.OK, seconds, about)
    bucket = f"{TOOK}_bucket"
    found = tally.exemplars()
    assert {one: (known.about, known.seconds) for one, known in found.items()} == {
        series(bucket, endpoint="toy", variant="a", le="0.0025"): ("two", 0.0021),
        series(bucket, endpoint="toy", variant="a", le="+Inf"): ("slow", 9.0),
    }
    assert tally.exemplars() == {}


def test_a_file_begun_this_moment_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "3.counters").touch()
    assert totals(tmp_path) == {}


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        Counters(tmp_path / "metrics", 0).close()
    finally:
        os.umask(before)
    assert (tmp_path / "metrics").stat().st_mode & 0o777 == 0o700
