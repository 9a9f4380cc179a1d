"""Which judges a rollout has, and what they share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from rivals.decide.judges.latency import Latency
from rivals.decide.judges.quality import Quality
from rivals.decide.judges.ratio import Ratio
from rivals.decide.judges.slices import Slices
from rivals.decide.rollout import start
from rivals.flows.judges import ANSWERS, agreed, agreement, among, judges_of, reward_rules, slow_ms, wished
from rivals.flows.workspace import Workspace
from rivals.observe.guardrails import RewardRules
from rivals.spec.project import ProjectSpec
from rivals.values import Exposure, Outcome, Version


def workspace(folder: Path, **rollout: Any) -> Workspace:
    spec = ProjectSpec.model_validate(
        {
            "project": "p",
            "data": {"source": "csv", "task": "binary", "target": "y"},
            "variants": [{"name": "a", "family": "sklearn"}],
            "endpoint": {"name": "e", "rollout": rollout},
        }
    )
    return Workspace(spec, folder / "rivals.yaml")


def test_judges_that_can_end_a_rollout_share_alpha_and_the_split_takes_none(tmp_path: Path) -> None:
    bench = workspace(tmp_path, risk={"alpha": 0.1})
    judges = judges_of(bench)
    assert judges[1:] == [Quality(alpha=0.1, among=2), Ratio(alpha=0.001)]
    assert among(bench) == 2


def test_a_rollout_keeps_the_judges_it_began_with_and_a_budgets_alpha_goes_before_their_own(tmp_path: Path) -> None:
    bench = workspace(tmp_path, judges=[{"use": "quality", "with": {"alpha": 0.01}}, "ratio"])
    begun = start(
        endpoint="e", champion=Version("a", "1"), challenger=Version("b", "2"), steps=(0.1,), every=1.0, deadline=9.0,
        autonomy="act", now=0.0, base_revision=1,
    )  # fmt: skip
    with bench.store.transaction() as tx:
        tx.put_state(agreement(begun), msgspec.json.encode(wished(bench)))
    later = workspace(tmp_path, judges=["failures"])
    assert agreed(later, begun) == judges_of(bench) == [Quality(alpha=0.01), Ratio()]
    assert agreed(later, begun, 0.02) == [Quality(alpha=0.02), Ratio()]


def test_declared_slices_are_judged_without_being_named_and_once(tmp_path: Path) -> None:
    assert judges_of(workspace(tmp_path, slices=["carrier"]))[-1] == Slices(among=3)
    named = workspace(tmp_path, slices=["carrier"], judges=[{"use": "slices", "with": {"least": 0.1}}])
    assert judges_of(named) == [Slices(least=0.1, among=1)]


def test_a_reward_judge_brings_its_range(tmp_path: Path) -> None:
    options = {"low": 0, "high": 20, "margin": 0.5}
    assert reward_rules(workspace(tmp_path, judges=[{"use": "reward", "with": options}])) == RewardRules(0, 20, 0.5)
    assert reward_rules(workspace(tmp_path)) is None


def test_what_is_slow_is_stated_or_the_champions_own(tmp_path: Path) -> None:
    bench = workspace(tmp_path, judges=["latency"])
    assert judges_of(bench) == [Latency()]
    assert slow_ms(bench, "a") is None
    opens = [
        Exposure(f"{n}/0", "a", False, "e", 1, 1.0, "u", {"a": 1.0}, Outcome.OK, 1_000 * (n + 1), (1.0,))
        for n in range(ANSWERS[0])
    ]
    bench.store.ship("j", 1, opens, [], [])
    assert slow_ms(bench, "a") == 198.0
    assert slow_ms(workspace(tmp_path, judges=[{"use": "latency", "with": {"p99_ms": 7}}]), "a") == 7.0
    assert slow_ms(workspace(tmp_path), "a") is None


@pytest.mark.parametrize("slices", [["a", "b", "c", "d", "e"], "carrier"])
def test_slices_are_a_few_columns(tmp_path: Path, slices: object) -> None:
    with pytest.raises(ValueError, match="slices"):
        workspace(tmp_path, slices=slices)
