"""The control process's figures, over a real store; and what Datadog's agent hears."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Callable

import pytest

from rivals.flows.gauges import Gauges, decisions, lags, objectives, quality
from rivals.metrics import read, series
from rivals.serve.exposition import everything
from rivals.serve.metrics import Counters, EndpointTally
from rivals.values import Outcome
from tests.flows.conftest import Site

Make = Callable[..., Site]


def agent() -> socket.socket:
    """A port on loopback where Datadog's agent could listen."""
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.bind(("127.0.0.1", 0))
    link.settimeout(5)
    return link


def test_a_rollout_shows_its_step_and_its_evidence(site: Make) -> None:
    made = site()
    assert decisions(made.workspace) == {}
    made.start()
    made.bad()
    made.traffic("old", 300, shadow=True)
    made.judge(1.0)  # it is rolled back: nothing runs
    assert decisions(made.workspace) == {}
    made.start("third")
    made.traffic("third", 30, shadow=True)
    made.judge(1.0)
    found = decisions(made.workspace)
    assert found[series("rivals_rollout_step", endpoint="toy", variant="third")] == 0
    harm = series("rivals_evidence", endpoint="toy", judge="failures", claim="harm", pair="old/third")
    assert harm in found
    assert {read(one)[1].get("pair", "old/third") for one in found} == {"old/third"}


def test_quality_is_that_of_the_labelled_answers(site: Make) -> None:
    made = site()
    made.traffic("old", 40, labelled=40)
    made.now += 7_200  # labels have an hour
    made.traffic("old", 1)
    found = {read(one)[1]["metric"]: value for one, value in quality(made.workspace).items()}
    assert found["log_loss"] == pytest.approx(0.6931471805599453)  # every answer was one half
    assert found["brier"] == pytest.approx(0.25)


def test_labels_have_their_lag(site: Make) -> None:
    made = site()
    made.traffic("old", 40, labelled=25)
    assert lags(made.workspace)[series("rivals_feedback_lag_seconds_count", endpoint="toy")] == 25


def test_objectives_are_watched_over_restarts(site: Make) -> None:
    made = site()
    tally = EndpointTally(Counters(made.workspace.run_dir / "metrics", 0), "toy")
    tally.request("old", Outcome.OK, 0.001)
    one = series("rivals_objective_evidence", endpoint="toy", objective="availability")
    assert objectives(made.workspace)[one] < 0
    for number in range(20):
        tally.request("old", Outcome.ERROR if number % 2 else Outcome.OK, 0.001)
    found = objectives(made.again().workspace)
    assert found[one] > 20
    assert found == objectives(made.workspace)  # nothing came since


def test_every_metrics_page_has_them(site: Make) -> None:
    made = site()
    made.start()
    made.judge(1.0)
    Gauges(made.workspace).round()
    names = {read(one)[0] for one in everything(made.workspace.run_dir, made.workspace.table())}
    assert names >= {
        "rivals_rollout_step",
        "rivals_evidence",
        "rivals_feedback_lag_seconds_bucket",
        "rivals_control_round_timestamp_seconds",
        "rivals_process_cpu_seconds_total",
        "rivals_variant_weight_ratio",
        "rivals_build_info",
    }


def test_an_agent_hears_what_was_counted_once_over_restarts(site: Make) -> None:
    heard: Counter[str] = Counter()
    with agent() as link:
        made = site(
            f'monitoring: {{dogstatsd: "127.0.0.1:{link.getsockname()[1]}"}}'.replace("monitoring", "\nmonitoring")
        )
        tally = EndpointTally(Counters(made.workspace.run_dir / "metrics", 0), "toy")
        for many in (3, 0, 40):
            for _ in range(many):
                tally.request("old", Outcome.OK, 0.002)
            Gauges(made.again().workspace).send()
        link.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            while True:
                for line in link.recv(65_536).decode().split("\n"):
                    name, value = line.split("|")[0].rsplit(":", 1)
                    if "|c|" in line:
                        heard[name] += float(value)  # type: ignore[assignment]
    assert heard["rivals.requests.count"] == 43
    assert heard["rivals.request_duration_seconds.count"] == 43
    assert heard["rivals.request_duration_seconds.bucket"] == 43 * 11  # 0.002 is in eleven of the thirteen


def test_an_agent_that_is_away_holds_nothing_up(site: Make) -> None:
    with agent() as link:
        port = link.getsockname()[1]
    made = site(f'\nmonitoring: {{dogstatsd: "127.0.0.1:{port}"}}')
    for _ in range(3):
        Gauges(made.workspace).round()


def test_it_stops_when_it_is_told(site: Make) -> None:
    gauges = Gauges(site().workspace)
    thread = threading.Thread(target=gauges.run)
    thread.start()
    gauges.stopped.set()
    thread.join(10)
    assert not thread.is_alive()
