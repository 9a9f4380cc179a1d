"""Attribution, by table: what is wrong, and what helps."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from rivals.decide.attribution import Bounds, attribute
from rivals.values import Finding, Quality, Remedy, Trouble

SHIFT = Finding("age", "psi", 0.5, 2.5, 40.0, since=5.0, drifted=True, told="index 0.50")
EMPTY = Finding("age", "unseen", 0.6, 30.0, 400.0, since=6.0, drifted=True, told="missing: 1.0% before, 60.0% now")
FINE = Quality("one", "brier", 0.2, 0.2, 0.201, 0.003, 100, 98, 0.97, 0.5, 0.3, 7.0, 8.0)
BAD = replace(FINE, variant="two", now=0.3, bias=-0.1, log_worse=9.0)
OTHER = replace(FINE, variant="two")
HARD = replace(OTHER, now=0.3, expected=0.29)  # harder rows, and it said so


@pytest.mark.parametrize(
    ("findings", "qualities", "trouble", "remedy"),
    [
        ([], [FINE, OTHER], Trouble.NOTHING, Remedy.IGNORE),
        ([SHIFT], [FINE, OTHER], Trouble.INPUTS, Remedy.IGNORE),
        ([SHIFT], [FINE, HARD], Trouble.INPUTS, Remedy.IGNORE),
        ([SHIFT], [], Trouble.INPUTS, Remedy.IGNORE),
        ([replace(SHIFT, drifted=False)], [FINE], Trouble.NOTHING, Remedy.IGNORE),
        ([], [FINE, BAD], Trouble.VARIANT, Remedy.ROLL_BACK),
        ([SHIFT], [FINE, BAD], Trouble.VARIANT, Remedy.ROLL_BACK),
        ([SHIFT], [replace(BAD, variant="one"), BAD], Trouble.WORLD, Remedy.RETRAIN),
        ([], [replace(BAD, variant="one"), BAD], Trouble.WORLD, Remedy.RETRAIN),
        ([], [replace(FINE, now=0.26, bias=-0.06), BAD], Trouble.WORLD, Remedy.RETRAIN),  # not proven yet, as bad
        ([], [BAD], Trouble.WORLD, Remedy.RETRAIN),
        ([], [replace(FINE, log_biased=9.0, bias=0.2)], Trouble.WORLD, Remedy.RETRAIN),
        ([EMPTY], [replace(BAD, variant="one"), BAD], Trouble.FEATURE, Remedy.IGNORE),
        ([replace(EMPTY, statistic=0.1)], [FINE], Trouble.INPUTS, Remedy.IGNORE),
        ([], [replace(FINE, labelled=20), OTHER], Trouble.LABELS, Remedy.IGNORE),
        ([], [replace(FINE, labelled=0, now=math.nan, usual_labelled=math.nan)], Trouble.NOTHING, Remedy.IGNORE),
    ],
)
def test_what_explains_it(findings: list, qualities: list, trouble: Trouble, remedy: Remedy) -> None:
    cause = attribute(findings, qualities)
    assert cause.trouble is trouble, cause.reason
    assert cause.remedy is remedy
    assert cause.reason


def test_it_names_columns_variants_and_since_when() -> None:
    cause = attribute([SHIFT], [replace(BAD, variant="one"), BAD])
    assert cause.columns == ("age",)
    assert cause.variants == ("one", "two")
    assert cause.since == 5.0
    assert cause.figures["two.now"] == 0.3
    assert "age drifted" in cause.reason


def test_less_proof_is_asked_where_the_budget_says_so() -> None:
    weak = replace(BAD, log_worse=4.0)
    assert attribute([], [weak]).trouble is Trouble.NOTHING
    assert attribute([], [weak], Bounds(proof=3.0)).trouble is Trouble.WORLD
