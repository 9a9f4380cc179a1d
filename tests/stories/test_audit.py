"""`rivals audit`: logs of other people's rollouts, judged from a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rivals.errors import DataError
from rivals.flows.audit import audit_log, conclusion
from rivals.values import Status

from .conftest import rivals


def frame(
    seed: int, rows: int, share: Any = 0.5, rates: tuple[Any, Any] = (0.02, 0.02), **columns: Any
) -> pd.DataFrame:
    """A log of answers by `old` and `new` over three days."""
    rng = np.random.default_rng(seed)
    shares = np.broadcast_to(share, rows)
    new = rng.random(rows) < shares
    failed = rng.random(rows) < np.where(new, rates[1], rates[0])
    time = 1.7e9 + np.sort(rng.random(rows)) * 3 * 86_400
    made = pd.DataFrame({"time": time, "variant": np.where(new, "new", "old"), "failed": failed})
    return made.assign(**columns)


def renamed(made: pd.DataFrame) -> pd.DataFrame:
    return made.assign(variant=made.variant.replace("old", "control"))


def save(made: pd.DataFrame, path: Path) -> Path:
    made.to_csv(path, index=False) if path.suffix == ".csv" else made.to_parquet(path)
    return path


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """Four rollouts in one file: right, wrong, underpowered, mis-split."""
    ramp, base = np.repeat([0.05, 0.25, 0.5], 20_000), np.repeat([0.04, 0.02, 0.01], 20_000)
    parts = {
        "right": frame(1, 60_000, decision="promote", share_=0.5),
        "wrong": frame(2, 60_000, ramp, (base, 1.6 * base), decision="promote", share_=ramp),
        "small": frame(3, 2_000, decision="promote", share_=0.5),
        "crooked": frame(4, 60_000, 0.47, decision="rollback", share_=0.5),
    }
    made = pd.concat([part.assign(rollout=name) for name, part in parts.items()])
    return save(made.rename(columns={"share_": "share"}), tmp_path / "log.parquet")


def test_each_rollout_of_a_file_is_judged_for_itself(several: Path) -> None:
    found = {one.rollout: (one.status, one.decision) for one in audit_log(several, champion="old")}
    assert found == {
        "right": (Status.PASS, "supported"),
        "wrong": (Status.FAIL, "wrong"),
        "small": (Status.INCONCLUSIVE, "unsupported"),
        "crooked": (Status.INCONCLUSIVE, "unsupported"),
    }


def test_the_page_says_what_was_wrong_and_exits_1(several: Path) -> None:
    done = rivals("audit", str(several), "--champion", "old", cwd=several.parent)
    assert done.returncode == 1, done.stderr
    for said in (
        "it was decided to promote: wrong",
        "pooled rates in a ramp",
        "more requests were needed",
        "mis-split",
    ):
        assert said in done.stdout.lower()
    assert len(done.stdout.splitlines()) <= 40  # a page
    body = json.loads(rivals("audit", str(several), "--champion", "old", "--json", cwd=several.parent).stdout)
    assert [one["status"] for one in body] == ["pass", "fail", "inconclusive", "inconclusive"]


def test_csv_with_times_as_text_and_outcomes_by_name_or_status(tmp_path: Path) -> None:
    made = frame(5, 40_000, 0.5, (0.02, 0.05))
    made["time"] = pd.to_datetime(made["time"], unit="s")
    by_name = made.assign(outcome=np.where(made.failed, "error", "ok")).drop(columns="failed")
    by_status = made.assign(outcome=np.where(made.failed, 503, 200)).drop(columns="failed")
    plain = audit_log(save(made, tmp_path / "log.csv"), share=0.5, decided="promote", champion="old")
    assert (plain[0].status, plain[0].decision) == (Status.FAIL, "wrong")
    for number, other in enumerate((by_name, by_status)):
        found = audit_log(save(other, tmp_path / f"{number}.csv"), share=0.5, champion="old")
        assert found[0].failures == plain[0].failures


def test_a_propensity_is_that_of_the_variant_that_answered(tmp_path: Path) -> None:
    made = frame(6, 20_000, 0.2)
    made["propensity"] = np.where(made.variant == "new", 0.2, 0.8)
    found = audit_log(save(made, tmp_path / "log.parquet"))[0]
    assert (found.champion, found.split.status) == ("old", Status.PASS)


def test_labels_and_scores_or_rewards_are_quality(tmp_path: Path) -> None:
    made = frame(7, 60_000).drop(columns="failed")
    rng = np.random.default_rng(8)
    label = rng.random(len(made)) < 0.4
    score = np.clip(np.where(label, 0.6, 0.3) + rng.normal(0, np.where(made.variant == "new", 0.1, 0.2)), 0, 1)
    found = audit_log(save(made.assign(label=label, score=score), tmp_path / "log.parquet"), champion="old")[0]
    assert (found.failures, found.status) == (None, Status.PASS)
    worse = made.assign(reward=np.where(made.variant == "new", 0.0, 0.2) + rng.normal(0, 1, len(made)))
    assert audit_log(save(worse, tmp_path / "r.parquet"), champion="old")[0].status is Status.FAIL


def test_several_challengers_are_each_compared_with_the_champion(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    made = frame(9, 30_000).assign(variant=rng.choice(["a", "b", "c"], 30_000, p=[0.6, 0.2, 0.2]))
    found = audit_log(save(made, tmp_path / "log.parquet"))
    assert [(one.champion, one.challenger) for one in found] in ([("a", "b"), ("a", "c")], [("a", "c"), ("a", "b")])
    assert audit_log(tmp_path / "log.parquet", champion="b")[0].champion == "b"


def test_a_champion_is_known_by_its_name_or_majority_or_asked_for(tmp_path: Path) -> None:
    even = frame(12, 1_000)
    with pytest.raises(DataError, match="say --champion"):
        audit_log(save(even, tmp_path / "log.parquet"))
    named = even.assign(variant=even.variant.replace("old", "stable"))
    assert audit_log(save(named, tmp_path / "log.parquet"))[0].champion == "stable"


def test_conclusion_tells_wrong_from_right_from_too_little(several: Path) -> None:
    by_name = {one.rollout: one for one in audit_log(several, champion="old")}
    assert conclusion([by_name["right"]]) == "pass"
    assert conclusion([by_name["right"], by_name["small"]]) == "inconclusive"
    assert conclusion(list(by_name.values())) == "fail"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda made: made.drop(columns="variant"), "no column 'variant'"),
        (lambda made: renamed(made).assign(failed=2), "true or false"),
        (lambda made: renamed(made).assign(failed="maybe"), "not numbers"),
        (lambda made: renamed(made).assign(share=1.5), "between 0 and 1"),
        (lambda made: made.assign(variant="old"), "nothing to compare"),
        (lambda made: renamed(made).assign(decision="perhaps"), "none of promote"),
        (lambda made: made.assign(time=np.nan), "time in every row"),
        (lambda made: made.assign(time="noon"), "not numbers"),
        (lambda made: made.iloc[:0], "no rows"),
    ],
)
def test_a_log_that_cannot_be_read_is_refused_by_its_column(tmp_path: Path, change: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        audit_log(save(change(frame(10, 100)), tmp_path / "log.parquet"))


def test_files_that_are_not_there_or_not_parquet_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        audit_log(tmp_path / "gone.parquet")
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(DataError, match="cannot be read"):
        audit_log(tmp_path / "text.parquet")
    with pytest.raises(DataError, match="has no variant 'blue'"):
        audit_log(save(frame(11, 100), tmp_path / "log.parquet"), champion="blue")
