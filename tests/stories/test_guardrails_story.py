"""Declared slices, rewards and a latency threshold on their way from a client's rows to the judges."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec

from rivals.flows.workspace import open_workspace
from rivals.observe.evidence import EvidenceState

from .conftest import Server, rivals, wait_until

START, BLOCK = 86_400.0 * 20_000, 6 * 3_600.0
WISH = """
    slices: [color, desk]
    judges: [failures, quality, {use: latency, with: {p99_ms: 250}}, {use: reward, with: {high: 9, margin: 1}}, ratio]
"""
COLORS = ["red", "green"]


def body(when: float) -> dict[str, object]:
    """Two rows of one request, in two slices of one column; only the second column is none of the models'."""
    columns = {"a": [0.5, -0.5], "b": [0.1, 0.2], "c": [0.3, 0.4], "color": COLORS, "desk": [7, 8], "t": [when, when]}
    kind = {"color": "BYTES"}
    return {
        "inputs": [
            {"name": name, "shape": [2], "datatype": kind.get(name, "FP64"), "data": data}
            for name, data in columns.items()
        ]
    }


def shadows(server: Server) -> int:
    """Shadow answers the control process has read so far."""
    return int(server.api("/api/status")["counts"].get("logistic", {}).get("shadows", 0))


def test_slices_rewards_and_latency_reach_the_judges(project: Path, serve: Callable[..., Server]) -> None:
    file = project / "rivals.yaml"
    text = file.read_text()
    assert "block: 6h}" in text
    rollout = "rollout:\n    steps: [25%]\n    every: 10m\n    deadline: 30d\n    block: 6h"
    file.write_text(text.replace("rollout: {steps: [25%], every: 10m, deadline: 30d, block: 6h}", rollout + WISH))
    server = serve(project, workers=1, clock="replay")
    assert server.request("POST", "/v2/models/toy/infer", body(START))[0] == 200
    wait_until(lambda: (server.api("/api/clock") or {}).get("judged", 0) >= START, 20, server.log)
    started = rivals("rollout", "start", "logistic", cwd=project)
    assert started.returncode in {0, 1}, started.stderr
    for number in range(60):
        when = START + 60 + number * BLOCK / 20
        status, _, _ = server.request("POST", "/v2/models/toy/infer", body(when), X_Request_Id=f"r{number}")
        assert status == 200
        told = [{"id": f"r{number}/{row}", "label": row, "reward": 3.0} for row in (0, 1)]
        assert server.request("POST", "/v2/feedback", told)[0] == 200
        if number % 10 == 0:  # a replayed day takes a second: a block must not close before its shadows answered
            wait_until(lambda: shadows(server) == 2 * (number + 1), 30, server.log)  # noqa: B023 -- waited for in the same turn
    bench = open_workspace(project)
    running = bench.store.active_rollout("toy")
    assert running is not None

    def state() -> EvidenceState:
        return msgspec.json.decode(bench.store.state(f"evidence/{running.id}") or b"", type=EvidenceState)

    wait_until(lambda: state().blocks >= 2, 30, server.log)
    found = state()
    assert set(found.slices) == {"color=red", "color=green", "desk=7", "desk=8", "(other)"}
    assert found.slices["color=red"].rows == found.slices["desk=8"].rows > 0
    assert found.slow.tau_us == 250_000
    assert found.shadows > 0
    begun = next(
        one for one in json.loads(rivals("history", "--json", cwd=project).stdout) if one["kind"] == "rollout.started"
    )
    assert begun["body"]["slow_ms"] == 250
    verdict = server.api("/api/status")["rollout"]["verdict"]
    assert {"slices", "quality", "latency", "reward", "failures"} >= {
        name.split(".")[0] for name in verdict["figures"] if not name.startswith("ratio")
    }
