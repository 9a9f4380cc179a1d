"""Drift of answers: the index, the bets on it, and the judge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivals.decide.judges.drift import Drift
from rivals.errors import SpecError
from rivals.observe.drifting import DriftRules, index, usual
from rivals.observe.evidence import Rules, advance, begin, evidence
from rivals.values import Pair, Rollout, Status, Version

BLOCK = 10.0
ROLLOUT = Rollout("r", "e", Version("old", "a"), Version("new", "b"), (0.5,), 1.0, 1e9, 0.0, 0.0)


def answers(draw: np.random.Generator, rows: int, shift: float = 0.0) -> list[tuple[float, float]]:
    chance = 1 / (1 + np.exp(-draw.normal(shift, 1.0, rows)))
    return [(1 - p, p) for p in chance.tolist()]


HELD = usual(answers(np.random.default_rng(0), 4_000))


def judged(days: int, seed: int, shift: float, both: float = 0.0, rows: int = 200) -> Status:
    """A rollout of so many days: traffic moves both by ``both``, and the challenger by ``shift`` more."""
    draw, state = np.random.default_rng(seed), begin(ROLLOUT)
    rules = Rules(block=BLOCK, drift=DriftRules(HELD, HELD))
    for day in range(days):
        today = both + draw.normal(0, 0.1)
        ours, theirs = answers(draw, rows, today), answers(draw, rows, today + shift)
        pairs = [Pair(f"{day}-{i}/0", day * BLOCK, *said) for i, said in enumerate(zip(ours, theirs, strict=True))]
        state = advance(state, (), [(day * BLOCK, pairs)], (day + 1) * BLOCK, rules)
    return Drift().judge(evidence(state, ROLLOUT, days * BLOCK)).status


def test_the_index_of_what_is_usual_is_small_and_grows_with_the_shift() -> None:
    draw = np.random.default_rng(1)
    found = [index(answers(draw, 2_000, shift), HELD) for shift in (0.0, 0.5, 1.0)]
    assert found[0] < 0.02
    assert 0.1 < found[1] < found[2]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_the_index_is_finite_never_negative_and_small_on_itself(before: list[float], now: list[float]) -> None:
    spread = usual([(1 - p, p) for p in before])
    assert 0 <= index([(1 - p, p) for p in now], spread) < 100
    assert index([(1 - p, p) for p in before], spread) == pytest.approx(0, abs=1e-12)


def test_traffic_that_drifts_for_both_is_nobodys_fault() -> None:
    """Forty rollouts of 40 days on traffic that moved: 5 % would be two; at most five (chance of more: 1 %)."""
    wrong = sum(judged(40, seed, 0.0, both=0.7) is Status.FAIL for seed in range(40))
    assert wrong <= 5


def test_a_challenger_that_drifts_alone_is_found_and_one_that_does_not_passes() -> None:
    assert judged(20, 1, shift=0.8) is Status.FAIL
    assert judged(40, 2, shift=0.0) is Status.PASS
    assert judged(2, 3, shift=0.8) is Status.INCONCLUSIVE


def test_without_held_out_answers_nothing_is_said() -> None:
    verdict = Drift().judge(evidence(begin(ROLLOUT), ROLLOUT, 1.0))
    assert verdict.status is Status.INCONCLUSIVE
    with pytest.raises(SpecError, match="margin"):
        Drift(margin=0)
