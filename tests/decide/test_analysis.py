"""The worst answer counts."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import pytest

from rivals.decide.analysis import ORDER, analyse
from rivals.values import Evidence, Status, Verdict

EVIDENCE = Evidence("e", "old", "new", 0.0)


@dataclass
class Says:
    name: str
    status: Status
    figures: dict[str, float] = field(default_factory=dict)

    def judge(self, _: Evidence) -> Verdict:
        return Verdict(self.name, self.status, f"{self.status.value} it is", self.figures)


@pytest.mark.parametrize("pair", itertools.product(Status, Status))
def test_fail_beats_error_beats_inconclusive_beats_pass(pair: tuple[Status, Status]) -> None:
    verdict = analyse(EVIDENCE, [Says("a", pair[0]), Says("b", pair[1])])
    assert verdict.status is max(pair, key=ORDER.index)


def test_the_reasons_of_the_worst_are_joined_and_all_figures_kept() -> None:
    judges = [Says("a", Status.FAIL, {"x": 1.0}), Says("b", Status.PASS, {"x": 2.0}), Says("c", Status.FAIL)]
    verdict = analyse(EVIDENCE, judges)
    assert verdict.reason == "a: fail it is; c: fail it is"
    assert verdict.figures == {"a.x": 1.0, "b.x": 2.0}


def test_silence_and_strange_figures_are_inconclusive() -> None:
    assert analyse(EVIDENCE, []).status is Status.INCONCLUSIVE
    strange = analyse(EVIDENCE, [Says("a", Status.PASS, {"x": math.nan})])
    assert strange.status is Status.INCONCLUSIVE
    assert "x is not a number" in strange.reason
    assert analyse(EVIDENCE, [Says("a", Status.FAIL, {"x": math.nan})]).status is Status.FAIL
