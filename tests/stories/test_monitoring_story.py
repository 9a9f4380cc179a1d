"""An endpoint under the eyes of real watchers: Prometheus and Alertmanager, an agent, a collector."""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics

from rivals.metrics import TABLE
from tests.parts import part

from .conftest import Server, a_row, infer, rivals, wait_until
from .watchers import Agent, Listener, Watcher, alertmanager, free_port, prometheus

pytestmark = pytest.mark.slow

T = TypeVar("T", Server, Watcher, Listener, Agent)
KILLS = 20
MONITORING = """
monitoring: {{availability: 99%, alerts: "{hook}/alerts", dogstatsd: "{agent}", traces: "{collector}"}}
"""
# What has nothing to show here: no drift is computed, no policy learns, nothing is shed or stands in, and nothing fires.
QUIET = ("rivals_drift_evidence", "rivals_policy_figure", "rivals_shed_total", "rivals_degraded_total", "ALERTS")


@dataclass
class World:
    server: Server
    prometheus: Watcher
    alertmanager: Watcher
    hook: Listener
    collector: Listener
    agent: Agent
    folder: Path  # of what `rivals export monitoring` wrote

    def counted(self, name: str = "rivals_requests_total") -> float:
        """As Prometheus has it, once it has looked after this moment."""
        after, found = time.time(), list[float]()

        def looked() -> bool:
            # In one query: between two the server may be away for a moment, and its series with it.
            told = self.prometheus.ask(f"sum({name} and timestamp({name}) > {after})")
            found.extend(float(one["value"][1]) for one in told)
            return bool(found)

        wait_until(looked, 60, self.prometheus.log)
        return found[0]


@pytest.fixture(scope="module")
def world(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    for name in ("prometheus", "promtool"):
        part(name)
    home = tmp_path_factory.mktemp("watched")
    project = Path(shutil.copytree(trained, home / "toy", symlinks=True))
    file, folder, ports = project / "rivals.yaml", project / "monitoring", (free_port(), free_port())
    with ExitStack() as stack:

        def kept(one: T) -> T:
            stack.callback(one.stop)
            return one

        hook, collector, agent = kept(Listener()), kept(Listener()), kept(Agent())
        at_once = file.read_text().replace("label_delay: 1h", "label_delay: 0s")
        file.write_text(at_once + MONITORING.format(hook=hook.url, agent=agent.address, collector=collector.url))
        server = kept(Server(project, workers=2))
        done = rivals("export", "monitoring", "--target", f"127.0.0.1:{server.port}", cwd=project)
        assert done.returncode == 0, done.stderr
        config = yaml.safe_load((folder / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}  # a story has no minutes
        config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [f"127.0.0.1:{ports[1]}"]}]}]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        watchers = kept(prometheus(folder, ports[0])), kept(alertmanager(folder, ports[1]))
        yield World(server, *watchers, hook, collector, agent, folder)


class Load(threading.Thread):
    """A client that does not try again: what it sent, and what it got."""

    def __init__(self, world: World, stop: threading.Event, most: int = 10**9) -> None:
        super().__init__()
        self.port, self.stop, self.most = world.server.port, stop, most
        self.sent, self.answered = Counter[str](), Counter[str]()  # only what somebody took counts as sent
        self.connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        while self.sent["infer"] < self.most and not self.stop.is_set():
            if answer := self.post("/v2/models/toy/infer", infer(a_row(self.sent["infer"]))):
                self.answered["infer"] += 1
                label = {"id": f"{answer['id']}/0", "label": self.sent["infer"] % 2}
                self.answered["feedback"] += self.post("/v2/feedback", label) is not None
        if self.connection:
            self.connection.close()

    def post(self, path: str, body: object) -> dict[str, str] | None:
        """The answer, or None where none came."""
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
                self.connection.connect()
            self.sent[path.rpartition("/")[2]] += 1
            self.connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            reply = self.connection.getresponse()
            raw = reply.read()
            assert reply.status == 200, raw
            told: dict[str, str] = json.loads(raw)
        except (OSError, http.client.HTTPException):
            if self.connection:
                self.connection.close()
            self.connection = None
            return None
        return told


