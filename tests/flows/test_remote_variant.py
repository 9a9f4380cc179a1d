"""A variant that another server answers: scored like all others, never fitted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rivals.build import bank
from rivals.build.evaluate import scores
from rivals.bundles import is_gap, read_manifest
from rivals.flows.train import train_project
from rivals.flows.workspace import open_workspace
from rivals.serve.runtimes import open_bundle
from rivals.values import Columns
from tests.serve.stage import Stage, table

MODULE = """
import numpy as np
import pandas as pd


def load():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 400))
    color = rng.choice(np.array(["red", "green", "blue"]), size=400)
    frame = pd.DataFrame({"a": a, "b": b, "color": color})
    frame.loc[::9, "b"] = np.nan
    frame["y"] = (rng.random(400) < 1 / (1 + np.exp(-a))).astype(int)
    return frame
"""
PROJECT = """
project: remote
data:
  source: {{use: function, with: {{function: "faraway:load"}}}}
  task: binary
  target: y
  split: {{test: 20%, folds: 3}}
variants:
  - {{name: legacy, model: "oip+http://127.0.0.1:{port}/toy"}}
  - {{name: nobody, model: "oip+http://127.0.0.1:9/toy"}}
"""


@pytest.fixture
def other(tmp_path: Path) -> Callable[[], Stage]:
    """Somebody else's server."""
    folder = tmp_path / "other"
    folder.mkdir()
    return lambda: Stage(folder)


def test_it_is_scored_by_its_answers_and_one_that_is_away_is_told(
    tmp_path: Path, other: Callable[[], Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = other()
    server.publish(table({"weak": (server.weak, 1.0)}))
    server.start()
    try:
        project = tmp_path / "project"
        project.mkdir()
        (project / "faraway.py").write_text(MODULE)
        (project / "rivals.yaml").write_text(PROJECT.format(port=server.port))
        monkeypatch.syspath_prepend(str(project))
        workspace = open_workspace(project)
        report = train_project(workspace)
        assert "cannot be reached" in report.failed["nobody"]
        (legacy,) = report.trained
        assert legacy.runtime == "remote"
        assert legacy.predict_us > 0
        said = bank.read(workspace.state / "bank" / legacy.wish)
        import faraway  # type: ignore[import-not-found]  # written above

        frame = faraway.load().iloc[said.ids.astype(int)]
        values = {
            name: [None if is_gap(value) else value for value in frame[name].tolist()] for name in ("a", "b", "color")
        }
        wanted = open_bundle(server.bundles / server.weak, server.bundles.joinpath)
        np.testing.assert_allclose(said.outputs, wanted.predict(Columns(values, len(frame))), atol=1e-6)
        assert legacy.scores.metrics == scores(said, workspace.spec.measures).metrics
        assert read_manifest(workspace.blobs.path(legacy.digest)).runtime == "remote"
        workspace.store.close()
    finally:
        server.stop()
