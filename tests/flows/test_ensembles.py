"""Ensembles from the project file to what serves: learned from the bank, without a refit, as variants."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rivals.build import bank
from rivals.bundles import columns_of, read_manifest
from rivals.errors import RivalsError, SpecError
from rivals.flows.asked import ask
from rivals.flows.train import train_project
from rivals.flows.workspace import Workspace, open_workspace
from rivals.serve.runtimes import open_bundle
from rivals.testing import sample
from rivals.values import Use

PROJECT = """
project: toy
data:
  source: {use: function, with: {function: "rivals.testing:sample"}}
  task: binary
  target: y
  split: {folds: 3}
features:
  plain: [{use: impute, with: {columns: numeric}}, {use: scale, with: {columns: numeric}}, {use: encode, with: {columns: text}}]
variants:
  - {name: linear, features: plain, family: sklearn, with: {estimator: LogisticRegression}}
  - {name: boosted, features: plain, family: lightgbm, with: {n_estimators: 20, min_child_samples: 5}}
  - {name: noise, features: plain, family: sklearn, with: {estimator: ExtraTreeClassifier, max_depth: 9}}
  - {name: chosen, family: ensemble, members: [linear, boosted, noise], with: {combiner: greedy}}
  - {name: stacked, family: ensemble, members: [linear, boosted, noise], with: {combiner: {use: stack}}}
  - {name: quick, family: ensemble, members: [linear, boosted], with: {combiner: {use: cascade, with: {alpha: 0.2}}}}
  - {name: counted, family: ensemble, members: [linear, boosted, noise], with: {combiner: {use: vote, with: {kind: hard, weights: bank}}}}
  - {name: tower, family: ensemble, members: [chosen, stacked]}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("ensembles")
    (folder / "rivals.yaml").write_text(PROJECT)
    workspace = open_workspace(folder)
    report = train_project(workspace)
    assert not report.failed, report.failed
    return workspace


def test_every_kind_is_built_and_answers_as_its_bank_says_it_does(built: Workspace) -> None:
    rows = sample()
    for name in ("chosen", "stacked", "quick", "counted", "tower"):
        made = built.trained(name)
        said = bank.read(built.state / "bank" / made.wish)
        held = said.fold == bank.HELD_OUT
        opened = open_bundle(built.blobs.path(made.digest), built.blobs.path)
        asked = rows.iloc[[int(one) for one in said.ids[held]]]
        got = opened.predict(columns_of(asked, opened.signature))
        np.testing.assert_allclose(got, said.outputs[held], atol=1e-5, err_msg=name)


def test_whom_nobody_needs_is_not_asked_and_whom_steps_are_shared_with_is_one_graph(built: Workspace) -> None:
    chosen = read_manifest(built.blobs.path(built.trained("chosen").digest))
    assert chosen.combiner
    assert set(chosen.combiner.options["weights"]) == set(chosen.members)
    assert {c.runtime: c.exact for c in chosen.candidates} == {"onnx": True, "together": True}
    tower = read_manifest(built.blobs.path(built.trained("tower").digest))
    assert tower.runtime in {"onnx", "together"}, "an ensemble of ensembles is one"


def test_a_question_to_the_bank_learns_as_a_build_does(built: Workspace) -> None:
    asked = ask(built).ensemble("now", ["linear", "boosted", "noise"], Use("greedy"))
    np.testing.assert_array_equal(asked.outputs("now"), asked.outputs("chosen"))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("combiner: greedy", "combiner: greedi", "No combiner is called 'greedi'. Did you mean 'greedy'"),
        (
            "combiner: greedy",
            "combinr: greedy",
            "an ensemble's 'with' has the keys combiner, deadline_ms and quorum, not combinr",
        ),
        ("combiner: greedy", "combiner: 3", "'combiner' is a name, or"),
        ("{use: stack}", "{use: stack, options: 1}", "a plug-in has the keys use and with, not options"),
    ],
)
def test_a_wrong_combiner_is_refused_before_anything_is_built(
    tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    (tmp_path / "rivals.yaml").write_text(PROJECT.replace(old, new))
    with pytest.raises(RivalsError, match=sentence):
        open_workspace(tmp_path)


def test_an_option_that_a_combiner_lacks_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    (tmp_path / "rivals.yaml").write_text(PROJECT.replace("{use: stack}", "{use: stack, with: {bais: 1}}"))
    workspace = open_workspace(tmp_path)
    with pytest.raises(SpecError, match="Combiner 'stack': got an unexpected keyword argument 'bais'"):
        train_project(workspace)
    assert not workspace.store.trained_all()
