"""A canary with a quarter of the champion's capacity is held below its knee, in the middle of a switch and a spike."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from .conftest import Server, a_row, infer, rivals, wait_until

SLOW = """

def slowly(block, seconds):
    import time
    import numpy as np
    time.sleep(seconds)
    return np.asarray(block)

def champion_step(block):
    return slowly(block, 0.008)

def canary_step(block):
    return slowly(block, 0.032)
"""
FEATURES = """features:
  brisk: [{use: impute, with: {columns: numeric}}, {use: function, with: {function: "toy:champion_step", columns: numeric}}, {use: encode, with: {columns: [color]}}]
  slow: [{use: impute, with: {columns: numeric}}, {use: function, with: {function: "toy:canary_step", columns: numeric}}, {use: encode, with: {columns: [color]}}]
"""
VARIANTS = """variants:
  - {name: brisk, features: brisk, family: sklearn, with: {estimator: LogisticRegression}}
  - {name: slow, features: slow, family: sklearn, with: {estimator: LogisticRegression}}
"""
PEAK, CALM = 60.0, 12.0  # requests a second: the plan bears a spike of five times the calm load
ENDPOINT = f"""  champion: brisk
  policy: {{use: match, with: {{rules: [{{when: {{header: X-Tier, is: slow}}, to: slow}}]}}}}
  asked: {{brisk: {{rows: 1}}, slow: {{rows: 1}}}}
  capacity: {{peak: {PEAK:.0f}, headroom: 0.6}}
"""
P99 = 0.5  # seconds: the limit at which the canary's knee is measured, and that it has to hold
INFER = "/v2/models/toy/infer"


class Got(NamedTuple):
    """What one request met."""

    status: int
    variant: str
    degraded: bool
    seconds: float


async def _open_loop(port: int, rate: float, seconds: float) -> list[Got]:
    """Ask at fixed times, whoever has not answered yet."""
    body = json.dumps(infer(a_row(1))).encode()
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=20) as client:

        async def ask(number: int, due: float) -> Got:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            reply = await client.post(INFER, content=body, headers={"Content-Type": "application/json"})
            told = reply.headers
            seconds = time.monotonic() - due  # from when it was due: a client that is late counts too
            return Got(reply.status_code, told.get("x-rivals-variant", ""), "x-rivals-degraded" in told, seconds)

        start = time.monotonic() + 0.05
        return await asyncio.gather(*(ask(one, start + one / rate) for one in range(int(rate * seconds))))


def load(server: Server, rate: float, seconds: float) -> list[Got]:
    return asyncio.run(_open_loop(server.port, rate, seconds))


def share(server: Server, variant: str) -> float:
    arms = server.api("/api/status")["table"]["arms"]
    return next((arm["weight"] for arm in arms if arm["variant"] == variant), 0.0)


@pytest.fixture
def quarter(project: Path) -> Path:
    """The toy project whose champion takes 8 ms for a row, and its challenger 32."""
    (project / "toy.py").write_text((project / "toy.py").read_text() + SLOW)
    file = project / "rivals.yaml"
    text = file.read_text()
    changes = (
        ("features:\n", FEATURES),
        ("variants:\n", VARIANTS),
        ("  champion: weak\n", ENDPOINT),
        ("steps: [25%], every: 10m", "steps: [50%], every: 10m"),
    )
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    file.write_text(text)
    for name in ("brisk", "slow"):
        done = rivals("train", "--variant", name, cwd=project)
        assert done.returncode == 0, done.stderr
    return project


@pytest.mark.slow
def test_a_canary_is_held_below_its_knee_and_a_spike_inside_the_plan_sheds_nothing(
    quarter: Path, serve: Callable[..., Server]
) -> None:
    server = serve(quarter, workers=1)
    rates = {}
    for name in ("brisk", "slow"):
        url = f"http://127.0.0.1:{server.port}/toy/versions/{name}"
        done = rivals(
            "capacity", name, "--url", url, "--seconds", "1.5", "--p99-ms", str(P99 * 1e3), "--json", cwd=quarter
        )
        assert done.returncode == 0, done.stderr
        rates[name] = json.loads(done.stdout)["rate"]
    assert rates["slow"] < 0.4 * rates["brisk"]
    server.stop()  # what was asked to measure is no load to plan for
    server = serve(quarter, workers=1)
    load(server, CALM, 1)
    done = rivals("rollout", "start", "slow", "--force", cwd=quarter)
    assert done.returncode == 0, done.stderr
    calm = load(server, CALM, 3)

    done = rivals("rollout", "advance", cwd=quarter)  # the switch; the spike comes with it
    assert done.returncode == 0, done.stderr
    spike = load(server, PEAK, 8)
    allowed = 0.6 * rates["slow"] / PEAK
    assert allowed < 0.45, "the canary would bear all that is asked: nothing is shown"
    assert share(server, "slow") == pytest.approx(allowed, abs=0.01)
    assert {one.status for one in (*calm, *spike)} == {200}
    assert not [one for one in (*calm, *spike) if one.degraded]
    took = sorted(one.seconds for one in spike if one.variant == "slow")
    assert len(took) > 20
    assert took[int(0.99 * len(took))] < P99
    print(f"rates {rates}, share {allowed:.2f}, p99 {took[int(0.99 * len(took))] * 1e3:.0f} ms of {len(took)}")

    done = rivals("capacity", "slow", "--ready", "3", cwd=quarter)  # a scaler has brought two more
    assert done.returncode == 0, done.stderr
    wait_until(lambda: share(server, "slow") == pytest.approx(0.5, abs=0.01), 10, server.log)
