"""The test of two proportions, and what looking often makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from rivals.decide.rules.look import Arms, Look, Tally
from rivals.decide.rules.peeking import Peeking, stratified, z
from rivals.values import Status


def arms(champion: tuple[int, int], challenger: tuple[int, int]) -> Arms:
    return Arms(Tally(*champion), Tally(*challenger))


def test_ten_against_twenty_in_a_hundred() -> None:
    assert z((100, 10), (100, 20)) == pytest.approx(0.1 / np.sqrt(0.15 * 0.85 / 50))  # 1.980
    rule = Peeking()
    _, status = rule.look(rule.begin(), Look(0.5, arms((100, 10), (100, 20))))
    assert status is Status.FAIL
    rule = Peeking(alpha=0.02)  # 2.054
    assert rule.look(rule.begin(), Look(0.5, arms((100, 10), (100, 20))))[1] is Status.PASS


def test_nothing_met_and_nothing_failed_say_nothing() -> None:
    assert z((0, 0), (100, 20)) == z((100, 0), (100, 0)) == z((5, 5), (3, 3)) == 0


def test_counts_add_up_from_look_to_look() -> None:
    rule, look = Peeking(), Look(0.5, arms((50, 5), (50, 10)))
    memory, first = rule.look(rule.begin(), look)
    assert (first, rule.look(memory, look)[1]) == (Status.PASS, Status.FAIL)


def test_by_step_a_ramp_does_not_mix_with_the_day() -> None:
    # 4 % against 8 %, then 1 % against 2 % at ten times the share: pooled, the challenger looks better
    early, late = arms((9_500, 380), (500, 40)), arms((5_000, 50), (5_000, 100))
    assert stratified([early + late]) < 0
    assert stratified([early, late]) > 4


def test_daily_looks_are_a_day_apart() -> None:
    rule, look = Peeking(interval=2), Look(0.5, arms((100, 10), (100, 40)))
    memory, first = rule.look(rule.begin(), look)
    assert (first, rule.look(memory, look)[1]) == (Status.INCONCLUSIVE, Status.FAIL)


def test_looking_a_hundred_times_rolls_equals_back_far_more_often_than_alpha() -> None:
    """One-sided 5 %, 100 looks: 24 % in theory (Armitage et al., one side). 400 runs; below 60 by chance: 1e-5."""
    rng, rule, back = np.random.default_rng(7), Peeking(), 0
    for _ in range(400):
        memory = rule.begin()
        for bad in rng.binomial(200, 0.1, (100, 2)).tolist():
            memory, status = rule.look(memory, Look(0.5, arms((200, bad[0]), (200, bad[1]))))
            if status is Status.FAIL:
                back += 1
                break
    print(f"rolled back {back} of 400 equals")
    assert back >= 60
