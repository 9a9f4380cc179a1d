"""The control process's rounds, and what does not wait for them."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rivals.flows.control import BATCH, Control, ship
from rivals.flows.workspace import Workspace, open_workspace
from rivals.serve.entries import Closed, Opened
from rivals.serve.journal import Journal
from rivals.serve.reconcile import read_table
from rivals.statistics.assignment import slots
from rivals.values import Arm, Outcome, RoutingTable

PROJECT = """
project: toy
data: {source: {use: csv, with: {path: rows.csv}}, task: binary, target: y}
variants: [{name: a, family: sklearn, with: {estimator: LogisticRegression}}]
endpoint: {name: toy}
"""
TABLE = RoutingTable("toy", 1, "a", (Arm("a", "0" * 64, 1.0),), "salt", slots([1.0]))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "rivals.yaml").write_text(PROJECT)
    found = open_workspace(tmp_path)
    put(found, TABLE)
    return found


def put(workspace: Workspace, table: RoutingTable) -> None:
    with workspace.store.transaction() as tx:
        tx.put_table(table, expect=table.revision - 1 or None)


def published(workspace: Workspace) -> int:
    table = read_table(workspace.run_dir)
    return table.revision if table else 0


def test_a_table_is_published_while_a_round_takes_its_time(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = threading.Event()
    monkeypatch.setattr(Control, "round", lambda _: stuck.wait(30))
    control = Control(workspace, "wall")
    thread = threading.Thread(target=control.run)
    thread.start()
    try:
        for revision in (1, 2):
            if revision > 1:
                put(workspace, replace(TABLE, revision=revision))
            deadline = time.monotonic() + 20
            while published(workspace) != revision:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        assert not stuck.is_set()
    finally:
        control.stopped.set()
        stuck.set()
        thread.join()


def test_a_round_ships_what_was_there_when_it_began_so_that_under_load_it_ends(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, numbers, real = Journal(workspace.run_dir, 0, "toy"), itertools.count(), workspace.store.ship

    def ask() -> None:
        name = f"r{next(numbers)}"
        opened, closed = (
            Opened(name, 1, "a", False, 1, 1.0, name, {"a": 1.0}),
            Closed(name, 1, "a", Outcome.OK, 9, [[1]]),
        )
        journal.commit([opened], [closed])

    def shipping(*given: Any) -> None:
        real(*given)
        assert next(rounds) < 10
        ask()  # whoever asks does not wait

    for _ in range(2 * BATCH):
        ask()
    rounds = itertools.count()
    monkeypatch.setattr(workspace.store, "ship", shipping)
    assert ship(workspace) >= 4 * BATCH  # an open and a close each
    assert workspace.store.answered("toy") >= 2 * BATCH
    monkeypatch.undo()
    ship(workspace)
    assert workspace.store.answered("toy") == next(numbers)
    journal.close()
