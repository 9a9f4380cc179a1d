"""Units that no rollout touches: the holdout and the layer, from the project file to the answer and the export."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import pytest

from rivals.errors import RivalsError
from rivals.flows.operators import pin
from rivals.flows.rollout import steer
from rivals.flows.serve import first_table
from rivals.flows.status import assignment_of
from rivals.flows.verify import verify_ledger
from rivals.statistics.assignment import slot
from rivals.statistics.layers import apart
from tests.flows.conftest import Site

Sites = Callable[..., Site]
UNITS = [f"unit-{number}" for number in range(10_000)]


def recomputed(said: dict[str, Any], unit: str) -> str:
    """Who meets a unit, from the export alone: the recipe of docs/assignment.md, and nothing of rivals."""

    def slot_of(salt: str) -> int:
        digest = blake2b(unit.encode("utf-8"), key=salt.encode("utf-8"), digest_size=8).digest()
        return int.from_bytes(digest, "big") % said["slots"]

    holdout, layer = said["holdout"], said["layer"]
    if holdout and slot_of(holdout["salt"]) < holdout["slots"]:
        return str(holdout["variant"])
    if layer and not layer["start"] <= slot_of(layer["name"]) < layer["end"]:
        return str(said["champion"])
    number = slot_of(said["salt"])
    for arm, length in said["runs"]:
        if number < length:
            return str(said["arms"][arm])
        number -= length
    raise AssertionError("the runs own every slot")


def test_the_export_is_followed_by_twenty_lines_of_a_stranger(site: Sites) -> None:
    one = site("  holdout: 5%\n  layer: {name: checkout, from: 20%, to: 80%}")
    one.start()
    steer(one.workspace, "advance")
    table = one.workspace.table()
    assert len(table.arms) == 2
    said = json.loads(json.dumps(assignment_of(one.workspace)))
    met = [recomputed(said, unit) for unit in UNITS]
    for unit, variant in zip(UNITS, met, strict=True):
        aside = apart(table, unit)
        owner = table.arms[table.slots[slot(table.salt, unit)]].variant
        assert variant == (aside[0] if aside else owner)
    assert met.count("new") / len(UNITS) == pytest.approx(0.95 * 0.6 * 0.5, abs=0.02)


def test_the_holdout_keeps_its_variant_and_its_units_through_a_promotion(site: Sites) -> None:
    one = site("  holdout: 5%")
    before = one.workspace.table().holdout
    assert before is not None
    assert before.variant == "old"
    one.start()
    steer(one.workspace, "promote")
    table = one.workspace.table()
    assert (table.champion, table.holdout) == ("new", before)
    held = [unit for unit in UNITS if apart(table, unit) == ("old", "holdout")]
    assert len(held) / len(UNITS) == pytest.approx(0.05, abs=0.01)
    pin(one.workspace, "third", by="ann")
    after = one.workspace.table()
    assert after.holdout is not None
    assert (after.holdout.variant, after.holdout.salt) == ("third", before.salt)
    verify_ledger(one.workspace)


def test_endpoints_of_one_store_hold_out_the_same_units(site: Sites) -> None:
    one, two = site("  holdout: 5%"), site("  holdout: 5%", name="other")
    tables = [each.workspace.table() for each in (one, two)]
    assert [bool(apart(tables[0], unit)) for unit in UNITS] == [bool(apart(tables[1], unit)) for unit in UNITS]


def test_no_unit_may_be_in_two_rollouts_of_one_layer(site: Sites) -> None:
    site("  layer: {name: page, from: 0%, to: 50%}")
    with pytest.raises(RivalsError, match=r"'toy' has 0.00% to 50.00% of layer 'page'"):
        site("  layer: {name: page, from: 40%, to: 100%}", name="other")
    two = site("  layer: {name: page, from: 50%, to: 100%}", name="third")
    both = [unit for unit in UNITS if slot("page", unit) >= 5_000]
    assert [unit for unit in UNITS if apart(two.workspace.table(), unit) is None] == both


@pytest.mark.parametrize("now", ["", "  layer: {name: basket, from: 0%, to: 50%}"], ids=["no layer", "another layer"])
def test_a_part_of_a_layer_that_is_given_up_is_free_for_others(site: Sites, now: str) -> None:
    whole = "  layer: {name: page, from: 0%, to: 100%}"
    site(whole)
    with pytest.raises(RivalsError, match="'toy' has"):
        site(whole, name="other")
    first_table(site(now, preflight=False).workspace)
    other = site(whole, name="other").workspace.table().layer
    assert (other and other.name, other and other.end) == ("page", 10_000)
    with pytest.raises(RivalsError, match="'other' has"):
        first_table(site(whole, preflight=False).workspace)


def test_a_changed_project_file_is_followed_when_it_is_served_again(site: Sites) -> None:
    one = site()
    assert one.workspace.table().holdout is None
    again = site("  holdout: 1%", preflight=False)
    table = first_table(again.workspace)
    assert table.revision == 2
    assert table.holdout is not None
    assert first_table(again.workspace) == table
    verify_ledger(again.workspace)
