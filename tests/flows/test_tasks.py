"""Weights, lists, rare labels and tasks of the project's own, from the project file to the leaderboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rivals.build import bank
from rivals.build.plan import plan
from rivals.build.query import scores_of
from rivals.errors import SpecError
from rivals.flows.asked import ask
from rivals.flows.compare import compare_project, prediction_hashes
from rivals.flows.train import train_project
from rivals.flows.workspace import Workspace, open_workspace
from rivals.statistics.losses import metric
from tests.build.lists import best_first, load, unsold

RANKING = """
project: lists
data:
  source: {use: function, with: {function: "tests.build.lists:load"}}
  task: ranking
  target: grade
  group: query
  weight: w
  id: row
  ignore: [demand]
  split: {by: group, folds: 2}
metrics: [ndcg@5, "tests.build.lists:best_first"]
variants:
  - {name: lambda, family: lightgbm, with: {n_estimators: 20}}
  - {name: worth, family: sklearn, with: {estimator: Ridge}}
  - {name: blend, family: ensemble, members: [lambda, worth]}
"""
CUSTOM = """
project: stock
data:
  source: {use: function, with: {function: "tests.build.lists:load"}}
  task: custom
  target: demand
  weight: w
  id: row
  ignore: [grade, query]
  split: {folds: 2}
metrics: ["tests.build.lists:unsold", mae]
variants:
  - {name: stock, family: function, with: {function: "tests.build.lists:stock"}}
  - {name: mean, family: sklearn, with: {estimator: LinearRegression}}
"""


def built(folder: Path, text: str) -> Workspace:
    folder.mkdir(exist_ok=True)
    (folder / "rivals.yaml").write_text(text)
    workspace = open_workspace(folder)
    report = train_project(workspace)
    assert not report.failed, report.failed
    return workspace


@pytest.mark.slow
def test_lists_are_ranked_weighed_and_asked_later_with_one_figure_everywhere(tmp_path: Path) -> None:
    workspace = built(tmp_path, RANKING)
    board = compare_project(workspace)
    assert board.metric == "ndcg@5"
    assert {row.variant for row in board.rows} == {"lambda", "worth", "blend"}
    rows = load()
    for one in workspace.store.trained_all():
        folder = workspace.state / "bank" / one.wish
        said = bank.read(folder)
        assert said.group is not None
        assert said.weight is not None
        values, sizes = [], []
        for query in sorted(set(said.group)):
            here = said.group == query
            values.append(metric("ndcg@5").compute(said.target[here], said.outputs[here], None))
            sizes.append(said.weight[here].mean())
        known = np.isfinite(values)
        figure = float(np.average(np.array(values)[known], weights=np.array(sizes)[known]))
        plain = float(np.mean(np.array(values)[known]))
        assert board.row(one.variant).score == pytest.approx(figure)
        assert one.scores.metrics["ndcg@5"] == pytest.approx(figure)
        assert scores_of([folder], "ndcg@5") == [pytest.approx(figure)]
        assert figure != pytest.approx(plain, abs=1e-6), "half of the queries weigh nothing to speak of"
        assert len(said) == len(rows)
        # A list is never cut by a fold.
        assert all(len(set(said.fold[said.group == query])) == 1 for query in set(said.group))
    later = ask(workspace)
    firsts = later.board("tests.build.lists:best_first").board.row("lambda").score
    assert 0.5 < firsts <= 1
    assert best_first.by_group  # type: ignore[attr-defined]  # what made it a mean over lists
    assert later.test("lambda", "worth").low < later.test("lambda", "worth").high
    sliced = later.sliced("query", reference="worth")
    assert {one.variant for one in sliced} == {"lambda", "worth", "blend"}


@pytest.mark.slow
def test_a_task_of_the_projects_own_is_decided_by_its_own_metric(tmp_path: Path) -> None:
    workspace = built(tmp_path, CUSTOM)
    board = compare_project(workspace)
    assert board.lower_is_better
    assert board.rows[0].variant == "stock"
    assert board.row("mean").tied is False
    said = bank.read(workspace.state / "bank" / workspace.trained("stock").wish)
    assert board.row("stock").score == pytest.approx(unsold(said.target, said.outputs, said.weight))
    assert board.row("stock").score != pytest.approx(unsold(said.target, said.outputs))


LABELLED = """
project: toy
data:
  source: {use: function, with: {function: "tests.build.toy:load"}}
  task: binary
  target: y
  id: id
  weight: w
  ignore: [t]
  split: {folds: 2}
features:
  all: [{use: impute, with: {columns: numeric}}, {use: scale, with: {columns: numeric}}, {use: encode, with: {columns: [color]}}]
metrics: [balanced_log_loss, f1@0.3, average_precision]
variants:
  - {name: plain, features: all, family: sklearn, with: {estimator: LogisticRegression}}
  - {name: fair, features: all, family: sklearn, with: {estimator: LogisticRegression, class_weight: balanced}}
"""


def test_class_weight_is_another_wish(tmp_path: Path) -> None:
    wishes = []
    for wanted in ("balanced", '{"1": 5}', '{"1": 6}'):
        (tmp_path / "rivals.yaml").write_text(LABELLED.replace("balanced}}", f"{wanted}}}}}"))
        workspace = open_workspace(tmp_path)
        wishes.append(plan(workspace.spec, {"a": "1", "y": "2"}, ()).wishes)
    assert len({one["plain"] for one in wishes}) == 1
    assert len({one["fair"] for one in wishes}) == 3


@pytest.mark.slow
def test_a_network_trained_twice_says_the_same_to_the_last_bit(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="MISSING PART: torch; make parts installs it")
    pytest.importorskip("skorch", reason="MISSING PART: skorch; make parts installs it")
    text = LABELLED + (
        "  - {name: network, features: all, family: torch, "
        "with: {hidden: [16], epochs: 5, dropout: 0.2, patience: 2, class_weight: balanced}}\n"
    )
    assert "  - {name: plain" in text
    text = "\n".join(line for line in text.splitlines() if "name: plain" not in line)
    spaces = [built(tmp_path / name, text) for name in ("one", "other")]
    assert prediction_hashes(spaces[0]) == prediction_hashes(spaces[1])
    assert [space.trained("network").runtime for space in spaces] == ["onnx", "onnx"]
    assert {row.variant for row in compare_project(spaces[0]).rows} == {"fair", "network"}


@pytest.mark.parametrize(
    ("text", "old", "new", "said"),
    [
        (RANKING, "  group: query\n", "", "needs the key 'group'"),
        (RANKING, "by: group, ", "", "split: {by: group}"),
        (RANKING, "ndcg@5", "rmse", "of ours, these are: ndcg"),
        (CUSTOM, 'metrics: ["tests.build.lists:unsold", mae]\n', "", "task custom needs 'metrics'"),
        (CUSTOM, "variants:", "endpoint: {name: stock}\nvariants:", "the judge quality knows no loss of a custom task"),
        (LABELLED, "f1@0.3", "f1@3", "No metric is called 'f1@3'"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(tmp_path: Path, text: str, old: str, new: str, said: str) -> None:
    assert old in text
    (tmp_path / "rivals.yaml").write_text(text.replace(old, new, 1))

    def attempt() -> Any:
        return train_project(open_workspace(tmp_path))

    with pytest.raises(SpecError) as caught:
        attempt()
    assert said in str(caught.value)
