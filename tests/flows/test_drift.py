"""Looking for drift over a real store: what is found, what is made of it, and what a person reads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from rivals.app.show_drift import drift_text
from rivals.build.reference import HeldOut, number, sketch, text
from rivals.bundles import REFERENCE, folder_digest
from rivals.errors import SpecError
from rivals.flows.drift import _metrics as recorded
from rivals.flows.drift import gauges, is_due, look, qualities, watch_of
from rivals.flows.drift_report import drifted, write_report
from rivals.flows.serve import endpoint_config, first_table
from rivals.flows.workspace import Workspace, open_workspace
from rivals.observe.outcomes import LOSSES
from rivals.registry.ledger import Ledger
from rivals.serve.reconcile import publish_endpoint
from rivals.serve.runtimes.native import NativePredictor
from rivals.statistics.performance import of_labels
from rivals.usual import Held
from rivals.values import Columns, Exposure, Feedback, Outcome, Remedy, Scores, Trained, Trouble, Version
from tests.serve.stage import SIGNATURE, bundle

DAY, MONDAY = 86_400.0, 1_767_571_200.0
ROWS = 200
PROJECT = """
project: toy
data: {{source: {{use: csv, with: {{path: rows.csv}}}}, task: binary, target: y, time: t, label_delay: 1h}}
variants:
  - {{name: old, family: sklearn}}
  - {{name: new, family: sklearn}}
endpoint: {{name: toy, champion: old, shadows: [new]{more}}}
"""
WATCHED = ", capture: {features: all}, drift: [edetector, adwin, psi]"


def rows(rng: np.random.Generator, many: int, shift: float = 0.0) -> pd.DataFrame:
    b = rng.normal(size=many)
    b[rng.random(many) < 0.1] = np.nan
    return pd.DataFrame({"a": rng.normal(size=many) + shift, "b": b, "color": rng.choice(["red", "blue"], many)})


def plain(frame: pd.DataFrame) -> Columns:
    values = {name: [None if pd.isna(one) else one for one in frame[name].tolist()] for name in frame}
    return Columns(values, len(frame))


@dataclass
class Site:
    workspace: Workspace
    models: dict[str, NativePredictor]
    days: int = 0

    def day(
        self, *, shift: float = 0.0, lost: str = "", spoilt: str = "", turned: bool = False, labelled: float = 1.0
    ) -> None:
        """A day's traffic: every row answered by both; then its labels."""
        rng = np.random.default_rng(self.days)
        frame = rows(rng, ROWS, shift)
        if lost:
            frame[lost] = None
        asked = plain(frame)
        truth = self.models["old"].predict(plain(rows(np.random.default_rng(self.days), ROWS, shift)))[:, 1]
        happened = (rng.random(ROWS) < (1 - truth if turned else truth)).astype(int)
        start = MONDAY + self.days * DAY
        times = (start + np.sort(rng.random(ROWS)) * DAY).tolist()
        opens, closes, inputs = [], [], []
        for name, model in self.models.items():
            said = model.predict(asked)
            said = said[:, ::-1] if name == spoilt else said
            for i, time in enumerate(times):
                one = f"d{self.days}-{i}/0"
                opens.append(
                    Exposure(one, name, name == "new", "toy", 1, time, one, {"old": 1.0} if name == "old" else {})
                )
                closes.append((one, name, Outcome.OK, 100, tuple(said[i].tolist())))
        columns = dict(msgspec.structs.asdict(asked)["values"])
        for i in range(ROWS):
            body = {name: values[i] for name, values in columns.items()}
            inputs.append((f"d{self.days}-{i}/0", msgspec.json.encode(body)))
        told = [
            Feedback(f"d{self.days}-{i}/0", int(y), time=start)
            for i, y in enumerate(happened.tolist())
            if rng.random() < labelled
        ]
        self.workspace.store.ship("test", self.days + 1, opens, closes, told, inputs)
        self.days += 1

    def look(self):
        return look(self.workspace, MONDAY + self.days * DAY + 3_600)

    def kinds(self) -> list[str]:
        return [one.kind for one in Ledger(self.workspace.store).entries("toy")]


