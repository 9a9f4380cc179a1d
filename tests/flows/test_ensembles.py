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
from rivals.rules import beside
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
  - {name: routed, family: ensemble, members: [linear, boosted], with: {quorum: 1, combiner: {use: switch, with: {rules: [{when: {column: a, above: 0}, to: boosted}, {when: {header: X-Tier, is: gold}, to: boosted}], otherwise: linear}}}}
  - {name: spare, family: ensemble, members: [boosted, linear], with: {combiner: failover}}
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


def test_a_switch_is_judged_by_whom_its_rules_name_and_serves_headers_too(built: Workspace) -> None:
    said = {
        name: bank.read(built.state / "bank" / built.trained(name).wish) for name in ("routed", "linear", "boosted")
    }
    rows = sample().iloc[[int(one) for one in said["routed"].ids]]
    high = (rows["a"] > 0).to_numpy()
    assert 0 < high.sum() < len(high)
    np.testing.assert_array_equal(said["routed"].outputs[high], said["boosted"].outputs[high])
    np.testing.assert_array_equal(said["routed"].outputs[~high], said["linear"].outputs[~high])
    opened = open_bundle(built.blobs.path(built.trained("routed").digest), built.blobs.path)
    assert opened.beside == ("header:x-tier",)
    boosted = open_bundle(built.blobs.path(built.trained("boosted").digest), built.blobs.path)
    asked = columns_of(rows[~high].iloc[:5], opened.signature)
    gold = beside(asked, opened.beside, {"x-tier": "gold"}, 0.0)
    np.testing.assert_array_equal(opened.predict(gold), boosted.predict(asked))
    board = ask(built).ensemble("now", ["linear", "boosted"], read_manifest(built.blobs.path(opened.digest)).combiner)
    np.testing.assert_array_equal(board.outputs("now"), said["routed"].outputs)


def test_a_failover_stands_by_the_first_member_as_it_is_named(built: Workspace) -> None:
    spare = read_manifest(built.blobs.path(built.trained("spare").digest))
    assert spare.combiner == Use("failover", {"order": ["boosted", "linear"]})
    first, second = (bank.read(built.state / "bank" / built.trained(name).wish) for name in ("spare", "boosted"))
    np.testing.assert_array_equal(first.outputs, second.outputs)


PAST = """
  - {{name: own, features: plain, family: sklearn, with: {{estimator: GaussianNB}}}}
  - {{name: older, model: "build:{file}#boosted"}}
  - {{name: oldest, model: "build:{file}#{digits}"}}
  - {{name: both, family: ensemble, members: [own, older, oldest], with: {{combiner: greedy}}}}
"""


def test_members_come_from_past_runs_of_another_project_without_a_refit(built: Workspace, tmp_path: Path) -> None:
    head = PROJECT[: PROJECT.index("variants:") + len("variants:")].replace("folds: 3", "folds: 4")
    linear = built.trained("linear")
    (tmp_path / "rivals.yaml").write_text(head + PAST.format(file=built.file, digits=linear.wish[:12]))
    workspace = open_workspace(tmp_path)
    report = train_project(workspace)
    assert not report.failed, report.failed
    for name, before in (("older", built.trained("boosted")), ("oldest", linear)):
        assert workspace.trained(name).digest == before.digest, "the bundle as it was"
        mine = bank.read(workspace.state / "bank" / workspace.trained(name).wish)
        theirs = bank.read(built.state / "bank" / before.wish)
        assert len(np.unique(mine.fold)) == 5, "on the rows and folds of now"
        at = {one: said.tolist() for one, said in zip(theirs.ids, theirs.outputs, strict=True)}
        assert [at[one] for one in mine.ids] == mine.outputs.tolist(), "by models that were not fitted on them"
    opened = open_bundle(workspace.blobs.path(workspace.trained("both").digest), workspace.blobs.path)
    assert opened.predict(columns_of(sample().iloc[:3], opened.signature)).shape == (3, 2)
    assert set(train_project(workspace).kept) == {"own", "older", "oldest", "both"}


@pytest.mark.parametrize(
    ("model", "changed", "sentence"),
    [
        ("build:nowhere/rivals.yaml#boosted", False, "nothing was built yet by nowhere/rivals.yaml"),
        ("build:{file}#boostet", False, "There is no build 'boostet'. Did you mean 'boosted'"),
        ("build:{file}#boosted", True, "have another label"),
    ],
)
def test_a_past_run_that_does_not_fit_is_refused_with_a_sentence(
    built: Workspace, tmp_path: Path, model: str, changed: bool, sentence: str
) -> None:
    head = PROJECT[: PROJECT.index("variants:") + len("variants:")]
    if changed:
        head = head.replace('function: "rivals.testing:sample"', 'function: "rivals.testing:sample", seed: 5')
    (tmp_path / "rivals.yaml").write_text(f'{head}\n  - {{name: older, model: "{model.format(file=built.file)}"}}\n')
    workspace = open_workspace(tmp_path)
    try:
        told = " ".join(train_project(workspace).failed.values())
    except RivalsError as error:
        told = str(error)
    assert sentence in told


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
        ("quorum: 1", "quorum: 3", "'quorum' is a number of members, from 1 to 2, not 3"),
        ("quorum: 1", "deadline_ms: 0", "'deadline_ms' is a number of milliseconds above 0, not 0"),
        ("{use: stack}", "{use: stack, options: 1}", "a plug-in has the keys use and with, not options"),
    ],
)
def test_a_wrong_combiner_is_refused_before_anything_is_built(
    tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    (tmp_path / "rivals.yaml").write_text(PROJECT.replace(old, new))
    with pytest.raises(RivalsError, match=sentence):
        open_workspace(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "otherwise: linear",
            "otherwise: lineer",
            "The combiner switch names 'lineer', which is no member. Did you mean",
        ),
        (
            "combiner: failover",
            "combiner: {use: failover, with: {order: [boosted, noise]}}",
            "names 'noise', which is no",
        ),
    ],
)
def test_a_member_that_is_none_is_refused_before_anything_is_built(
    tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    assert old in PROJECT
    (tmp_path / "rivals.yaml").write_text(PROJECT.replace(old, new))
    workspace = open_workspace(tmp_path)
    with pytest.raises(SpecError, match=sentence):
        train_project(workspace)
    assert not workspace.store.trained_all()


def test_an_option_that_a_combiner_lacks_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    (tmp_path / "rivals.yaml").write_text(PROJECT.replace("{use: stack}", "{use: stack, with: {bais: 1}}"))
    workspace = open_workspace(tmp_path)
    with pytest.raises(SpecError, match="Combiner 'stack': got an unexpected keyword argument 'bais'"):
        train_project(workspace)
    assert not workspace.store.trained_all()
