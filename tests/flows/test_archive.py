"""The archive's part of the control process: bounded, behind the judge, and off where nobody asked."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rivals.bundles import MANIFEST, BundleManifest
from rivals.errors import RivalsError, RolloutError
from rivals.flows.archive import Keeper, archive_of, settled
from rivals.flows.begin import _unseen
from rivals.flows.forget import forget_unit
from rivals.flows.workspace import Workspace, open_workspace
from rivals.observe.evidence import begin
from rivals.registry.ledger import Ledger
from rivals.values import Signature
from tests.registry.conftest import a_close, a_rollout, an_exposure

DAY = 86_400.0
PROJECT = """
project: toy
data: {{source: {{use: csv, with: {{path: rows.csv}}}}, task: binary, target: y, label_delay: 2d}}
variants: [{{name: a, model: "./a"}}]
endpoint: {{name: e, rollout: {{block: 1d}}{capture}}}
"""


def workspace_of(folder: Path, capture: str = ", capture: {features: all, keep: 30d}") -> Workspace:
    (folder / "rivals.yaml").write_text(PROJECT.format(capture=capture))
    return open_workspace(folder)


def ask(workspace: Workspace, *days: float, unit: str = "u") -> None:
    opens = [an_exposure(f"{unit}{day}/0", time=day * DAY, unit=unit) for day in days]
    workspace.store.ship(f"{unit}{days}", 1, opens, [a_close(one.id) for one in opens], [])


def test_what_is_judged_for_good_is_moved_and_kept_as_long_as_the_project_asks(tmp_path: Path) -> None:
    workspace = workspace_of(tmp_path)
    ask(workspace, 0, 1, 6, 6.5, 40)
    keeper = Keeper(workspace)
    steps = [keeper.step(9 * DAY) for _ in range(4)]
    assert steps == [1, 1, 0, 0]  # days 0 to 5 are mature: two for the labels, one for the block
    keeper.step(10 * DAY)
    assert archive_of(workspace).days() == ["1970-01-01", "1970-01-02", "1970-01-07"]
    keeper.step(33 * DAY)
    assert archive_of(workspace).days() == ["1970-01-07"]


def test_a_running_rollout_keeps_what_it_has_not_looked_at(tmp_path: Path) -> None:
    workspace = workspace_of(tmp_path)
    ask(workspace, 0, 1, 2, 40)
    running = a_rollout(started=DAY)
    with workspace.store.transaction() as tx:
        tx.put_rollout(running)
    assert settled(workspace, 40 * DAY) == (DAY, 0)
    with workspace.store.transaction() as tx:
        tx.put_state("evidence/r1", msgspec.json.encode(begin(running, cursor=2)))
    assert settled(workspace, 40 * DAY) == (DAY, 2)
    keeper = Keeper(workspace)
    assert [keeper.step(40 * DAY) for _ in range(2)] == [1, 0]


def test_nothing_is_moved_where_nobody_asked(tmp_path: Path) -> None:
    workspace = workspace_of(tmp_path, "")
    ask(workspace, 0, 40)
    assert Keeper(workspace).step(40 * DAY) == 0
    assert not (workspace.state / "archive").exists()


def test_a_missing_package_is_said_once_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    workspace = workspace_of(tmp_path)
    ask(workspace, 0, 40)
    monkeypatch.setitem(sys.modules, "rivals.registry.archive", None)
    keeper = Keeper(workspace)
    with caplog.at_level(logging.WARNING):
        assert [keeper.step(40 * DAY) for _ in range(3)] == [0, 0, 0]
    (said,) = [record.getMessage() for record in caplog.records]
    assert "rivals[build]" in said


def test_a_unit_is_forgotten_and_the_ledger_names_it_to_nobody(tmp_path: Path) -> None:
    workspace = workspace_of(tmp_path)
    ask(workspace, 0, 1, 40, unit="ann")
    ask(workspace, 0, unit="bob")
    assert Keeper(workspace).step(20 * DAY) == 2
    assert forget_unit(workspace, "ann") == {"erased": 3}
    (entry,) = Ledger(workspace.store).entries("e")
    assert entry.kind == "unit.erased"
    assert "ann" not in str(entry.body)
    Ledger(workspace.store).verify()
    with pytest.raises(RivalsError, match="nothing of that unit"):
        forget_unit(workspace, "ann")
    assert len(Ledger(workspace.store).entries("e")) == 1


@pytest.mark.parametrize(
    ("lineage", "refused"), [({}, False), ({"trained_until": 9.0}, False), ({"trained_until": 10.0}, True)]
)
def test_no_rival_is_judged_on_rows_it_was_trained_on(tmp_path: Path, lineage: dict[str, Any], refused: bool) -> None:
    workspace = workspace_of(tmp_path)
    digest = "a" * 64
    folder = workspace.blobs.path(digest)
    folder.mkdir(parents=True)
    manifest = BundleManifest(Signature((), "binary", (0, 1)), "native", lineage=lineage)
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    if refused:
        with pytest.raises(RolloutError, match="trained on rows up to 10"):
            _unseen(workspace, 10.0, {"a": digest})
    else:
        _unseen(workspace, 10.0, {"a": digest})
