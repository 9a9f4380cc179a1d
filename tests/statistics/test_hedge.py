"""Hedge: its published bound and regret, and a bound that no stream of losses exceeds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivals.errors import DataError
from rivals.statistics.hedge import Hedge, begin, rate, regret_bound, step

NAMES = ("a", "b", "c")
likely = st.sampled_from([0.0, 0.1, 0.5, 1.0])
streams = st.lists(st.tuples(likely, likely, likely), max_size=120)


def lived(rounds: list[tuple[float, ...]], **options: float) -> Hedge:
    hedge = begin(NAMES)
    for losses in rounds:
        hedge = step(hedge, dict(zip(NAMES, losses, strict=True)), **options)
    return hedge


def test_the_published_bound_and_regret() -> None:
    """8 rivals, 10,000 rounds, the rate for them known: bound 102.0; one better by .05: 57.7 measured."""
    assert regret_bound(8, 10_000) == pytest.approx(102.0, abs=0.05)
    found = []
    for seed in range(40):
        rng, chance = np.random.default_rng(seed), np.full(8, 0.5)
        chance[0] = 0.45
        losses = (rng.random((10_000, 8)) < chance).astype(float)
        before = np.cumsum(losses, axis=0) - losses
        weights = np.exp(-rate(8, 10_000) * (before - before.min(axis=1, keepdims=True)))
        weights /= weights.sum(axis=1, keepdims=True)
        found.append((weights * losses).sum() - losses.sum(axis=0).min())
    assert np.mean(found) == pytest.approx(57.7, abs=1.5)
    assert max(found) < regret_bound(8, 10_000)


@given(streams, st.sampled_from([0.0, None, 0.2]), st.sampled_from([2.0, 16.0, 1e9]))
def test_no_stream_of_losses_exceeds_the_bound(
    rounds: list[tuple[float, ...]], share: float | None, memory: float
) -> None:
    hedge = lived(rounds, share=share, memory=memory)
    for name in NAMES:
        assert hedge.own - hedge.losses[name] <= hedge.bounds[name] + 1e-9
    assert sum(hedge.weights.values()) == pytest.approx(1)


@given(st.lists(st.tuples(st.sampled_from([0, 1, 2]), likely), max_size=120))
def test_nor_do_losses_that_are_weighed_by_how_likely_they_were_to_be_known(told: list[tuple[int, float]]) -> None:
    rounds = [tuple(loss / 0.05 if place == who else 0.0 for place in range(3)) for who, loss in told]
    hedge = lived(rounds, memory=1e9)
    assert hedge.regret <= hedge.bound + 1e-9


def test_the_bound_grows_as_the_root_of_the_rounds() -> None:
    rng = np.random.default_rng(2)
    hedge = lived(list(map(tuple, (rng.random((4_096, 3)) < 0.5).astype(float))), share=0.0, memory=1e9)
    assert hedge.regret < hedge.bound < 4 * regret_bound(3, 4_096)


def test_what_was_bad_for_long_comes_back_quickly() -> None:
    """Fixed share: 3,000 rounds against a rival are forgotten in a few hundred."""
    before, after = [(0.2, 0.6, 0.6)] * 3_000, [(0.8, 0.3, 0.8)] * 300
    assert lived(before, memory=4_096).weights["a"] > 0.95
    assert lived(before + after, memory=4_096).weights["b"] > 0.9
    assert lived(before + after, memory=4_096, share=0.0).weights["b"] < 0.1


def test_a_negative_loss_is_refused() -> None:
    with pytest.raises(DataError, match="from 0 up"):
        lived([(-0.1, 0.0, 0.0)])
