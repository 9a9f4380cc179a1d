"""V9: six guardrails at once, through the real evidence and the real judges, at 5 % for the whole rollout.

A run is a canary at an even split over 25 blocks of 60 requests, judged after every block; a block has shocks that its
rows share. A false promotion is a PASS at any look while one guardrail is exactly at its margin and the others are
clearly good, a false rollback a FAIL at any look while all are equal. Where a test allows 5 % + 2.33 standard errors, a
rate of exactly 5 % would fail it once in a hundred seeds.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from rivals.decide.analysis import analyse
from rivals.decide.judges.failures import Failures
from rivals.decide.judges.latency import Latency
from rivals.decide.judges.quality import Quality
from rivals.decide.judges.ratio import Ratio
from rivals.decide.judges.reward import Reward
from rivals.decide.judges.slices import Slices
from rivals.observe.evidence import Rules, advance, begin, evidence
from rivals.observe.guardrails import RewardRules
from rivals.values import Exposure, Outcome, Pair, Phase, Rewarded, Rollout, Status, Version

BLOCKS, ROWS, BLOCK = 25, 60, 3_600.0
RULES = Rules(
    margin=0.5, limit=0.3, slow_limit=0.54, quality_margin=0.02, slice_margin=0.04, block=BLOCK,
    reward=RewardRules(0.0, 1.0, 0.1),
)  # fmt: skip
ROLLOUT = replace(
    Rollout("r", "e", Version("old", "a"), Version("new", "b"), (0.5,), 1.0, 1e9, started=0.0, changed=0.0),
    phase=Phase.CANARY,
    step=0,
)
AMONG = 5  # the sixth, the split, rolls nothing back
JUDGES = (
    Failures(among=AMONG, silence=math.inf),
    Quality("not_worse", among=AMONG),
    Latency(among=AMONG),
    Reward(margin=0.1, among=AMONG),
    Slices(among=AMONG),
    Ratio(),
)
EVEN = {"old": 0.5, "new": 0.5}
GUARDRAILS = ("failures", "latency", "quality", "slices", "reward")
EQUAL = {"failures": 0.2, "latency": 0.2, "quality": 0.0, "slices": 0.0, "reward": 0.5}
GOOD = {"failures": 0.04, "latency": 0.04, "quality": -0.05, "slices": -0.05, "reward": 0.7}
MARGIN = {"failures": 0.3, "latency": 0.3, "quality": 0.02, "slices": 0.04, "reward": 0.4}


def block(rng: np.random.Generator, start: float, truth: dict[str, float]) -> tuple[list, list, list]:
    """One block's exposures, pairs and rewards; ``truth`` is how the challenger is."""
    theirs = rng.random(ROWS) < 0.5
    failed = rng.random(ROWS) < np.where(theirs, truth["failures"], 0.2)
    slow = rng.random(ROWS) < np.where(theirs, truth["latency"], 0.2)
    bought = rng.random(ROWS) < np.where(theirs, truth["reward"], 0.5)
    in_slice = rng.random(ROWS) < 0.5
    shock = rng.normal(0, 0.02)
    off = np.where(in_slice, truth["slices"], 2 * truth["quality"] - truth["slices"]) + shock
    off = np.clip(off + rng.normal(0, 0.1, ROWS), -0.25, 0.75)
    likely = 1 - np.sqrt(0.25 + off)  # of the label that came, so that Brier scores differ by just so much
    exposures, pairs, rewards = [], [], []
    for row in range(ROWS):
        name, when = f"{start:.0f}-{row}", start + row
        who = "new" if theirs[row] else "old"
        outcome = Outcome.ERROR if failed[row] else Outcome.OK
        # A failed question is slow as well; so that each guardrail has a rate of its own, time counts the others.
        exposures.append(
            Exposure(f"{name}/0", who, False, "e", 1, when, name, EVEN, outcome, 20_000 if slow[row] else 1_000)
        )
        slices = ("s=a",) if in_slice[row] else ("s=b",)
        p = float(likely[row])
        pairs.append(Pair(f"{name}/0", when, (0.5, 0.5), (1 - p, p), 1, slices))
        rewards.append(Rewarded(f"{name}/0", name, who, when, EVEN, float(bought[row])))
    return exposures, pairs, rewards


def verdicts(rng: np.random.Generator, truth: dict[str, float]) -> set[Status]:
    """Every status that a rollout had, one look per block."""
    state, found = begin(ROLLOUT, tau_ms=10.0), set()
    for number in range(BLOCKS):
        start, now = number * BLOCK, (number + 1) * BLOCK
        exposures, pairs, rewards = block(rng, start, truth)
        state = advance(state, exposures, [(start, pairs)], now, RULES, rewards={start: rewards})
        found.add(analyse(evidence(state, ROLLOUT, now), JUDGES).status)
    return found


def at_margin(name: str) -> dict[str, float]:
    truth = {**GOOD, name: MARGIN[name]}
    if name == "quality":  # at its margin overall, which both slices then share
        truth["slices"] = truth["quality"]
    if name == "latency":  # slow is slow or failed: 0.3 in all against 0.36, so that the ratio is at the margin
        truth["latency"] = (1.5 * 0.36 - truth["failures"]) / (1 - truth["failures"])
    if name == "failures":
        truth["latency"] = 0.0
    return truth


def allowed(runs: int) -> float:
    return 0.05 + 2.33 * math.sqrt(0.05 * 0.95 / runs)


def false_promotions(name: str, runs: int) -> int:
    rng = np.random.default_rng([9, GUARDRAILS.index(name)])
    return sum(Status.PASS in verdicts(rng, at_margin(name)) for _ in range(runs))


def test_one_guardrail_at_its_margin_is_rarely_promoted() -> None:
    """8 runs for each of the five that have a margin; 300 each in the slow suite."""
    assert sum(false_promotions(name, 8) for name in GUARDRAILS) / 40 <= allowed(40)


def test_a_challenger_equal_in_everything_is_rarely_rolled_back() -> None:
    rng = np.random.default_rng(90)
    assert np.mean([Status.FAIL in verdicts(rng, EQUAL) for _ in range(30)]) <= allowed(30)


def test_a_challenger_good_in_everything_passes_every_judge() -> None:
    rng = np.random.default_rng(91)
    found = [verdicts(rng, GOOD) for _ in range(8)]
    assert all(Status.FAIL not in one for one in found)
    assert sum(Status.PASS in one for one in found) >= 6


@pytest.mark.slow
@pytest.mark.parametrize("name", GUARDRAILS)
def test_each_guardrail_at_its_margin_is_rarely_promoted(name: str) -> None:
    assert false_promotions(name, 300) / 300 <= allowed(300)


@pytest.mark.slow
def test_six_equal_guardrails_are_rarely_rolled_back() -> None:
    rng = np.random.default_rng(92)
    assert np.mean([Status.FAIL in verdicts(rng, EQUAL) for _ in range(300)]) <= allowed(300)
