import json
from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivals.errors import RivalsError
from rivals.statistics.assignment import reweight, slot, slots
from rivals.statistics.layers import exported, held_out, layer_ranges, member
from rivals.values import Arm, RoutingTable

ARMS = ("a", "b", "c")
UNITS = [f"unit-{number}" for number in range(3_000)]


def test_the_export_is_followed_by_a_stranger_to_the_same_arms() -> None:
    owners = reweight(slots([0.7, 0.3]), ["a", "b"], ARMS, [0.5, 0.3, 0.2])
    table = RoutingTable("e", 3, "a", tuple(Arm(name, name, 1) for name in ARMS), "pepper", owners)
    said = json.loads(json.dumps(exported(table)))
    owned = [arm for arm, length in said["runs"] for _ in range(length)]
    assert len(owned) == said["slots"]
    for unit in UNITS:
        digest = blake2b(unit.encode("utf-8"), key=said["salt"].encode("utf-8"), digest_size=8).hexdigest()
        assert said["arms"][owned[int(digest, 16) % said["slots"]]] == ARMS[owners[slot("pepper", unit)]]


@given(st.lists(st.floats(0, 0.33), min_size=1, max_size=3))
def test_experiments_of_a_layer_share_no_slot(shares: list[float]) -> None:
    ranges = layer_ranges(ARMS[: len(shares)], shares)
    taken = [number for owned in ranges.values() for number in owned]
    assert len(taken) == len(set(taken))


def test_a_unit_is_in_the_experiment_that_owns_its_slot() -> None:
    ranges = layer_ranges(["a", "b"], [0.5, 0.25])
    for unit in UNITS:
        name, number = member("layer", unit, ranges), slot("layer", unit)
        assert name == ("a" if number < 5_000 else "b" if number < 7_500 else None)


def test_a_larger_holdout_keeps_everybody_who_was_held_out() -> None:
    small = {unit for unit in UNITS if held_out("holdout", unit, 0.01)}
    assert small
    assert small <= {unit for unit in UNITS if held_out("holdout", unit, 0.05)}


def test_shares_of_more_than_all_are_refused() -> None:
    with pytest.raises(RivalsError, match="at most 100%"):
        layer_ranges(["a", "b"], [0.8, 0.3])


@pytest.mark.parametrize("units", [50_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_a_hundred_reweights_move_no_more_than_they_must(units: int) -> None:
    # The least possible, twice: by the weights asked for, over slots; and by what the arms have of these very units.
    # Of 1,000,000 units a share is off its weight by 0.05 points (sd) by chance, so the two are not mixed.
    rng = np.random.default_rng(7)
    owned = np.array([slot("pepper", f"unit-{number}") for number in range(units)])
    weights = rng.dirichlet([1.0] * 3)
    owners, by_slot, by_unit, mixed = slots(list(weights)), 0.0, 0.0, 0.0
    for _ in range(100):
        fresh = rng.dirichlet([1.0] * 3)
        after = reweight(owners, ARMS, ARMS, list(fresh))
        old, new = np.frombuffer(owners, np.uint8), np.frombuffer(after, np.uint8)
        least = float(np.maximum(weights - fresh, 0).sum())
        moved = float((old[owned] != new[owned]).mean())
        had, has = (np.bincount(one[owned], minlength=3) / units for one in (old, new))
        by_slot = max(by_slot, abs(float((old != new).mean()) - least))
        by_unit = max(by_unit, moved - float(np.maximum(had - has, 0).sum()))
        mixed = max(mixed, abs(moved - least))
        owners, weights = after, fresh
    print(f"{units} units, points above the least: {by_slot * 100:.4f} by slot, {by_unit * 100:.4f} by unit")
    print(f"units moved beside the weights' least, chance included: {mixed * 100:.4f}")
    assert by_slot <= 0.001
    assert by_unit <= 0.001
