"""ADWIN: silent while nothing changes, in memory of a logarithm, and it lets go of what is past."""

from __future__ import annotations

import numpy as np

from rivals.statistics.adwin import Adwin, advance


def test_nothing_is_cut_while_nothing_changes() -> None:
    """Ten streams of 50,000 events and of as many numbers: the reference had no alarm in 100,000."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        for values in ((rng.random(50_000) < 0.1).astype(float), rng.random(50_000)):
            state, seen = advance(Adwin(), values)
            assert seen.cuts == 0
            assert state.rows == 50_000
            assert len(state.buckets) <= 60


def test_a_doubled_rate_is_cut_out_within_5000_events() -> None:
    """The reference's median was 295 events at 0.002, of ten runs; its looks are 32 events apart, as ours."""
    delays = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        state, _ = advance(Adwin(), (rng.random(5_000) < 0.1).astype(float))
        later, delay = (rng.random(5_000) < 0.2).astype(float), 5_000
        for start in range(0, 5_000, 32):
            state, seen = advance(state, later[start : start + 32])
            if seen.cuts:
                delay = start + 32
                break
        delays.append(delay)
    print(f"ADWIN: median delay {np.median(delays):.0f} events")
    assert max(delays) < 5_000
    assert np.median(delays) <= 360


def test_after_a_change_the_mean_is_the_new_one() -> None:
    rng = np.random.default_rng(0)
    state, seen = advance(Adwin(), np.concatenate([rng.random(5_000) * 0.2, 0.8 + rng.random(5_000) * 0.2]))
    assert seen.cuts
    assert abs(state.mean - 0.9) < 0.02
    assert seen.shift > 0.5


def test_parts_give_what_the_whole_gives() -> None:
    values = np.random.default_rng(1).random(1_000)
    whole, _ = advance(Adwin(), values)
    state = Adwin()
    for part in np.split(values, [7, 500, 777]):
        state, _ = advance(state, part)
    assert state.rows == whole.rows == 1_000
    np.testing.assert_allclose(state.mean, whole.mean)