def known(workspace: Workspace, bias: float) -> str:
    """A bundle that knows its training rows and its held-out quality."""
    folder = workspace.blobs.path(bundle(workspace.blobs.folder, bias))
    model, rng = NativePredictor(folder, SIGNATURE), np.random.default_rng(99)
    frame = rows(rng, 3_000)
    said = model.predict(plain(frame))
    happened = (rng.random(3_000) < NativePredictor(folder, SIGNATURE).predict(plain(frame))[:, 1]).astype(int)
    held = Held(3_000, {"brier": number(LOSSES["brier"](happened.astype(float), said, 1.0))}, of_labels(said, happened))
    label = text(pd.Series(happened.astype(str)))
    frame["color"] = frame["color"].astype(object)
    (folder / REFERENCE).write_bytes(msgspec.json.encode(sketch(frame, said, SIGNATURE, HeldOut(said, label, held))))
    digest = folder_digest(folder)
    folder.rename(folder.parent / digest)
    return digest


@pytest.fixture
def site(tmp_path: Path):
    def make(more: str = WATCHED) -> Site:
        (tmp_path / "rivals.yaml").write_text(PROJECT.format(more=more))
        workspace = open_workspace(tmp_path / "rivals.yaml")
        models = {}
        for name, bias in {"old": 0.0, "new": 0.1}.items():
            digest = known(workspace, bias)
            trained = Trained(name, digest, f"wish-{name}", Scores({}), 1.0, 10.0, 100, "native", 0.0)
            with workspace.store.transaction() as tx:
                tx.put_trained(trained, Version(name, digest))
            models[name] = NativePredictor(workspace.blobs.path(digest), SIGNATURE)
        first_table(workspace)
        publish_endpoint(workspace.run_dir, endpoint_config(workspace, "replay"))
        return Site(workspace, models)

    return make


def test_quiet_days_leave_no_trace_in_the_ledger(site) -> None:
    one = site()
    for _ in range(6):
        one.day()
    looks = one.look()
    assert len(looks) == 12  # every day once it has ended, and once its labels had come
    assert not [each for each in looks if each.alarms]
    assert {each.cause.trouble for each in looks} == {Trouble.NOTHING}
    assert "drift.explained" not in one.kinds()
    assert one.look() == []
    assert not is_due(one.workspace, MONDAY + one.days * DAY + 3_600)


def test_shifted_inputs_are_named_and_noted_where_nobody_suffers(site, tmp_path: Path) -> None:
    one = site()
    for day in range(8):
        one.day(shift=1.5 if day >= 5 else 0.0)
    looks = one.look()
    first = next(each for each in looks if each.alarms)
    assert first.start == MONDAY + 5 * DAY
    assert first.alarms[0].column in {"a", "old: score 1", "new: score 1"}
    last = looks[-1]
    assert last.cause.trouble is Trouble.INPUTS
    assert last.cause.remedy is Remedy.IGNORE
    assert "a" in last.cause.columns
    assert one.kinds().count("drift.explained") >= 1
    assert gauges(one.workspace)["a"] > 5
    assert gauges(one.workspace)["b"] == 0
    assert qualities(one.workspace)["brier", "old"] == pytest.approx(0.2, abs=0.05)

    found = drifted(one.workspace)
    told = drift_text(found)
    assert "ignore: a" in told
    assert "2026-01-10" in told, "since when"
    page = write_report(found, tmp_path / "out" / "drift.html").read_text()
    assert "<svg" in page
    assert "Touch no model" in page
    assert "http" not in page.replace("http-equiv", ""), "it needs no other file"
    assert json.loads(msgspec.json.encode(found))["cause"]["trouble"] == "inputs"


def test_a_column_that_comes_empty_is_broken(site) -> None:
    one = site()
    for day in range(6):
        one.day(lost="b" if day >= 4 else "")
    cause = one.look()[-1].cause
    assert cause.trouble is Trouble.FEATURE
    assert cause.columns == ("b",)
    assert cause.remedy is Remedy.IGNORE
    assert "missing" in cause.reason


