"""A variant on a real Ray Serve gets a second replica under load and gives it back, while it is rolled out."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rivals.flows.deploy import deployment_of
from rivals.flows.workspace import open_workspace
from rivals.infra.targets.ray_serve import RayServe

from .conftest import Server, a_row, free_port, infer, rivals, wait_until

INFER = "/v2/models/toy/infer"
DEPLOY = "deploy: {variants: {logistic: {cpu: 0.5, least: 1, most: 2, signal: in_flight, target: 0.5}}}\nendpoint:\n"


@pytest.fixture
def ray_here() -> Iterator[Any]:
    """A Ray of its own on this machine."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray = pytest.importorskip("ray", reason="MISSING PART: ray; pip install 'rivals[ray]'")
    serve = pytest.importorskip("ray.serve", reason="MISSING PART: ray serve; pip install 'rivals[ray]'")
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)  # more than there are: replicas mostly wait
    yield ray
    serve.shutdown()
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_canary_on_ray_serve_scales_from_one_to_two_and_back_and_no_request_fails(
    project: Path, serve: Callable[..., Server], ray_here: Any
) -> None:
    from rivals.flows import ray_serve

    file = project / "rivals.yaml"
    file.write_text(
        file.read_text().replace("endpoint:\n", DEPLOY, 1).replace("{steps: [25%]", "{judges: [failures], steps: [50%]")
    )
    workspace, port = open_workspace(project), free_port()
    target = RayServe(bundles=str(workspace.blobs.folder), port=port, up=1.0, down=2.0)
    config = yaml.safe_load(target.render(deployment_of(workspace, "logistic"))["serve.yaml"])
    config["applications"] = [one for one in config["applications"] if one["name"] == "logistic"]
    ray_serve.run(config)
    assert ray_serve.ready("logistic") == 1

    server = serve(project, workers=1, places=[f"logistic=http://127.0.0.1:{port}/logistic"])
    got: list[tuple[int, str, bool]] = []
    stopped = threading.Event()

    def ask() -> None:
        number = 0
        while not stopped.is_set():
            status, told, _ = server.request("POST", INFER, infer(a_row(number)), X_Rivals_Deadline_Ms="5000")
            got.append((status, told.get("x-rivals-variant", ""), "x-rivals-degraded" in told))
            number += 1

    done = rivals("rollout", "start", "logistic", "--force", cwd=project)
    assert done.returncode == 0, done.stderr
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(1)
        done = rivals("rollout", "advance", cwd=project)
        assert done.returncode == 0, done.stderr
        wait_until(lambda: ray_serve.ready("logistic") == 2, 60, server.log)
        time.sleep(2)
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
    wait_until(lambda: ray_serve.ready("logistic") == 1, 60, server.log)
    assert {status for status, *_ in got} == {200}
    assert not [one for one in got if one[2]]
    assert sum(variant == "logistic" for _, variant, _ in got) > 20
    assert {server.request("POST", INFER, infer(a_row(one)))[0] for one in range(10)} == {200}
    print(f"{len(got)} answers, {sum(variant == 'logistic' for _, variant, _ in got)} by the canary")
