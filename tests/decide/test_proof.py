"""How one alpha is shared."""

from __future__ import annotations

import math

import pytest

from rivals.decide.proof import Budget


@pytest.mark.parametrize(
    ("among", "ways", "proof", "against"), [(1, 1, 20, 20), (2, 1, 20, 40), (1, 2, 40, 40), (3, 2, 40, 120)]
)
def test_alpha_is_shared_among_judges_against_and_among_ways_both_ways(
    among: int, ways: int, proof: int, against: int
) -> None:
    budget = Budget("any", 0.05, among, ways)
    assert math.exp(budget.proof) == pytest.approx(proof)
    assert math.exp(budget.against) == pytest.approx(against)
