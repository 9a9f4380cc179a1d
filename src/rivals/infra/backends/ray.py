"""Every task somewhere on a Ray cluster, in a process of its own there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, TaskCancelledError

from rivals.errors import BuildError, OutOfMemory, RivalsError, SpecError
from rivals.infra.backends.local import Local

Item = TypeVar("Item")
Result = TypeVar("Result")

RETRIES = 3  # of a task whose node is gone


class Ray:
    """One task a CPU of the cluster at ``address`` (or RAY_ADDRESS); on this machine alone where there is none.

    All nodes see the project's folder under one path. ``memory_mb`` and ``seconds`` limit a task as with ``local``.
    A task whose node goes is run again elsewhere. ``Ray(address="ray-head:6379")``.
    """

    def __init__(
        self,
        workers: int | None = None,
        memory_mb: int | None = None,
        seconds: float | None = None,
        address: str | None = None,
    ) -> None:
        self._limits = (memory_mb, seconds)
        self._mine = not ray.is_initialized()
        if self._mine:
            _connect(address or os.environ.get("RAY_ADDRESS"), workers)
        self.workers = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._remote = ray.remote(max_retries=RETRIES, num_cpus=1)(_run)
        self._open: dict[Future[Any], Any] = {}

    def warm(self, *modules: str) -> None:
        """Nothing: each process of a cluster loads what its first task needs, and keeps it."""

    def submit(self, task: Callable[[Item], Result], item: Item) -> Future[Result]:
        """Start ``task(item)``; the future raises ``BuildError`` with one line, ``OutOfTime`` or ``OutOfMemory``."""
        if task.__module__ == "__main__":
            raise BuildError(
                f"{task.__qualname__} stands in the script that runs; a task stands in a module of its own."
            )
        done: Future[Result] = Future()
        done.set_running_or_notify_cancel()
        paths = {"PYTHONPATH": _paths()}  # by now the project's own modules are on it
        reference = self._remote.options(runtime_env={"env_vars": paths}).remote(task, item, *self._limits)
        self._open[done] = reference
        reference.future().add_done_callback(lambda got: self._came(got, done))
        return done

    def close(self) -> None:
        """End whatever still runs."""
        for reference in list(self._open.values()):
            ray.cancel(reference, force=True)
        if self._mine:
            ray.shutdown()

    def _came(self, got: Future[Any], done: Future[Any]) -> None:
        self._open.pop(done, None)
        try:
            good, result = got.result()
        except TaskCancelledError:
            done.set_exception(BuildError("The backend was closed while this task ran."))
        except RayError as error:
            first = (str(error).strip().splitlines() or [""])[0]
            done.set_exception(OutOfMemory(f"its process or its node died ({type(error).__name__}: {first[:200]})"))
        else:
            done.set_result(result) if good else done.set_exception(result)


def _run(task: Callable[[Any], Any], item: Any, memory_mb: int | None, seconds: float | None) -> tuple[bool, Any]:
    """On a node: as ``local`` runs it, so that limits and mistakes are the same everywhere."""
    try:
        return True, _local(memory_mb, seconds).submit(task, item).result()
    except RivalsError as error:
        return False, error


@cache  # one for each process that Ray keeps: what tasks import is imported once
def _local(memory_mb: int | None, seconds: float | None) -> Local:
    return Local(1, memory_mb, seconds)


def _paths() -> str:
    return os.pathsep.join(filter(None, sys.path))


def _connect(address: str | None, workers: int | None) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    there = address or os.environ.get("RAY_ADDRESS")
    try:
        ray.init(
            address=there or "local",  # not whatever else runs on this machine
            num_cpus=None if there else workers,
            include_dashboard=False,
            log_to_driver=False,
            runtime_env={"env_vars": {"PYTHONPATH": _paths()}},
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise SpecError(f"backend ray: no cluster answers at {there!r} ({str(error).splitlines()[0]}).") from error
