"""Fit to act alone: a live A/A, labels that find their answers, a rollback that is obeyed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rivals.errors import RolloutError
from rivals.flows.fences import preflight_lacks
from rivals.flows.preflight import aa, join, recent, run_preflight
from rivals.serve.reconcile import read_obeyed
from rivals.serve.server import WorkerConfig
from rivals.serve.supervisor import spawn, stop
from rivals.statistics.assignment import slot
from rivals.values import SLOTS, Outcome
from tests.serve.stage import infer
from tests.stories.conftest import Server, free_port, rivals, wait_until

from .conftest import Site

Sites = Callable[..., Site]
WAIT = 30.0


def looked(one: Site) -> bool | None:
    table = one.workspace.table()
    return aa(one.workspace, table, recent(one.workspace, "old"), one.now).passed


def test_the_champion_against_itself_shows_no_difference(site: Sites) -> None:
    one = site(preflight=False)
    assert looked(one) is None  # too little to say
    one.traffic("old", 2000, failed=60)
    assert looked(one) is True


def test_a_half_that_fails_more_is_seen_whichever_it_is(site: Sites) -> None:
    one = site(preflight=False)
    one.traffic("old", 2000)
    table, seen = one.workspace.table(), recent(one.workspace, "old")
    for half in (True, False):
        broken = [
            replace(each, outcome=Outcome.ERROR)
            if number % 10 == 0 and (slot(table.salt, each.unit) < SLOTS // 2) is half
            else each
            for number, each in enumerate(seen)
        ]
        found = aa(one.workspace, table, broken, one.now)
        assert found.passed is False
        assert "fails more often" in found.sentence


def test_a_split_that_is_not_halves_is_seen(site: Sites) -> None:
    one = site(preflight=False)
    one.traffic("old", 3000)
    table, seen = one.workspace.table(), recent(one.workspace, "old")
    lost = [each for i, each in enumerate(seen) if i % 4 or slot(table.salt, each.unit) < SLOTS // 2]
    found = aa(one.workspace, table, lost, one.now)
    assert found.passed is False
    assert "halves were due" in found.sentence


@pytest.mark.parametrize(("labelled", "passed"), [(950, True), (940, False)])
def test_ninety_five_of_a_hundred_due_labels_must_have_come(labelled: int, passed: bool, site: Sites) -> None:
    one = site(judges="failures, quality", preflight=False)
    one.traffic("old", 999, labelled=labelled)  # beside one without a label
    one.now += 3600.0
    one.traffic("old", 1000)  # whose labels are not due yet
    found = join(one.workspace, one.workspace.table(), recent(one.workspace, "old"), one.now + 1.0)
    assert found.passed is passed
    assert "of 1000 answers" in found.sentence


def test_a_preflight_waits_for_the_end_of_a_rollout(site: Sites) -> None:
    one = site()
    one.start()
    with pytest.raises(RolloutError, match="is being rolled out"):
        run_preflight(one.workspace)


def test_workers_obey_the_drill_within_a_second_and_a_stopped_one_is_seen(site: Sites) -> None:
    one = site(preflight=False)
    space = one.workspace
    one.traffic("old", 1000)
    found = run_preflight(space, by="ann")
    assert [check.passed for check in found.checks] == [True, True, None]
    workers = [
        spawn(WorkerConfig(str(space.run_dir), str(space.blobs.folder), number, "127.0.0.1", free_port(), "wall"))
        for number in range(2)
    ]
    try:
        wait_until(lambda: len(read_obeyed(space.run_dir)) == 2, WAIT)
        revision = space.table().revision
        found = run_preflight(space, by="ann")
        assert found.passed
        assert {worker.revision for worker in read_obeyed(space.run_dir)} == {revision + 2}
        assert preflight_lacks(space, one.now) == ""
    finally:
        stop(workers)
    assert read_obeyed(space.run_dir) == []
    assert one.kinds()[-2:] == ["preflight.not_passed", "preflight.passed"]
    print(found.checks[2].sentence)


@pytest.mark.slow
def test_a_served_endpoint_acts_alone_only_after_its_preflight(site: Sites) -> None:
    one = site(name="rivals", preflight=False)
    folder: Path = one.workspace.folder
    server = Server(folder)
    try:
        early = rivals("rollout", "preflight", "--json", cwd=folder)
        assert early.returncode == 4, early.stderr
        for number in range(400):
            row = {"a": number % 7 / 7, "b": None, "color": "red"}
            status, _, _ = server.request("POST", "/v2/models/rivals/infer", infer(row), X_Request_Id=f"q{number}")
            assert status == 200
        wait_until(lambda: server.api("/api/clock")["exposures"] >= 400, WAIT)
        passed = server.api("/api/rollout/preflight", "POST", {"by": "ann"})
        assert [check["passed"] for check in passed["checks"]] == [True, True, True]
        print(passed["checks"][2]["sentence"])
        status = json.loads(rivals("status", "--json", cwd=folder).stdout)
        assert status["fences"]["preflight"]["passed"]
        before = time.time()
        for verb, word in (("freeze", ()), ("freeze", ("--off",)), ("quarantine", ("new",)), ("pin", ("old",))):
            done = rivals("rollout", verb, *word, "--by", "ann", "--json", cwd=folder)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["by"] == "ann"
        again = rivals("rollout", "quarantine", "new", cwd=folder)
        assert (again.returncode, "already, by ann" in again.stderr) == (2, True)
        assert server.api("/api/rollout/quarantine", "POST", {"variant": "new"})["error"]
        assert time.time() - before < 120
    finally:
        server.stop()
