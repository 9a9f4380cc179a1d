"""From a captured request to a day of Parquet, with signed labels and rewards by unit; and then a unit is forgotten."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rivals.bundles import read_manifest
from rivals.flows.archive import archive_of
from rivals.flows.workspace import open_workspace

from .conftest import Server, a_row, infer, rivals, wait_until

DAY, START = 86_400.0, 86_400.0 * 20_000


@pytest.mark.slow
def test_requests_are_captured_signed_rewarded_archived_and_forgotten(
    project: Path, serve: Callable[..., Server]
) -> None:
    file = project / "rivals.yaml"
    wish = "  capture: {features: all, keep: 30d, redact: [c]}\n  feedback: {signed: true, rating: [1, 5]}\n"
    file.write_text(file.read_text() + wish)
    server = serve(project, workers=1, clock="replay")
    for day in range(5):
        for unit in ("ann", "bob"):
            row = {**a_row(day), "t": START + day * DAY + 60}
            status, told, _ = server.request(
                "POST", "/v2/models/toy/infer", infer(row), X_Request_Id=f"{unit}-{day}", X_Rivals_Unit=unit
            )
            assert status == 200
            one = {"id": f"{unit}-{day}/0", "label": 1, "token": told["x-rivals-feedback-token"]}
            assert server.request("POST", "/v2/feedback", [one, one])[0] == 200
            assert server.request("POST", "/v2/feedback", one | {"id": "ann-9/0"})[0] == 403
    (project / "told.csv").write_text(
        f"unit,from,to,rating\nann,{START},{START + 3 * DAY},2\nbob,{START},{START + DAY},5\n"
    )
    taken = json.loads(rivals("feedback", "told.csv", "--json", cwd=project).stdout)
    assert (taken["read"], taken["new"], taken["windows"]) == (2, 2, 2)
    archive = archive_of(open_workspace(project))
    wait_until(
        lambda: len(archive.days()) == 3, 20, server.log
    )  # the last block is not mature, and the newest day stays
    found = [one for day in archive.days() for one in archive.read(day) if not one.exposure.shadow]
    told_of = {(one.exposure.id, one.label, one.reward) for one in found}
    assert told_of == {(f"ann-{day}/0", 1, 0.25) for day in range(3)} | {
        (f"bob-{day}/0", 1, None if day else 1.0) for day in range(3)
    }
    assert {name for one in found for name in one.inputs or {}} == {"a", "b", "color", "t"}
    done = rivals("forget", "ann", "--json", cwd=project)
    assert json.loads(done.stdout) == {"erased": 5}, done.stderr
    kept = [unit for path in archive.folder.rglob("*.parquet") for unit in pq.read_table(path)["unit"].to_pylist()]
    assert set(kept) == {"bob"}
    assert rivals("verify", cwd=project).returncode == 0
    assert "ann" not in rivals("history", "--json", cwd=project).stdout
    assert server.get("/v2/health/ready")[0] == 200


def test_a_bundle_says_until_when_its_rows_go(trained: Path) -> None:
    workspace = open_workspace(trained)
    for variant in ("weak", "boosted", "blend"):
        lineage = read_manifest(workspace.blobs.path(workspace.trained(variant).digest)).lineage
        held_out, gap = 600, 6  # rows: the last fifth, and the hour before it
        assert lineage["trained_until"] == 1.4e9 + (3000 - held_out - gap - 1) * 600
