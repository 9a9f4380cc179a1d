"""A bandit behind a real endpoint: rewards move the traffic, and who learns may be killed while it does."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Server, a_row, infer, rivals, wait_until

PLAIN = "  champion: weak\n"
BANDIT = """  champion: weak
  policy: {use: thompson, with: {variants: [weak, logistic], every: 1s}}
"""


@pytest.mark.slow
def test_rewards_move_the_traffic_though_the_learner_is_killed(project: Path, serve: Callable[..., Server]) -> None:
    file = project / "rivals.yaml"
    file.write_text(file.read_text().replace(PLAIN, BANDIT).replace("label_delay: 1h", "label_delay: 1s"))
    server = serve(project, workers=2)
    asked = dict.fromkeys(("weak", "logistic"), 0)

    def ask(number: int) -> None:
        status, told, _ = server.request(
            "POST", "/v2/models/toy/infer", infer(a_row(number)), X_Request_Id=f"q{number}"
        )
        assert status == 200
        variant = told["x-rivals-variant"]
        asked[variant] += 1
        reward = float(variant == "logistic" or number % 4 == 0)
        assert server.request("POST", "/v2/feedback", {"id": f"q{number}/0", "reward": reward})[0] == 200

    def share() -> float:
        status = server.api("/api/status") or {}
        return float(status.get("learned", {}).get("in_force", {}).get("logistic", 0.0))

    for number in range(150):
        ask(number)
    assert min(asked.values()) > 40  # all alike before anything was learned: 5 standard errors
    os.kill(server.control(), signal.SIGKILL)
    for number in range(150, 200):
        ask(number)
    wait_until(lambda: share() > 0.9, 90, server.log)
    wait_until(lambda: b'variant="logistic"} 0.9' in server.request("GET", "/metrics")[2], 30, server.log)
    before = asked["logistic"]
    for number in range(200, 260):
        ask(number)
    assert asked["logistic"] - before > 45
    said = json.loads(rivals("explain", "q250", "--json", cwd=project).stdout)
    assert said["table"]["rule"] == "drawn by the policy thompson"
    assert said["propensity"]["logistic"] > 0.9
    server.stop()
    done = rivals("verify", "--json", cwd=project)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["learned"] >= 2
