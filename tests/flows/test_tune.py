"""Variants searched side by side, on a real backend."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from rivals.build.folds import split
from rivals.build.pipeline import StepsJob, keep, share
from rivals.build.rows import prepare
from rivals.errors import RivalsError
from rivals.flows.events import BuildEvent, BuildReport
from rivals.flows.train import plan_project, train_project
from rivals.flows.trial import before
from rivals.flows.tune import Bench, searches, tune
from rivals.flows.workspace import open_workspace
from rivals.infra.backends.local import Local
from rivals.plugins import make
from rivals.protocols import Backend, Source
from rivals.tune.front import cheaper, front
from rivals.tune.search import Tried

BESIDE = ("latency_ms", "size_mb")
MODULE = """
import numpy as np
import pandas as pd


def load(rows=600):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, rows))
    frame = pd.DataFrame({"a": a, "b": b, "c": rng.choice(list("uvwxyz"), rows)})
    frame["y"] = (rng.random(rows) < 1 / (1 + np.exp(b - a))).astype(int)
    return frame
"""
PROJECT = """
project: toy
data: {{source: {{use: function, with: {{function: "{module}:load"}}}}, task: binary, target: y}}
features:
  all: [{{use: impute, with: {{columns: numeric}}}}, {{use: encode}}]
variants:
  - {{name: plain, features: all, family: sklearn, with: {{estimator: LogisticRegression}}}}
  - name: logistic
    features: all
    family: sklearn
    with: {{estimator: LogisticRegression}}
    tune: {{use: {tuner}, with: {{space: {{C: {{float: [0.001, 10], log: true}}, encode.min_frequency: {{int: [1, 90]}}}}}}}}
  - name: tree
    features: all
    family: sklearn
    with: {{estimator: DecisionTreeClassifier}}
    tune: {{use: {tuner}, with: {{space: auto}}}}
