"""What a policy or a variant would have earned: near the truth, from the log that another policy left."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from rivals.app.cli import app
from rivals.errors import DataError, RivalsError, SpecError
from rivals.flows.worth import Worth, asked_by, worth
from rivals.values import Exposure, Feedback, Outcome

from .conftest import MONDAY, Site

Sites = Callable[..., Site]
MORE = "  policy: {use: thompson, with: {variants: [old, new], every: 10m}}\n  capture: {features: all}"
EVEN = {"old": 0.6, "new": 0.4}
EARNS = {"old": 0.4, "new": 0.8}


def lived(one: Site, count: int = 1_500, *, rewarded: bool = True, split: dict[str, float] | None = None) -> Site:
    """Decisions of four hours: ``new`` earns 0.8, ``old`` 0.4; or labels, which are 1 in 7 of 10."""
    rng, opens, closes, told, asked, split = Random(2), [], [], [], [], split or EVEN
    for i in range(count):
        name, variant = f"w{i}/0", rng.choices(list(split), list(split.values()))[0]
        at, a = MONDAY + i * 9.6, rng.uniform(-1, 1)
        opens.append(Exposure(name, variant, False, one.name, 1, at, f"w{i}", split))
        closes.append((name, variant, Outcome.OK, 90, (0.5, 0.5)))
        good = rng.random() < EARNS[variant]
        told.append(Feedback(name, reward=float(good)) if rewarded else Feedback(name, int(rng.random() < 0.7)))
        asked.append((name, msgspec.json.encode({"a": a, "b": None, "color": "red"})))
    one.workspace.store.ship("worth", 1, opens, closes, told, asked)
    return one


def valued(one: Site, **wish: Any) -> Worth:
    return worth(one.workspace, wish)


def test_each_estimator_is_near_what_the_variant_earned(site: Sites) -> None:
    found = valued(lived(site(MORE)), variant="new")
    assert (found.by, found.estimates.refused) == ("rewards", "")
    assert [one.name for one in found.estimates.found] == ["ips", "snips", "dr"]
    assert all(one.low <= 0.8 <= one.high for one in found.estimates.found)
    assert found.estimates.logged.value == pytest.approx(0.56, abs=0.04)
    assert "new would have earned 0.8" in found.sentence or "new would have earned 0.7" in found.sentence


def test_weights_are_valued_as_the_mixture_they_are(site: Sites) -> None:
    one = lived(site(MORE))
    found = valued(one, weights={"new": "90%", "old": 0.1})
    assert found.estimates.found[1].value == pytest.approx(0.9 * 0.8 + 0.1 * 0.4, abs=0.05)
    assert valued(one, weights=EVEN).estimates.effective == pytest.approx(1_500)


def test_a_bandit_is_valued_as_it_would_have_learned_on_the_way(site: Sites) -> None:
    """It knows nothing for the first hour and ten minutes: labels take an hour to come."""
    found = valued(lived(site(MORE)), policy={"use": "thompson", "with": {"variants": ["old", "new"], "every": "10m"}})
    assert found.estimates.refused == ""
    assert found.estimates.found[1].value == pytest.approx(0.29 * 0.6 + 0.71 * 0.79, abs=0.06)


def test_rules_on_columns_are_valued_from_what_was_asked(site: Sites) -> None:
    rules = [
        {"when": {"column": "a", "above": 0}, "to": "new"},
        {"when": {"column": "a", "below": 0.0001}, "to": "old"},
    ]
    found = valued(lived(site(MORE)), policy={"use": "match", "with": {"rules": rules}})
    assert found.estimates.found[1].value == pytest.approx(0.6, abs=0.08)


def test_a_variant_that_never_answered_is_asked_where_labels_tell(site: Sites) -> None:
    """Its bundle says sigmoid(0.5 a + ...): its loss is known row by row, and nothing is weighed."""
    found = valued(lived(site(MORE), rewarded=False), variant="third")
    assert (found.by, found.how) == ("labels", "asking it what was asked")
    assert found.estimates.effective == 1_500
    assert found.estimates.logged.value == pytest.approx(0.75)  # half and half, whatever happens
    assert found.estimates.found[0].value > 0.7


def test_a_variant_that_never_answered_is_valued_by_decisions_it_would_have_made_alike(site: Sites) -> None:
    found = valued(lived(site(MORE)), variant="third")
    assert found.how == "rewards of decisions it would have made alike"
    assert found.estimates.refused == ""
    assert 0.4 < found.estimates.found[1].value < 0.8


def test_a_log_without_overlap_is_refused(site: Sites) -> None:
    found = valued(lived(site(MORE), split={"old": 0.99, "new": 0.01}), variant="new")
    assert "100 are needed" in found.estimates.refused
    assert "cannot be valued" in found.sentence


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({"variant": "nwe"}, "Did you mean 'new'"),
        ({"weights": {"new": "90%"}}, "sum to 100 %"),
        ({"weights": {"new": "most"}}, "not a share"),
        ({"weights": {"new": -1, "old": 2}}, "from 0 up"),
        ({"policy": {"uze": "split"}}, "keys use and with"),
        ({"policy": {"use": "thompson", "with": {"variants": ["old", "nwe"]}}}, "Did you mean 'new'"),
        (
            {"policy": {"use": "match", "with": {"rules": [{"when": {"header": "X", "is": "y"}, "to": "new"}]}}},
            "not kept",
        ),
    ],
)
def test_what_asks_for_nothing_that_is_is_refused(site: Sites, wish: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RivalsError, match=sentence):
        valued(lived(site(MORE), 60), **wish)


def test_nothing_told_is_nothing_to_value_by(site: Sites) -> None:
    with pytest.raises(DataError, match="nothing to value by"):
        valued(site(MORE), weights=EVEN)


def test_the_command_says_it_and_exits_by_it(site: Sites, tmp_path: Path) -> None:
    one = lived(site(MORE))
    file = tmp_path / "other.yaml"
    file.write_text("variant: new\n")
    words = ["replay", "-f", str(one.workspace.file), "--policy", str(file)]
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, "snips" in done.output) == (0, True), done.output
    told = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert told["estimates"]["rows"] == 1_500
    file.write_text("variant: new\nsteps: [10%]\n")
    with pytest.raises(SpecError, match="and nothing else"):
        asked_by(file)
    file.write_text("steps: [10%]\n")
    assert asked_by(file) is None
