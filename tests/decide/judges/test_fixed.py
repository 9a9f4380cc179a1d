"""Looks that were planned: O'Brien and Fleming's test over blocks."""

from __future__ import annotations

import numpy as np
import pytest

from rivals.decide.judges.fixed import Fixed
from rivals.errors import SpecError
from rivals.observe.evidence import Rules, advance, begin, due, evidence
from rivals.statistics.group_sequential import as_normal
from rivals.values import Evidence, Pair, Rollout, Status, Version

BLOCK = 10.0


def looked(**z: float) -> Evidence:
    return Evidence("e", "old", "new", 0.0, estimates={f"quality.z/{n[1:]}": value for n, value in z.items()})


def test_one_look_is_the_test_of_fixed_length() -> None:
    judge = Fixed(blocks=14)
    assert judge.planned == (14,)
    assert judge.judge(looked()).status is Status.INCONCLUSIVE
    assert judge.judge(looked(n14=-1.97)).status is Status.PASS
    assert judge.judge(looked(n14=1.97)).status is Status.FAIL
    assert judge.judge(looked(n14=-1.95)).status is Status.INCONCLUSIVE


def test_early_looks_need_much_more_and_what_a_look_decided_stays_decided() -> None:
    judge = Fixed(blocks=28, looks=4)
    assert judge.planned == (7, 14, 21, 28)
    assert judge.judge(looked(n7=-3.0)).status is Status.INCONCLUSIVE
    assert judge.judge(looked(n7=-3.0, n14=-3.1)).status is Status.PASS
    assert judge.judge(looked(n7=-3.0, n14=-3.1, n21=0.0, n28=0.0)).status is Status.PASS
    told = judge.judge(looked(n7=0.0, n14=0.0, n21=0.0, n28=0.0)).reason
    assert "none to come" in told


def test_looks_that_were_not_planned_count_for_nothing() -> None:
    assert Fixed(blocks=28, looks=4).judge(looked(n8=-9.0, n13=-9.0)).status is Status.INCONCLUSIVE


@pytest.mark.parametrize(("blocks", "looks"), [(0, 1), (3, 2), (14, 0), (14, 21), (14.0, 1)])
def test_a_plan_is_two_blocks_or_more_for_each_look(blocks: int, looks: int) -> None:
    with pytest.raises(SpecError, match="judge fixed"):
        Fixed(blocks=blocks, looks=looks)


def test_the_evidence_looks_when_it_was_planned_and_never_again() -> None:
    """Through the real evidence: identical rivals on 8 blocks of noise, three of them looks."""
    rollout = Rollout("r", "e", Version("old", "a"), Version("new", "b"), (0.5,), 1.0, 1e9, 0.0, 0.0)
    rules, draw = Rules(looks=(2, 5, 8), block=BLOCK, min_pairs=1), np.random.default_rng(5)
    state, means = begin(rollout), list[float]()
    for block in range(8):
        start = block * BLOCK
        label, ours, theirs = int(draw.random() < 0.5), *draw.random(2)
        pair = Pair(f"{block}/0", start, (1 - ours, ours), (1 - theirs, theirs), label)
        means.append((theirs - label) ** 2 - (ours - label) ** 2)
        now = start + BLOCK
        assert due(state, now, rules) == [start]
        state = advance(state, (), [(start, [pair])], now, rules)
    found = evidence(state, rollout, 80.0).estimates
    for n in (2, 5, 8):
        assert found[f"quality.z/{n}"] == pytest.approx(as_normal(np.mean(means[:n]), np.std(means[:n], ddof=1), n))
    assert sum(name.startswith("quality.z") for name in found) == 3


def test_false_alarms_over_all_looks_stay_at_alpha() -> None:
    """4,000 null tests of 4 looks, blocks of normal noise: 5 % are expected to decide; at most 6.1 % may."""
    judge, draw = Fixed(blocks=28, looks=4), np.random.default_rng(11)
    days = draw.normal(size=(4_000, 28))
    wrong = 0
    for one in days:
        z = {f"n{n}": as_normal(one[:n].mean(), one[:n].std(ddof=1), n) for n in judge.planned}
        wrong += judge.judge(looked(**z)).status is not Status.INCONCLUSIVE
    assert 0.035 <= wrong / 4_000 <= 0.061
