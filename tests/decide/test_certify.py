"""Rollouts in virtual time, through the real decision code."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from rivals.decide.certify import Course, Measure, Traffic, certify
from rivals.decide.judges.failures import Failures
from rivals.decide.judges.quality import Quality
from rivals.decide.rollout import start
from rivals.observe.evidence import EvidenceState, Rules, advance, begin, due, evidence
from rivals.values import Phase, Version

DAY = 86_400.0
RULES = Rules(block=DAY, label_delay=2 * DAY)


def traffic(challenger: float = 0.0, failing: float = 0.0, rows: int = 150, days: int = 40, seed: int = 1) -> Traffic:
    """Days of traffic; the challenger's answers are off by so much, and fail so often."""
    rng = np.random.default_rng(seed)
    count = rows * days
    chance = rng.uniform(0.1, 0.9, count)
    label = (rng.random(count) < chance).astype(float)
    moment = np.sort(rng.uniform(0, days * DAY, count))
    champion = np.clip(chance + rng.normal(0, 0.2, count), 0, 1)
    return Traffic(
        time=moment,
        label=np.where(rng.random(count) < 0.02, np.nan, label),
        due=moment + rng.uniform(0, DAY, count),
        champion=champion,
        challenger=np.clip(chance + (champion - chance) * challenger, 0, 1),
        champion_failed=rng.random(count) < 0.001,
        challenger_failed=rng.random(count) < max(failing, 0.001),
    )


def course(given: Traffic, seed: int = 1, **changes: Any) -> Course:
    wish: dict[str, Any] = {"steps": (0.05, 0.25), "every": DAY, "deadline": 30 * DAY, "autonomy": "act", **changes}
    names = {"champion": Version("old", "a"), "challenger": Version("new", "b")}
    rollout = start(endpoint="e", now=0.0, base_revision=1, **names, **wish)
    measure: Measure[EvidenceState] = Measure(
        begin=begin,
        due=lambda state, now: due(state, now, RULES),
        advance=lambda state, exposures, blocks, now: advance(state, exposures, blocks, now, RULES),
        evidence=evidence,
        block=RULES.block,
    )
    judges = (Failures(among=2, silence=DAY), Quality(among=2))
    return certify(given, rollout, measure, judges, np.random.default_rng(seed))


def test_a_better_challenger_climbs_and_is_promoted() -> None:
    found = course(traffic(challenger=0.0))
    assert (found.rollout.phase, found.max_share) == (Phase.PROMOTED, 0.25)
    assert found.answered == pytest.approx(150 * 0.30, rel=0.5)  # a day at 5 % and one at 25 %
    assert found.days > 2 + 3


def test_a_worse_challenger_is_rolled_back_from_the_shadow() -> None:
    found = course(traffic(challenger=2.5))
    assert (found.rollout.phase, found.max_share, found.answered, found.extra_loss) == (Phase.ROLLED_BACK, 0, 0, 0)


def test_a_twin_is_held_at_the_deadline() -> None:
    found = course(traffic(challenger=1.0))
    assert (found.rollout.phase, found.max_share) == (Phase.HELD, 0)
    assert found.days == 30


def test_a_challenger_that_fails_is_rolled_back_within_days() -> None:
    found = course(traffic(failing=0.1))
    assert found.rollout.phase is Phase.ROLLED_BACK
    assert found.days < 3
    assert "failures" in found.rollout.reason


def test_the_same_seed_gives_the_same_course() -> None:
    assert course(traffic(), seed=4) == course(traffic(), seed=4)


def test_without_labels_nothing_is_decided() -> None:
    silent = traffic()
    silent.label[:] = np.nan
    assert course(silent).rollout.phase is Phase.HELD


def test_sixty_thousand_rows_take_at_most_three_seconds() -> None:
    given = traffic(challenger=1.0, rows=1_500, days=41)
    began = time.process_time()
    course(given, deadline=40 * DAY)
    assert time.process_time() - began < 3
