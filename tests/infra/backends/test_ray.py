"""Building and searching on a real Ray cluster of three nodes on this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rivals.errors import BuildError, DataError, OutOfMemory, OutOfTime, SpecError
from rivals.flows.train import train_project
from rivals.flows.workspace import open_workspace
from rivals.infra.backends.local import Local
from rivals.plugins import make
from rivals.protocols import Backend
from rivals.values import Use
from tests.flows.test_tune import project, search, trials

from . import tasks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HEAD, NODES = 1, 2  # CPUs of the head; nodes beside it, of one each
TOLD = """

import os
from sklearn.linear_model import LogisticRegression as Plain


class Told(Plain):
    def fit(self, X, y, sample_weight=None):
        here = os.open(os.environ["TOLD"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(here, f"{len(X)} {self.C!r}\\n".encode())
        os.close(here)
        time.sleep(0.05)
        return super().fit(X, y)
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A head and two nodes, with the tests on their path."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray = pytest.importorskip("ray", reason="MISSING PART: ray; pip install 'rivals[ray]'")
    from ray.cluster_utils import Cluster

    before = os.environ.get("TOLD"), os.environ.get("PYTHONPATH")
    os.environ["TOLD"] = str(tmp_path_factory.mktemp("told") / "told.txt")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parents[3]), before[1]]))
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": HEAD, "include_dashboard": False})
    for _ in range(NODES):
        found.add_node(num_cpus=1)
    ray.init(address=found.address, log_to_driver=False)
    yield found
    ray.shutdown()
    found.shutdown()
    for name, value in zip(("TOLD", "PYTHONPATH"), before, strict=True):
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


@pytest.fixture
def backend(cluster: Any) -> Iterator[Backend]:
    cluster.wait_for_nodes()
    with closing(make(Backend, Use("ray", {"seconds": 60, "memory_mb": 2_000}))) as made:
        yield made


def test_tasks_run_on_all_nodes_and_what_they_raise_comes_back(backend: Backend) -> None:
    assert backend.workers == HEAD + NODES
    doubled = [backend.submit(tasks.double, number) for number in range(12)]
    refused, exploded = backend.submit(tasks.refuse, "no rows"), backend.submit(tasks.explode, "today")
    assert [one.result(60) for one in doubled] == [2 * number for number in range(12)]
    with pytest.raises(DataError, match="no rows"):
        refused.result(60)
    with pytest.raises(BuildError, match="ValueError: no such luck: today"):
        exploded.result(180)


def test_limits_hold_on_a_node_as_they_do_here(cluster: Any) -> None:
    del cluster
    for limits, task, error in (
        ({"seconds": 1}, tasks.sleep, OutOfTime),
        ({"memory_mb": 500}, tasks.devour, OutOfMemory),
        ({"seconds": 60}, tasks.die, OutOfMemory),
    ):
        with closing(make(Backend, Use("ray", limits))) as backend, pytest.raises(error):
            backend.submit(task, 60).result(180)


def test_a_cluster_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **_: (_ for _ in ()).throw(ConnectionError("nobody")))
    with pytest.raises(SpecError, match="no cluster answers at 'here:1'"):
        make(Backend, Use("ray", {"address": "here:1"}))


@pytest.mark.parametrize("tuner", ["grid", "random"])
def test_the_same_seed_tries_the_same_points_here_and_on_ray(tmp_path: Path, backend: Backend, tuner: str) -> None:
    alone = {"    tune: {use: " + tuner + ", with: {space: auto}}\n": ""}
    points = []
    with closing(Local(workers=1)) as here:
        for name, runner in (("here", here), ("ray", backend)):
            folder = project(tmp_path / name, tuner, "{trials: 14, race: false}", **alone)
            search(folder, runner)
            points.append(sorted(str(t["params"]) for t in trials(folder)["logistic"]))
    assert points[0] == points[1]
    assert len(points[0]) == 14


def test_a_build_on_ray_comes_to_the_same_as_one_here(tmp_path: Path, cluster: Any) -> None:
    cluster.wait_for_nodes()
    found, alone = [], {"    tune: {use: random, with: {space: auto}}\n": ""}
    for name in ("local", "ray"):
        folder = project(tmp_path / name, tuning="{trials: 8, race: false}", **alone)
        workspace = open_workspace(folder)
        report = train_project(workspace, backend=name)
        workspace.store.close()
        assert not report.failed
        found.append({one.variant: one.scores for one in report.trained})
    assert found[0] == found[1]


def test_a_node_that_is_killed_midway_loses_no_finished_trial_and_repeats_none(tmp_path: Path, cluster: Any) -> None:
    victim = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    told = Path(os.environ["TOLD"])
    folder = project(
        tmp_path / "p",
        "random",
        "{trials: 150, race: false}",
        **{"estimator: LogisticRegression}\n    tune": "estimator: MODULE.Told}\n    tune"},
    )
    module = next(folder.glob("toy_tune_*.py"))
    module.write_text("import time\n" + module.read_text() + TOLD)
    text = (folder / "rivals.yaml").read_text()
    (folder / "rivals.yaml").write_text(text.replace("MODULE.Told", f"{module.stem}.Told"))
    with closing(make(Backend, Use("ray"))) as backend:
        killed: list[float] = []

        class Watched:
            """Kills the node once some trials are over."""

            workers, warm = backend.workers, backend.warm

            def submit(self, task: Any, item: Any) -> Any:
                done = len(list(folder.glob(".rivals/tuning/logistic/*.json")))
                if done > 8 and not killed:
                    cluster.remove_node(victim, allow_graceful=False)
                    killed.append(time.monotonic())
                return backend.submit(task, item)

            def close(self) -> None:
                """It is not ours."""

        search(folder, Watched())

    assert killed
    found = trials(folder)
    assert sum(map(len, found.values())) == 150
    assert not [t for one in found.values() for t in one if t["error"]]
    fits = [line.split()[1] for line in told.read_text().splitlines()]
    whole = {repr(t["params"]["C"]) for t in found["logistic"] if "C" in t["params"]}
    repeated = {value for value in whole if fits.count(value) > 3}
    assert len(repeated) <= 1  # the one that was under way on that node
    assert whole <= set(fits)
