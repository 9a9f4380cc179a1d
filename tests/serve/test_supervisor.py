"""What dies is started again; what is told to stop stops, with everything it started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from rivals.serve.entries import read
from rivals.values import Outcome

from .stage import Stage, free_port, table
from .test_server import Load

SCRIPT = """
import json, logging, sys
from rivals.errors import RivalsError
from rivals.serve.supervisor import Supervisor, WorkerConfig
logging.basicConfig(level=logging.INFO)
run_dir, bundles, port, workers = sys.argv[1:]
configs = [WorkerConfig(run_dir, bundles, slot, "127.0.0.1", int(port)) for slot in range(int(workers))]
beside = [sys.executable, "-c", "import time; print('beside', flush=True); time.sleep(60)"]
try:
    Supervisor(configs, [beside]).run()
except RivalsError as error:
    sys.exit(str(error))
"""


class Supervised:
    def __init__(self, stage: Stage, workers: int = 2) -> None:
        self.stage = stage
        command = [sys.executable, "-c", SCRIPT, str(stage.run_dir), str(stage.bundles), str(stage.port), str(workers)]
        with stage.log.open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log, stdout=log)

    def children(self) -> dict[int, str]:
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        found: dict[int, str] = {}
        for pid in listed:
            with suppress(FileNotFoundError, ProcessLookupError):  # it ended since
                found[int(pid)] = Path(f"/proc/{pid}/cmdline").read_text()
        return found

    def workers(self) -> list[int]:
        return [pid for pid, command in self.children().items() if "rivals.serve.server" in command]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        assert self.process.wait(20) in {0, 1}


@pytest.fixture
def supervised(stage: Callable[..., Stage]) -> Iterator[Callable[..., Supervised]]:
    started: list[Supervised] = []

    def start(made: Stage | None = None, workers: int = 2) -> Supervised:
        made = made or stage()
        made.publish(table({"weak": (made.weak, 1.0)}))
        started.append(Supervised(made, workers))
        return started[-1]

    yield start
    for one in started:
        one.end()


def up(one: Supervised) -> None:
    def answers() -> bool:
        try:
            return one.stage.infer()[0] == 200
        except OSError:
            return False

    one.stage.says(answers, 20)


def test_what_dies_is_started_again_and_all_ends_with_the_supervisor(supervised: Callable[..., Supervised]) -> None:
    one = supervised()
    up(one)
    one.stage.says(lambda: one.stage.log.read_text().count("worker.started") == 2, 20)
    before = set(one.children())
    assert len(before) == 3
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    one.stage.says(lambda: len(one.children()) == 3 and not before & set(one.children()), 20)
    up(one)
    children = set(one.children())
    one.end()
    assert one.process.returncode == 0
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


def test_an_endpoint_is_served_once(supervised: Callable[..., Supervised]) -> None:
    first = supervised(workers=1)
    up(first)
    second = supervised(first.stage, workers=1)
    assert second.process.wait(20) == 1
    assert f"Port {first.stage.port} on 127.0.0.1 cannot be had" in first.stage.log.read_text()
    port, first.stage.port = first.stage.port, free_port()
    third = supervised(first.stage, workers=1)
    assert third.process.wait(20) == 1
    assert "served already" in first.stage.log.read_text()
    first.stage.port = port


def test_a_port_that_is_taken_is_said_to_be(stage: Callable[..., Stage], supervised: Callable[..., Supervised]) -> None:
    made = stage()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", made.port))
        taken.listen()
        one = supervised(made)
        assert one.process.wait(20) == 1
    assert "choose another --port" in made.log.read_text()


def test_a_hang_up_replaces_every_worker_and_no_request_is_lost(supervised: Callable[..., Supervised]) -> None:
    one = supervised()
    up(one)
    one.stage.says(lambda: one.stage.log.read_text().count("worker.started") == 2, 20)
    before = set(one.workers())
    with Load(one.stage) as first, Load(one.stage) as second:
        one.process.send_signal(signal.SIGHUP)
        one.stage.says(lambda: len(one.workers()) == 2 and not before & set(one.workers()), 30)
        seen = len(first.replies), len(second.replies)
        one.stage.says(lambda: len(first.replies) > seen[0] + 20 and len(second.replies) > seen[1] + 20)
    assert first.ended is second.ended is None
    assert {status for status, _, _ in first.replies + second.replies} == {200}
    lost = [
        end
        for batch in read(one.stage.run_dir, {}, 10_000_000)
        for *_, end, _, _ in batch.closes
        if end == Outcome.LOST
    ]
    assert not lost


def test_where_the_new_workers_cannot_begin_the_old_ones_go_on(supervised: Callable[..., Supervised]) -> None:
    one = supervised(workers=1)
    up(one)
    before = one.workers()
    wish = one.stage.run_dir / "endpoint.json"
    kept = wish.read_bytes()
    wish.write_bytes(b"{")
    one.process.send_signal(signal.SIGHUP)
    one.stage.says(lambda: "restart.failed" in one.stage.log.read_text(), 20)
    assert one.workers() == before
    up(one)
    wish.write_bytes(kept)
    one.process.send_signal(signal.SIGHUP)
    one.stage.says(lambda: len(one.workers()) == 1 and one.workers() != before, 20)
    up(one)
