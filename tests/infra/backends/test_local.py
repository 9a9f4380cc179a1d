from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rivals.errors import BuildError, DataError, OutOfMemory, OutOfTime, SpecError
from rivals.infra.backends.local import Local
from rivals.plugins import make
from rivals.protocols import Backend
from rivals.values import Use

from . import tasks


@pytest.fixture(scope="module")
def local() -> Iterator[Local]:
    with closing(Local(workers=2)) as backend:
        yield backend


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except OSError:
        return True


def eventually(condition: Callable[[], Any], seconds: float = 10) -> bool:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def test_it_is_found_by_its_name() -> None:
    with closing(make(Backend, Use("local", {"workers": 1}))) as backend:
        assert backend.submit(tasks.double, 21).result(30) == 42


def test_every_task_has_a_process_of_its_own(local: Local) -> None:
    pids = [local.submit(tasks.process, None).result(30) for _ in range(3)]
    assert len({*pids, os.getpid()}) == 4


def test_workers_run_side_by_side(local: Local, tmp_path: Path) -> None:
    pair = [local.submit(tasks.rendezvous, (tmp_path, *names)) for names in (("a", "b"), ("b", "a"))]
    assert [future.result(30) for future in pair] == ["a", "b"]


def test_numeric_libraries_get_one_thread(local: Local) -> None:
    assert local.submit(tasks.environment, "OMP_NUM_THREADS").result(30) == "1"


@pytest.mark.parametrize(
    ("task", "item", "error", "says"),
    [
        (tasks.explode, "x", BuildError, "ValueError: no such luck: x"),
        (tasks.refuse, "column a is empty", DataError, "column a is empty"),
        (tasks.ask_for_too_much, None, OutOfMemory, "more memory than there is"),
        (tasks.leave, 3, OutOfMemory, "its process died (exit code 3)"),
        (tasks.leave, 0, OutOfMemory, "its process died (exit code 0)"),
        (tasks.die, None, OutOfMemory, "its process died (signal 9); most likely for want of memory"),
        (tasks.unspeakable, None, BuildError, "lambda"),
    ],
)
def test_what_goes_wrong_comes_back_as_one_line(
    local: Local, task: Callable[[Any], Any], item: Any, error: type[Exception], says: str
) -> None:
    fine = local.submit(tasks.double, 1)
    with pytest.raises(error) as caught:
        local.submit(task, item).result(30)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert fine.result(30) == 2


def test_one_that_overruns_its_memory_is_ended_and_the_others_finish() -> None:
    with closing(Local(workers=2, memory_mb=700)) as backend:
        greedy, fine = backend.submit(tasks.devour, None), backend.submit(tasks.double, 4)
        with pytest.raises(OutOfMemory, match="700 MB are allowed"):
            greedy.result(30)
        assert fine.result(30) == 8


def test_one_that_overruns_its_time_is_ended_with_its_children(tmp_path: Path) -> None:
    with closing(Local(workers=1, seconds=1)) as backend:
        slow, fine = backend.submit(tasks.with_a_child_of_its_own, tmp_path / "pid"), backend.submit(tasks.double, 4)
        with pytest.raises(OutOfTime, match="longer than its 1 seconds"):
            slow.result(30)
        assert fine.result(30) == 8
        assert eventually(lambda: gone(int((tmp_path / "pid").read_text())))


def test_waiting_in_the_queue_is_not_running() -> None:
    with closing(Local(workers=1, seconds=1.5)) as backend:
        naps = [backend.submit(tasks.sleep, 0.7) for _ in range(4)]
        assert [nap.result(30) for nap in naps] == [None] * 4


def test_closing_ends_what_runs(tmp_path: Path) -> None:
    backend = Local(workers=1)
    running, waiting = backend.submit(tasks.mark_and_sleep, tmp_path / "pid"), backend.submit(tasks.double, 1)
    assert eventually((tmp_path / "pid").exists, 30)
    backend.close()
    assert waiting.cancelled()
    with pytest.raises(BuildError, match="closed"):
        running.result(1)
    assert eventually(lambda: gone(int((tmp_path / "pid").read_text())))


def test_nothing_outlives_an_owner_that_was_killed(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\nfrom rivals.infra.backends.local import Local\n"
        "from tests.infra.backends.tasks import mark_and_sleep\n"
        f"Local(workers=1).submit(mark_and_sleep, Path({str(tmp_path / 'pid')!r})).result()\n"
    )
    root = Path(__file__).parents[3]
    with subprocess.Popen([sys.executable, "-c", code], cwd=root, env={**os.environ, "PYTHONPATH": str(root)}) as owner:
        assert eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), 30)
        owner.kill()
    assert eventually(lambda: gone(int((tmp_path / "pid").read_text())))


@pytest.mark.parametrize("options", [{"workers": 0}, {"memory_mb": -1}, {"seconds": 0}])
def test_limits_are_above_zero(options: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="above 0"):
        Local(**options)
