"""The replays of real flight days, reduced: ``benchmarks/prove_replays.py`` makes 200 of each."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from rivals.values import Phase

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
REPLAYS = 40


@pytest.fixture(scope="module")
def replays() -> ModuleType:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return __import__("prove_replays")
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "least", "most"),
    [
        ("sabotaged", 34, REPLAYS),  # where 95 % are caught, 33 or fewer of 40 happen once in 300
        ("one slice", 22, REPLAYS),  # where 75 %, 21 or fewer: once in 500
        ("twin", 0, 9),  # where 9 % are rolled back, 10 or more: once in 400
    ],
)
def test_forty_replays_keep_what_two_hundred_promise(replays: ModuleType, case: str, least: int, most: int) -> None:
    phases = [replays.replay(case, number).rollout.phase for number in range(REPLAYS)]
    back = phases.count(Phase.ROLLED_BACK)
    print(f"{case}: {back} of {REPLAYS} rolled back")
    assert least <= back <= most
    assert Phase.PROMOTED not in phases
