"""Slots: sticky, true to the weights, and moved no more than needed."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from rivals.errors import RivalsError
from rivals.statistics.assignment import counts, reweight, slot, slots
from rivals.values import SLOTS

weights = st.lists(st.floats(0, 1e6), min_size=1, max_size=12).filter(lambda some: sum(some) > 1e-9)
names = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6, unique=True)


def test_a_slot_never_changes_not_even_between_releases() -> None:
    assert [slot("pepper", unit) for unit in ("", "7", "Ångström", "漢字")] == [1862, 74, 4122, 3042]


def test_a_slot_is_the_same_in_another_process() -> None:
    units = [f"unit {number}" for number in range(200)]
    code = f"from rivals.statistics.assignment import slot; print([slot('s', unit) for unit in {units!r}])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == str([slot("s", unit) for unit in units])


@pytest.mark.parametrize("salt", [f"salt-{number}" for number in range(20)])
def test_units_follow_the_weights(salt: str) -> None:
    """20 fixed salts: a right hash fails one of them with probability 20 * 1e-4 = 0.2 %, and then always."""
    shares = [0.6, 0.25, 0.1, 0.05]
    owners = slots(shares)
    met = Counter(owners[slot(salt, f"user-{number}")] for number in range(100_000))
    assert chisquare([met[arm] for arm in range(4)], [share * 100_000 for share in shares]).pvalue > 1e-4


def test_salts_are_independent() -> None:
    """Two salts split 50/50 agree on half of 100,000 units, within six standard deviations (false alarm 2e-9)."""
    agree = sum((slot("a", str(unit)) < 5_000) == (slot("b", str(unit)) < 5_000) for unit in range(100_000))
    assert abs(agree - 50_000) < 6 * math.sqrt(25_000)


@given(weights)
@settings(max_examples=60)
def test_counts_are_within_one_of_the_exact_share_and_add_up(some: list[float]) -> None:
    given_out = counts(some)
    assert sum(given_out) == SLOTS
    for count, weight in zip(given_out, some, strict=True):
        assert abs(count - weight / math.fsum(some) * SLOTS) <= 1 + 1e-6


@given(names, names, st.data())
@settings(max_examples=60)
def test_reweighting_moves_as_few_slots_as_can_be(old: list[str], new: list[str], data: st.DataObject) -> None:
    shares = st.lists(st.floats(0.01, 1), min_size=len(old), max_size=len(old))
    before = slots(data.draw(shares))
    shares = st.lists(st.floats(0, 1), min_size=len(new), max_size=len(new)).filter(lambda some: sum(some) > 0.01)
    asked = data.draw(shares)
    after = reweight(before, old, new, asked)
    target = dict(zip(new, counts(asked), strict=True))
    assert Counter(new[owner] for owner in after) == Counter({name: n for name, n in target.items() if n})
    held = Counter(old[owner] for owner in before)
    least = sum(max(0, count - target.get(name, 0)) for name, count in held.items())
    moved = sum(old[one] != new[other] for one, other in zip(before, after, strict=True))
    assert moved == least


def test_a_growing_canary_keeps_the_units_it_has() -> None:
    before = slots([1.0])
    names, met = ["champion"], set[int]()
    for share in (0.01, 0.05, 0.25, 0.5):
        before = reweight(before, names, ["champion", "challenger"], [1 - share, share])
        names = ["champion", "challenger"]
        now = {number for number, owner in enumerate(before) if owner == 1}
        assert met <= now
        assert len(now) == share * SLOTS
        met = now


@pytest.mark.parametrize("wrong", [[], [0.0, 0.0], [-1.0, 2.0], [math.nan], [math.inf], [1.0] * 256])
def test_what_is_no_share_is_refused(wrong: list[float]) -> None:
    with pytest.raises(RivalsError, match="not shares"):
        slots(wrong)


def test_arms_and_weights_must_fit() -> None:
    with pytest.raises(RivalsError, match="one weight"):
        reweight(slots([1.0]), ["a"], ["a", "a"], [0.5, 0.5])