def test_one_variant_that_got_worse_alone_is_to_be_rolled_back(site) -> None:
    one = site()
    for day in range(22):
        one.day(spoilt="new" if day >= 12 else "")
    looks = one.look()
    found = next(each for each in looks if each.cause.remedy is not Remedy.IGNORE)
    assert found.cause.trouble is Trouble.VARIANT
    assert found.cause.variants == ("new",)
    entry = next(e for e in Ledger(one.workspace.store).entries("toy") if e.body.get("trouble") == "variant")
    assert entry.body["remedy"] == "roll_back"
    assert {each["variant"] for each in entry.body["qualities"]} == {"old", "new"}


def test_a_world_that_turned_asks_for_retraining(site) -> None:
    one = site()
    for day in range(22):
        one.day(turned=day >= 12)
    found = next(each for each in one.look() if each.cause.remedy is not Remedy.IGNORE)
    assert found.cause.trouble is Trouble.WORLD
    assert set(found.cause.variants) == {"old", "new"}


def test_quality_is_told_by_window_by_slice_and_as_calibration(site, tmp_path: Path) -> None:
    one = site(WATCHED + ", rollout: {slices: [color]}")
    for day in range(10):
        one.day(turned=day == 9)
    last = next(each for each in reversed(one.look()) if each.judged)
    found = next(each for each in last.qualities if each.variant == "old")
    assert found.cohort > found.now  # the last day went badly, the six before did not
    assert found.slices
    assert sum(each.rows for each in found.slices.values()) == pytest.approx(7 * ROWS, rel=0.01)
    whole = sum(each.rows * each.loss for each in found.slices.values()) / sum(e.rows for e in found.slices.values())
    assert whole == pytest.approx(found.now)
    assert 0 < found.calibration < 0.2
    told = recorded(last, "old")
    assert {"live_cohort_brier", "live_calibration_error"} <= set(told)
    assert all(f"live_brier/{name.replace('=', '_')}" in told for name in found.slices)
    page = write_report(drifted(one.workspace), tmp_path / "drift.html").read_text()
    assert "By slice" in page
    assert "Calibration error" in page
    assert "color=" in page


def test_labels_that_stay_away_are_waited_for(site) -> None:
    one = site()
    for day in range(8):
        one.day(labelled=0.1 if day >= 6 else 1.0)
    cause = one.look()[-1].cause
    assert cause.trouble is Trouble.LABELS
    assert "10%" in cause.reason or "1" in cause.reason


def test_windows_from_the_archive_are_looked_at_too(site) -> None:
    from rivals.flows.archive import archive_of

    one = site()
    for _ in range(4):
        one.day()
    archive = archive_of(one.workspace)
    before = archive.heard(MONDAY, MONDAY + 2 * DAY, 10**6)
    while archive.move(MONDAY + 2 * DAY):
        pass
    assert archive.heard(MONDAY, MONDAY + 2 * DAY, 10**6) == before
    assert len(before) == 4 * ROWS
    some = archive.heard(MONDAY, MONDAY + 2 * DAY, 200)
    assert 100 < len(some) < 300
    assert len({each.id for each in some}) == len(some) // 2, "rivals of a row are drawn together"


def test_who_is_not_watched_is_told_how(site) -> None:
    one = site("")
    one.day()
    with pytest.raises(SpecError, match="add 'drift"):
        one.look()
    assert not is_due(one.workspace, MONDAY + 9 * DAY)


def test_another_bundle_begins_anew(site) -> None:
    one = site()
    for _ in range(3):
        one.day()
    one.look()
    assert watch_of(one.workspace).records["old"].blocks
    stale = watch_of(one.workspace).digests["old"]
    with one.workspace.store.transaction() as tx:
        table = one.workspace.table()
        digest = known(one.workspace, 0.7)
        arms = tuple(
            msgspec.structs.replace(arm, digest=digest)
            if hasattr(arm, "__struct_fields__")
            else type(arm)(arm.variant, digest, arm.weight)
            for arm in table.arms
        )
        from dataclasses import replace

        tx.put_table(replace(table, revision=table.revision + 1, arms=arms), expect=table.revision)
    one.day()
    one.look()
    watch = watch_of(one.workspace)
    assert watch.digests["old"] == digest != stale
    assert len(watch.records["old"].blocks) == 1
    assert len(watch.records["new"].blocks) == 4
