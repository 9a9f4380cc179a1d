"""Counters: they survive their process, add up over workers, and read as Prometheus wants them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from rivals.serve.metrics import METRICS, Counters, EndpointTally, exposition
from rivals.statistics.assignment import slots
from rivals.values import Arm, Outcome, RoutingTable

TABLE = RoutingTable("toy", 1, "a", (Arm("a", "1", 0.75), Arm('b"\\', "2", 0.25)), "s", slots([0.75, 0.25]))


def lines(folder: Path) -> dict[str, float]:
    told = [
        line.rpartition(" ") for line in exposition(folder, TABLE).decode().splitlines() if not line.startswith("#")
    ]
    return {series: float(value) for series, _, value in told}


def test_workers_add_up(tmp_path: Path) -> None:
    for slot, times in ((0, 3), (1, 4)):
        tally = EndpointTally(Counters(tmp_path, slot), "toy")
        for _ in range(times):
            tally.request("a", Outcome.OK, 0.002)
    told = lines(tmp_path)
    assert told['rivals_requests_total{endpoint="toy",variant="a",outcome="ok"}'] == 7
    assert told['rivals_request_duration_seconds_count{endpoint="toy",variant="a"}'] == 7
    assert told['rivals_request_duration_seconds_bucket{endpoint="toy",variant="a",le="0.001"}'] == 0
    assert told['rivals_request_duration_seconds_bucket{endpoint="toy",variant="a",le="0.0025"}'] == 7
    assert told['rivals_request_duration_seconds_bucket{endpoint="toy",variant="a",le="+Inf"}'] == 7


def test_every_metric_has_its_type_and_help(tmp_path: Path) -> None:
    text = exposition(tmp_path, None).decode()
    for name, (kind, _) in METRICS.items():
        assert f"# TYPE {name} {kind}\n" in text
        assert f"# HELP {name} " in text


def test_a_worker_that_comes_back_counts_on(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from rivals.serve.metrics import Counters\n"
        "counters = Counters(Path(sys.argv[1]), 0)\n"
        "for _ in range(5): counters.add('rivals_feedback_total')\n"
        "os.kill(os.getpid(), 9)"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert lines(tmp_path)["rivals_feedback_total"] == 10


def test_names_cannot_break_out_of_their_label(tmp_path: Path) -> None:
    EndpointTally(Counters(tmp_path, 0), "toy").request('b"\\', Outcome.ERROR, 1.0)
    told = lines(tmp_path)
    assert told['rivals_requests_total{endpoint="toy",variant="b\\"\\\\",outcome="error"}'] == 1
    assert told['rivals_variant_weight_ratio{endpoint="toy",variant="b\\"\\\\"}'] == 0.25


def test_more_series_than_there_is_room_for_are_left_out(tmp_path: Path) -> None:
    counters = Counters(tmp_path, 0)
    for number in range(20_000):
        counters.add(f'rivals_shed_total{{reason="{number:050d}"}}')
    told = [series for series in lines(tmp_path) if series.startswith("rivals_shed_total")]
    assert 5_000 < len(told) < 20_000


def test_a_file_begun_this_moment_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "3.counters").touch()
    assert 'rivals_build_info{version="' in exposition(tmp_path, TABLE).decode()


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        Counters(tmp_path / "metrics", 0).close()
    finally:
        os.umask(before)
    assert (tmp_path / "metrics").stat().st_mode & 0o777 == 0o700