tuning: {tuning}
"""


def project(folder: Path, tuner: str = "random", tuning: str = "{trials: 16}", **swap: str) -> Path:
    folder.mkdir(exist_ok=True)
    module = f"toy_tune_{abs(hash(str(folder)))}"
    (folder / f"{module}.py").write_text(MODULE)
    text = PROJECT.format(module=module, tuner=tuner, tuning=tuning)
    for old, new in swap.items():
        text = text.replace(old, new)
    (folder / "rivals.yaml").write_text(text)
    return folder


class Here:
    """A backend without processes."""

    workers = 1

    def warm(self, *modules: str) -> None:
        """They are here."""

    def submit(self, task: Callable[[Any], Any], item: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(task(item))
        except RivalsError as error:
            done.set_exception(error)
        return done

    def close(self) -> None:
        """Nothing runs."""


def search(folder: Path, backend: Backend | None = None) -> dict[str, Tried]:
    """The search without the build around it."""
    workspace = open_workspace(folder)
    spec, work = workspace.spec, folder / "work"
    rows = prepare(make(Source, spec.data.source).read(), spec.data)
    laid = keep(rows, split(len(rows), folds=3, test=0.2), work / "rows")
    names = [one.name for one in spec.variants if one.tune]
    keys = {name: name for name in names}
    studies = searches(spec, names, keys, workspace.state / "tuning")
    features = share(StepsJob("all", spec.features["all"], None, laid, work / "features"))
    every = dict.fromkeys(names, laid)
    bench = Bench(workspace.state / "tuning", every, dict.fromkeys(names, features), backend or Here())
    return tune(spec, studies, keys, bench)


def train(folder: Path) -> tuple[BuildReport, list[BuildEvent]]:
    events: list[BuildEvent] = []
    workspace = open_workspace(folder)
    report = train_project(workspace, tell=events.append)
    workspace.store.close()
    return report, events


def trials(folder: Path) -> dict[str, list[dict[str, Any]]]:
    found = {}
    for one in sorted((folder / ".rivals" / "tuning").iterdir()):
        told = (json.loads(file.read_bytes()) for file in one.glob("*.json"))
        found[one.name] = sorted(told, key=lambda t: t["number"])
    return found


@pytest.mark.parametrize("tuner", ["random", "grid", "optuna", "hyperopt"])
def test_one_word_changes_the_tuner(tmp_path: Path, tuner: str) -> None:
    folder = project(tmp_path / tuner, tuner)
    best = search(folder)
    found = trials(folder)
    assert set(best) == set(found) == {"logistic", "tree"}
    assert sum(map(len, found.values())) == 16
    assert all(len(one) >= 4 for one in found.values())
    for name, one in found.items():
        assert one[0]["params"] == {}  # the first trial is the variant as it is
        whole = [t["loss"] for t in one if not t["stopped"] and t["loss"] is not None]
        assert best[name].loss == min(whole) <= one[0]["loss"]


@pytest.mark.slow
def test_train_builds_the_best_of_every_variant_and_a_longer_budget_goes_on(tmp_path: Path) -> None:
    folder = project(tmp_path / "p")
    report, events = train(folder)
    assert not report.failed
    assert {one.variant for one in report.trained} == {"plain", "logistic", "tree"}
    assert {event.variant for event in events if event.state == "tuning"} == {"logistic", "tree"}
    store, first = open_workspace(folder).store, trials(folder)
    for name in ("logistic", "tree"):
        tuned = store.trained_extras(name)["tuned"]
        assert tuned["params"] in [t["params"] for one in first.values() for t in one if t["loss"] == tuned["loss"]]
    store.close()
    assert set(plan_project(open_workspace(folder)).values()) == {"built already"}
    text = (folder / "rivals.yaml").read_text()
    (folder / "rivals.yaml").write_text(text.replace("trials: 16", "trials: 24"))
    report, _ = train(folder)
    assert report.kept == ("plain",)
    longer = trials(folder)
    assert sum(map(len, longer.values())) == 24
    for key, known in first.items():
        assert longer[key][: len(known)] == known


@pytest.mark.slow
def test_the_best_that_keeps_the_limits_is_built_and_the_others_say_what_they_broke(tmp_path: Path) -> None:
    alone = {"    tune: {use: random, with: {space: auto}}\n": ""}
    forest = {
        "estimator: LogisticRegression}\n    tune": "estimator: ExtraTreesClassifier, max_depth: 4}\n    tune",
        "{C: {float: [0.001, 10], log: true}, encode.min_frequency: {int: [1, 90]}}": "{n_estimators: [2, 8, 150, 220]}",
    }
    folder = project(tmp_path / "p", "grid", "{trials: 12, race: false, limits: {size_mb: 0.05}}", **alone, **forest)
    report, _ = train(folder)
    assert not report.failed
    built = {one.variant: one for one in report.trained}
    assert built["logistic"].bytes <= 50_000
    over = [t for t in trials(folder).popitem()[1] if t["over"]]
    assert over
    assert all("MB, 0.05 are allowed (tuning.limits.size_mb)" in t["over"] for t in over)
    kept = [t["loss"] for t in trials(folder).popitem()[1] if not t["over"]]
    store = open_workspace(folder).store
    assert store.trained_extras("logistic")["tuned"]["loss"] == min(kept)
    store.close()
    text = (folder / "rivals.yaml").read_text()
    (folder / "rivals.yaml").write_text(text.replace("size_mb: 0.05", "latency_ms: 0.000001"))
    report, _ = train(folder)
    assert "no trial keeps the limits" in report.failed["logistic"]


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["asha", "pbt"])
def test_ray_tune_spends_its_slice_and_every_trial_is_written_down(tmp_path: Path, scheduler: str) -> None:
    alone = {
        "    tune: {use: ray_tune, with: {space: auto}}\n": "",
        "{space: {C": f"{{scheduler: {scheduler}, space: {{C",
    }
    folder = project(tmp_path / "p", "ray_tune", "{trials: 24, race: false}", **alone)
    best = search(folder)
    found = trials(folder)["logistic"]
    assert 12 <= len(found) <= 24 + 8  # a population ends its generation
    assert found[0]["params"] == {}
    whole = [t["loss"] for t in found if not t["stopped"]]
    assert best["logistic"].loss == min(whole) <= found[0]["loss"]
    assert {t["folds"] for t in found if t["stopped"]} <= {1, 2}
    assert any(t["stopped"] for t in found) == (scheduler == "asha")
    again = search(folder)
    assert again == best
    assert trials(folder)["logistic"] == found


@pytest.mark.slow
def test_the_same_project_runs_under_ray_tune_as_well(tmp_path: Path) -> None:
    best = search(project(tmp_path / "p", "ray_tune"))
    found = trials(tmp_path / "p")
    assert set(best) == set(found) == {"logistic", "tree"}
    assert all(one[0]["params"] == {} for one in found.values())


FOREST = {
    "    tune: {use: random, with: {space: auto}}\n": "",
    "estimator: LogisticRegression}\n    tune": "estimator: ExtraTreesClassifier, max_depth: 4}\n    tune",
    "{C: {float: [0.001, 10], log: true}, encode.min_frequency: {int: [1, 90]}}": (
        "{n_estimators: {int: [2, 120], log: true}, min_samples_leaf: {int: [1, 200], log: true}}"
    ),
}


def test_what_others_beat_in_loss_time_and_size_is_stopped_and_the_front_is_kept(tmp_path: Path) -> None:
    folder = project(tmp_path / "p", "random", "{trials: 24, beside: [latency_ms, size_mb]}", **FOREST)
    search(folder)
    found = [Tried(**t) for t in trials(folder)["logistic"]]
    best = front(found, BESIDE)
    assert all(one.latency_ms and one.size_mb for one in found)
    assert len({one.size_mb for one in best}) > 1
    stopped = [one for one in found if one.stopped]
    assert stopped
    for one in stopped:  # by somebody who costs no more, and loses less on the rows they both answered
        assert any(cheaper(other, (one.latency_ms, one.size_mb), BESIDE) and other.loss < one.loss for other in found)


def test_a_trial_whose_model_alone_breaks_a_limit_is_stopped_after_its_first_fold(tmp_path: Path) -> None:
    wish = "{trials: 16, race: false, beside: [size_mb], limits: {size_mb: 0.02}}"
    folder = project(tmp_path / "p", "random", wish, **FOREST)
    best = search(folder)["logistic"]
    found = trials(folder)["logistic"]
    over = [t for t in found if t["over"] and t["params"]]
    assert over
    assert all(t["folds"] == 1 and t["size_mb"] > 0.02 and "tuning.limits.size_mb" in t["over"] for t in over)
    assert best.size_mb is not None
    assert best.size_mb <= 0.02


def test_a_search_ends_once_what_is_left_is_not_worth_it(tmp_path: Path) -> None:
    alone = {"    tune: {use: random, with: {space: auto}}\n": ""}
    folder = project(tmp_path / "p", "random", "{trials: 200, worth: 0.05}", **alone)
    search(folder)
    few = len(trials(folder)["logistic"])
    assert 4 <= few < 60


@pytest.mark.slow
@pytest.mark.parametrize("tuner", ["grid", "random"])
def test_the_same_seed_tries_the_same_points_on_one_process_and_on_two(tmp_path: Path, tuner: str) -> None:
    alone = {"    tune: {use: " + tuner + ", with: {space: auto}}\n": ""}
    points = []
    for workers in (1, 2):
        folder = project(tmp_path / str(workers), tuner, "{trials: 14, race: false}", **alone)
        backend = Local(workers=workers)
        try:
            search(folder, backend)
        finally:
            backend.close()
        points.append([t["params"] for t in trials(folder)["logistic"]])
    assert points[0] == points[1]
    assert len(points[0]) == 14


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("[0.001, 10]", "[10, 0.001]", "variant logistic: tune: space.C: low is 10 and high is 0.001"),
        ("{C: {float", "{c: {float", "space.c: LogisticRegression has no parameter 'c'. Did you mean 'C'"),
        ("encode.min_frequency", "encode.min_freq", "space.encode.min_freq: "),
        ("encode.min_frequency", "encoder.min_frequency", "space.encoder.min_frequency: no steps of the variant are"),
        ("use: random", "use: optuan", "No tuner is called 'optuan'. Did you mean 'optuna'?"),
        ("space: auto", "space: auto, sampler: tpe", "Tuner 'random'"),
        ("budget: 0s", "budget: 0s", "greater than 0"),
    ],
)
def test_a_bad_space_is_refused_before_the_first_trial(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    folder = project(tmp_path / "p", tuning="{budget: 0s}" if "budget" in old else "{trials: 9}", **{old: new})
    with pytest.raises(RivalsError) as refused:
        search(folder)
    assert sentence in str(refused.value)
    assert not (folder / ".rivals" / "tuning").exists()


def test_a_point_that_fails_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    folder = project(tmp_path / "p", **{"C: {float: [0.001, 10], log: true}": "solver: [lbfgs, no]"})
    best = search(folder)
    failed = [t for t in trials(folder)["logistic"] if t["error"]]
    assert failed
    assert all("solver" in t["error"] and t["loss"] is None for t in failed)
    assert best["logistic"].params.get("solver") != "no"


def test_trials_are_read_as_they_were_written(tmp_path: Path) -> None:
    folder = project(tmp_path / "p")
    search(folder)
    for one in (folder / ".rivals" / "tuning").iterdir():
        for tried in before(one):
            assert tried.whole == (not tried.stopped and math.isfinite(tried.loss))
            assert tried.folds == 3 or tried.stopped or tried.error
