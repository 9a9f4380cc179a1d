"""A chain of champions, each not worse than the last, cannot drift away from what a person approved."""

from __future__ import annotations

import numpy as np
import pytest

from rivals.decide.compare import Entry, Truth
from rivals.decide.reference import not_worse
from rivals.errors import DataError
from rivals.statistics.losses import brier
from rivals.values import Status

DAY = 86_400.0
ROWS, MARGIN, LINKS = 60_000, 0.002, 12


def rows(seed: int = 5) -> tuple[Truth, np.ndarray]:
    rng = np.random.default_rng(seed)
    chance = rng.beta(2, 3, ROWS)
    target = (rng.random(ROWS) < chance).astype(float)
    return Truth(target, time=np.arange(ROWS) * 60 * DAY / ROWS), chance


def worse_by(chance: np.ndarray, much: float) -> Entry:
    """Probabilities whose expected Brier score is worse than the best by ``much``; they err on the same rows."""
    noise = np.random.default_rng(3).choice([-1.0, 1.0], len(chance)) * np.sqrt(much)
    told = np.clip(chance + noise, 0, 1)
    return Entry("one", np.column_stack([1 - told, told]))


def chain(truth: Truth, chance: np.ndarray, *, pinned: bool) -> float:
    """How much worse the last champion of a chain is, each worse than the one before by two thirds of the margin."""
    reference = champion = worse_by(chance, 0.0)
    drift = 0.0
    for _ in range(LINKS):
        challenger = worse_by(chance, drift + MARGIN * 2 / 3)
        if not_worse(champion, challenger, truth, brier, MARGIN).status is not Status.PASS:
            continue
        if pinned and not_worse(reference, challenger, truth, brier, MARGIN).status is not Status.PASS:
            continue
        champion, drift = challenger, drift + MARGIN * 2 / 3
    return drift


def test_a_pinned_reference_stops_the_ratchet() -> None:
    truth, chance = rows()
    free, held = chain(truth, chance, pinned=False), chain(truth, chance, pinned=True)
    print(
        f"after {LINKS} challengers the champion is worse by {free / MARGIN:.1f} margins; with a reference {held / MARGIN:.1f}"
    )
    assert free > 3 * MARGIN
    assert held <= MARGIN


def test_the_reason_names_the_reference() -> None:
    truth, chance = rows()
    one = worse_by(chance, 0.0)
    verdict = not_worse(Entry("gold", one.outputs), worse_by(chance, 0.01), truth, brier, MARGIN, name="brier")
    assert verdict.status is Status.FAIL
    assert "that of the reference gold" in verdict.reason


def test_rows_that_differ_are_refused() -> None:
    truth, chance = rows()
    with pytest.raises(DataError, match="answered 10 rows"):
        not_worse(worse_by(chance, 0.0), Entry("x", np.zeros((10, 2))), truth, brier, MARGIN)