def test_prometheus_counts_exactly_what_was_answered(world: World) -> None:
    clients = [Load(world, threading.Event(), 300) for _ in range(3)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    assert sum((one.answered for one in clients), Counter()) == {"infer": 900, "feedback": 900}
    assert world.counted() == 900
    assert world.counted("rivals_request_duration_seconds_count") == 900
    assert world.counted("rivals_feedback_total") == 900


def test_through_twenty_kills_it_counts_no_less_than_was_answered_and_no_more_than_was_sent(world: World) -> None:
    before, told_before = world.counted(), world.counted("rivals_feedback_total")
    stop, rng, killed = threading.Event(), random.Random(8), 0
    clients = [Load(world, stop) for _ in range(3)]
    for one in clients:
        one.start()
    deadline = time.monotonic() + 240
    while killed < KILLS:
        assert time.monotonic() < deadline, killed
        time.sleep(rng.uniform(0.1, 0.3))
        log = world.server.log.read_text()
        if workers := [pid for pid in world.server.workers() if f"pid={pid} port" in log]:  # they listen
            os.kill(rng.choice(workers), signal.SIGKILL)
            killed += 1
    stop.set()
    for one in clients:
        one.join()
    answered, sent = (
        sum(some, Counter()) for some in ([one.answered for one in clients], [one.sent for one in clients])
    )
    counted = {"infer": world.counted() - before, "feedback": world.counted("rivals_feedback_total") - told_before}
    for what, count in counted.items():
        assert answered[what] <= count <= sent[what]
        print(f"{killed} kills, {what}: {answered[what]} answered <= {count:.0f} counted <= {sent[what]} sent")


def test_both_planes_say_the_same_in_a_form_that_the_official_parser_reads(world: World) -> None:
    found = []
    for port in (world.server.port, world.server.control_port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
        reply = connection.getresponse()
        raw = reply.read().decode()
        connection.close()
        assert reply.getheader("Content-Type") == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        samples = [one for family in read_openmetrics(raw) for one in family.samples]
        assert any(one.exemplar and "trace_id" in one.exemplar.labels for one in samples)
        found.append({(one.name, str(one.labels)): one.value for one in samples if "requests" in one.name})
    assert found[0] == found[1] != {}


def test_promtool_likes_what_metrics_says(world: World) -> None:
    _, raw = world.server.get("/metrics")
    done = subprocess.run([part("promtool"), "check", "metrics"], input=raw, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_query_of_every_dashboard_runs_and_finds_what_there_is(world: World) -> None:
    done = rivals("rollout", "start", "logistic", cwd=world.server.folder)
    assert done.returncode in {0, 1}, done.stderr
    client = Load(world, threading.Event(), 200)
    client.start()
    client.join()
    boards = [json.loads(path.read_text()) for path in (world.folder / "grafana").glob("*.json")]
    asked = [one["expr"] for board in boards for panel in board["panels"] for one in panel.get("targets", [])]
    assert len(asked) > len([one for one in TABLE if one.shown])
    said = [one.replace("$__rate_interval", "1m").replace("$endpoint", ".*") for one in asked]
    for expr in said:
        world.prometheus.ask(expr)
    waited = [expr for expr in said if not any(name in expr for name in QUIET)]
    with suppress(AssertionError):
        wait_until(lambda: all(world.prometheus.ask(expr) for expr in waited), 60)
    assert [expr for expr in waited if not world.prometheus.ask(expr)] == []


def test_an_agent_hears_every_count(world: World) -> None:
    counted = world.counted()
    wait_until(lambda: world.agent.counted("rivals.requests.count") >= counted, 60, world.server.log)
    assert world.agent.counted("rivals.requests.count") == counted
    assert any(line.startswith("rivals.variant_weight_ratio:") and "|g|" in line for line in world.agent.lines)


def test_a_clients_trace_reaches_the_collector(world: World) -> None:
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    body, header = infer(a_row(1)), f"00-{trace}-{parent}-01"
    assert world.server.request("POST", "/v2/models/toy/infer", body, traceparent=header)[0] == 200

    def spans() -> list[tuple[str, str, str]]:
        requests = [ExportTraceServiceRequest.FromString(raw) for raw in list(world.collector.bodies)]
        scopes = [scope for one in requests for resource in one.resource_spans for scope in resource.scope_spans]
        return [(one.name, one.trace_id.hex(), one.parent_span_id.hex()) for scope in scopes for one in scope.spans]

    wait_until(lambda: ("infer toy", trace, parent) in spans(), 30, world.server.log)


def test_an_alert_reaches_a_webhook(world: World) -> None:
    """Clients whose deadline passes at once use up the budget; the page arrives through Alertmanager."""
    wait_until(lambda: world.prometheus.ask("rivals:requests:rate1h"), 30, world.prometheus.log)
    many = int(world.prometheus.value("rivals:requests:rate1h * 3600"))

    def refused(times: int) -> None:
        for _ in range(times):
            status, _, _ = world.server.request(
                "POST", "/v2/models/toy/infer", infer(a_row(1)), X_Rivals_Deadline_Ms="0.000001"
            )
            assert status == 504

    refused(max(300, many // 3))

    def pages() -> list[dict[str, str]]:
        refused(10)  # they go on trying
        posted = [json.loads(raw) for raw in list(world.hook.bodies)]
        return [one["labels"] for body in posted for one in body["alerts"] if body["receiver"] == "pages"]

    wait_until(pages, 240, world.alertmanager.log)
    assert {"RivalsAvailabilityBurns", "RivalsObjectiveMissed"} & {one["alertname"] for one in pages()}
    assert pages()[0]["endpoint"] == "toy"
