"""What processes use, by what they are for."""

from __future__ import annotations

import os
from collections.abc import Callable

from rivals.metrics import read
from rivals.serve.processes import usage, used

from .stage import Stage, table

Make = Callable[..., Stage]


def test_a_worker_and_its_shadow_are_told_apart(stage: Make) -> None:
    made = stage()
    routes = table({"weak": (made.weak, 1.0)}, shadows={"strong": made.strong})
    made.publish(routes)
    made.start([0])
    made.says(lambda: len(used(made.run_dir, routes)) == 4)
    found = {
        (labels["process"], labels.get("variant")) for labels in (read(one)[1] for one in used(made.run_dir, routes))
    }
    assert found == {("worker", None), ("shadow", "strong")}
    memory = {read(one)[1]["process"]: value for one, value in used(made.run_dir, routes).items() if "bytes" in one}
    assert all(1 << 22 < value < 1 << 30 for value in memory.values())
    assert made.ask("GET", "/metrics")[2].decode().count('process="shadow",worker="0",variant="strong"') == 2
    made.kill(0)
    made.says(lambda: used(made.run_dir, routes) == {})


def test_cpu_time_grows_with_work() -> None:
    before = usage(os.getpid())
    assert before
    while (now := usage(os.getpid())) and now.cpu < before.cpu + 0.02:
        sum(range(10_000))
    assert now


def test_a_process_that_is_gone_uses_nothing() -> None:
    assert usage(2**22 + 1) is None
