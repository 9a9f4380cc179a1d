"""A training by hand: rows of the window, new variants, the challenger that the former champion makes with them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from rivals.bundles import read_manifest
from rivals.decide.judges.failures import questions_needed
from rivals.errors import DataError, RivalsError, SpecError
from rivals.flows.retrain import by_hand, patient, retrain
from rivals.flows.serve import endpoint_config, first_table
from rivals.flows.sweep import within
from rivals.flows.workspace import open_workspace
from rivals.registry.ledger import Ledger
from rivals.serve.reconcile import publish_endpoint
from rivals.statistics.eprocess import RateLimit, on_answers
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


@pytest.mark.parametrize(("a_day", "days"), [(24, 34), (1000, 14)])
def test_a_deadline_is_one_that_the_traffic_can_meet(tmp_path: Path, a_day: int, days: int) -> None:
    workspace = bare(tmp_path)
    opens = [
        Exposure(f"r{row}/0", "strong", False, "toy", 1, row * DAY / a_day, f"r{row}", {"strong": 1.0})
        for row in range(a_day * 20)
    ]
    workspace.store.ship("journal", 1, opens, [], [])
    deadline = patient(workspace, 20 * DAY).endpoint.rollout.deadline
    assert round(deadline / DAY) == days
    wish = workspace.endpoint.rollout.risk
    by_then = on_answers(RateLimit(), int(a_day * deadline / DAY), failed=False, limit=wish.failure_limit)
    assert by_then.under > math.log(2 / wish.alpha)  # what the judge of failures asks for


def test_a_deadline_that_the_project_names_stays(tmp_path: Path) -> None:
    file = bare(tmp_path).file
    file.write_text(file.read_text().replace("champion: strong", "champion: strong, rollout: {deadline: 3d}"))
    assert patient(open_workspace(file), 20 * DAY).endpoint.rollout.deadline == 3 * DAY


@pytest.mark.parametrize("limit", [0.001, 0.01, 0.2])
def test_so_many_questions_prove_a_failure_rate_and_one_less_does_not(limit: float) -> None:
    needed = questions_needed(limit, 0.05)
    found = [on_answers(RateLimit(), one, failed=False, limit=limit).under for one in (needed - 1, needed)]
    assert found[0] < math.log(2 / 0.05) <= found[1]


def test_a_project_may_name_windows_in_one_word_or_in_many(tmp_path: Path) -> None:
    file = bare(tmp_path).file
    text = file.read_text()
    for wish, windows, longest in (
        ("90d", (90 * DAY,), 90 * DAY), ("all", ("all",), None), ("[30d, 90d]", (30 * DAY, 90 * DAY), 90 * DAY),
        ("[90d, all]", (90 * DAY, "all"), None),
    ):  # fmt: skip
        file.write_text(text.replace("champion: strong", f"champion: strong, retrain: {{window: {wish}}}"))
        found = open_workspace(file).endpoint.retrain
        assert found is not None
        assert (found.window, found.longest) == (windows, longest)
    for wrong in ("[]", "[90d, 90d]", "sometimes", "0d"):
        file.write_text(text.replace("champion: strong", f"champion: strong, retrain: {{window: {wrong}}}"))
        with pytest.raises(SpecError, match="window"):
            open_workspace(file)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_quarter_of_the_challenger_is_the_former_champion_and_it_is_recommended(tmp_path: Path) -> None:
    workspace = project(tmp_path)
    first_table(workspace)
    publish_endpoint(workspace.run_dir, endpoint_config(workspace, "replay"))
    now = 130 * DAY
    one = Exposure("r/0", "strong", False, "toy", 1, now, "r", {"strong": 1.0})
    workspace.store.ship("journal", 1, [one], [], [])
    found = retrain(workspace, rows(60, 70, 2, turned=60), Retrain("hand", 40 * DAY, "a person asked for it"), now)
    assert found.challenger == "retrained.1"  # nobody had begun it: it is the first that is known
    assert found.built == ("weak.1", "strong.1")  # 130 days are in neither window that is shorter
    assert found.weights["strong"] == pytest.approx(0.25)
    assert sum(found.weights.values()) == pytest.approx(1)
    manifest = read_manifest(workspace.blobs.path(workspace.trained("retrained.1").digest))
    assert manifest.lineage["trained_until"] <= now
    assert (workspace.state / "retrain" / "rows-1.parquet").stat().st_mode & 0o077 == 0
    last = Ledger(workspace.store).entries("toy")[-1]
    assert last.kind == "retrain.notice"
    assert "rivals rollout start retrained.1" in last.body["message"]
    assert workspace.table().champion == "strong"
