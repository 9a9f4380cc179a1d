"""The rules, held to their unit tests by Prometheus' own tool; and those tests bite."""

from __future__ import annotations

import copy
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from rivals.observe.monitoring.prometheus import alertmanager, prometheus
from rivals.observe.monitoring.proofs import proofs
from rivals.observe.monitoring.rules import Promise, rules
from tests.parts import part


def tool(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def written(folder: Path, made: dict[str, Any], promise: Promise) -> Path:
    (folder / "rules.yml").write_text(yaml.safe_dump(made))
    (folder / "rules_test.yml").write_text(yaml.safe_dump(proofs("rules.yml", promise)))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(prometheus("127.0.0.1:1", "127.0.0.1:2")))
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(alertmanager("http://127.0.0.1:3/hook")))
    return folder


@pytest.mark.parametrize("promise", [Promise(), Promise(0.99, 0.05, 6.0)])
def test_promtool_finds_nothing_wrong(tmp_path: Path, promise: Promise) -> None:
    folder, promtool = written(tmp_path, rules(promise), promise), part("promtool")
    for words in (
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "rules.yml"),
        ("test", "rules", "rules_test.yml"),
    ):
        done = tool(folder, promtool, *words)
        assert done.returncode == 0, done.stdout + done.stderr


def test_amtool_finds_nothing_wrong(tmp_path: Path) -> None:
    done = tool(written(tmp_path, rules(Promise()), Promise()), part("amtool"), "check-config", "alertmanager.yml")
    assert done.returncode == 0, done.stderr


def test_whoever_has_no_address_tells_nobody() -> None:
    assert alertmanager(None)["receivers"] == [{"name": "pages"}, {"name": "tickets"}]


def spoilt(name: str, old: str, new: str) -> dict[str, Any]:
    made = copy.deepcopy(rules(Promise()))
    every = [rule for group in made["groups"] for rule in group["rules"]]
    for one in [rule for rule in every if rule.get("alert") == name or rule.get("record", "").startswith(name)]:
        assert old in one["expr"]
        one["expr"] = one["expr"].replace(old, new)
    assert made != rules(Promise())
    return made


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("RivalsAvailabilityBurns", "missed", "lost"),
        ("RivalsAvailabilityBurns", ">= 1000", ">= 0"),
        ("RivalsAvailabilityBurnsSlowly", "> 0.001", "> 0.005"),
        ("RivalsLatencyBurns", "missed", "lost"),
        ("RivalsObjectiveMissed", "< 1000", "< 1e9"),
        ("RivalsObjectiveMissed", ">= 13", ">= 1"),
        ("RivalsChallengerHarms", ">=", "<"),
        ("RivalsControlAway", "> 120", "> 1e6"),
        ("RivalsDown", "== 0", "== 2"),
        ("rivals:availability:missed", "stand_in", "lease"),
        ("rivals:availability:missed", "busy|", ""),
    ],
)
def test_a_wrong_rule_is_found(tmp_path: Path, name: str, old: str, new: str) -> None:
    done = tool(
        written(tmp_path, spoilt(name, old, new), Promise()), part("promtool"), "test", "rules", "rules_test.yml"
    )
    assert done.returncode != 0, done.stdout
