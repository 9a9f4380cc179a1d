"""A training by hand: rows of the window, new variants, the challenger that the former champion makes with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rivals.bundles import read_manifest
from rivals.errors import DataError, RivalsError
from rivals.flows.retrain import by_hand, retrain
from rivals.flows.serve import endpoint_config, first_table
from rivals.flows.sweep import within
from rivals.registry.ledger import Ledger
from rivals.serve.reconcile import publish_endpoint
from rivals.values import Exposure, Retrain
from tests.flows.test_autopilot import DAY, bare, project, rows


def test_the_window_takes_labelled_rows_of_its_time_alone(tmp_path: Path) -> None:
    frame = rows(0, 10, 0)
    frame.loc[0, "y"] = np.nan
    kept = within(bare(tmp_path), frame, 2 * DAY, 5 * DAY)
    assert kept["t"].between(2 * DAY, 5 * DAY).all()
    assert len(within(bare(tmp_path), frame, 0, 10 * DAY)) == len(frame) - 1
    with pytest.raises(DataError, match="No row with a 'y'"):
        within(bare(tmp_path), frame, 20 * DAY, 30 * DAY)


def test_an_endpoint_that_was_never_served_is_not_retrained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rivals.flows.retrain.lower", lambda: None)  # it would slow all tests that follow
    with pytest.raises(RivalsError, match="never served"):
        by_hand(bare(tmp_path))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_challenger_is_half_the_former_champion_and_is_recommended(tmp_path: Path) -> None:
    workspace = project(tmp_path)
    first_table(workspace)
    publish_endpoint(workspace.run_dir, endpoint_config(workspace, "replay"))
    now = 130 * DAY
    one = Exposure("r/0", "strong", False, "toy", 1, now, "r", {"strong": 1.0})
    workspace.store.ship("journal", 1, [one], [], [])
    found = retrain(workspace, rows(60, 70, 2, turned=60), Retrain("hand", 40 * DAY, "a person asked for it"), now)
    assert found.challenger == "retrained.1"  # nobody had begun it: it is the first that is known
    assert found.built == ("weak.1", "strong.1")
    assert found.weights["strong"] == pytest.approx(0.5)
    assert sum(found.weights.values()) == pytest.approx(1)
    manifest = read_manifest(workspace.blobs.path(workspace.trained("retrained.1").digest))
    assert manifest.lineage["trained_until"] <= now
    assert (workspace.state / "retrain" / "rows-1.parquet").stat().st_mode & 0o077 == 0
    last = Ledger(workspace.store).entries("toy")[-1]
    assert last.kind == "retrain.notice"
    assert "rivals rollout start retrained.1" in last.body["message"]
    assert workspace.table().champion == "strong"
