"""Six traps of online comparison. Each test runs the tempting method and ours on A/A traffic, and prints both.

False alarms at 5 %, a look at every event, 300 runs: ours must stay within the noise of 5 % (6.1 %); the tempting one
must be at twice that at least, or the trap is no trap any more.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rivals.statistics.eprocess import BlockBets, on_block
from rivals.statistics.fleet import Events, fleet

RUNS, BOUND = 300, 0.061
FAR = 2 * BOUND
LEVEL = math.log(1 / 0.05)
Bits = NDArray[np.bool_]
Floats = NDArray[np.float64]


def harm(rows: list[Bits], share: float | list[Floats] = 0.5) -> float:
    """Share of runs in which harm was ever proven, from whose each failure was; units that come again, or any."""
    failed = np.arange(max(1, *map(len, rows))) < np.array([len(row) for row in rows])[:, None]
    challenger, shares = np.zeros(failed.shape, bool), np.full(failed.shape, 0.5)
    for number, row in enumerate(rows):
        challenger[number, : len(row)] = row
        shares[number, : len(row)] = share if isinstance(share, float) else share[number]
    none = np.zeros(failed.shape, np.int64)
    found = fleet(Events(failed, challenger, shares, none, none), 0.5, once=False)
    return float((found.harm[:, -1] >= LEVEL).mean())


def shown(trap: str, naive: float, ours: float) -> None:
    print(f"{trap}: naive {naive:.3f}, ours {ours:.3f}")


def test_trap_1_sticky_users_are_one_bet_each() -> None:
    rng = np.random.default_rng(1)
    wrong, firsts = 0, []
    for _ in range(RUNS):
        rate = np.where(rng.random(600) < 0.1, 0.6, 0.002)  # one user in ten meets what fails
        arm, who = rng.random(600) < 0.5, rng.permutation(np.repeat(np.arange(600), 50))
        failed = rng.random(30_000) < rate[who]
        asked = np.cumsum([~arm[who], arm[who]], axis=1)[:, 1_499::1_500]
        lost = np.cumsum([~arm[who] & failed, arm[who] & failed], axis=1)[:, 1_499::1_500]
        pooled = lost.sum(axis=0) / asked.sum(axis=0)
        spread = np.sqrt(pooled * (1 - pooled) * (1 / asked[0] + 1 / asked[1]))
        wrong += bool((np.abs(lost[1] / asked[1] - lost[0] / asked[0]) > 1.96 * spread).any())
        seen = who[failed]
        firsts.append(arm[seen[np.sort(np.unique(seen, return_index=True)[1])]])
    naive, ours = wrong / RUNS, harm(firsts)
    shown("1. sticky users, a z-test per request", naive, ours)
    assert naive > FAR
    assert ours <= BOUND


def test_trap_2_labels_wait_until_their_cohort_is_mature() -> None:
    rng = np.random.default_rng(2)
    arriving, mature = [], []
    for _ in range(RUNS):
        arm, failed = rng.random(4_000) < 0.5, rng.random(4_000) < 0.1
        arrival = np.arange(4_000) + rng.exponential(np.where(arm, 50, 200))
        order = np.argsort(arrival, kind="stable")
        arriving.append(arm[order][failed[order]])
        mature.append(arm[failed])
    naive, ours = harm(arriving), harm(mature)
    shown("2. labels as they arrive, one arm's sooner", naive, ours)
    assert naive > FAR
    assert ours <= BOUND


def test_trap_3_a_rival_is_compared_with_now_not_with_before() -> None:
    rng = np.random.default_rng(3)
    wrong, rows = 0, []
    for _ in range(RUNS):
        low, high = rng.binomial(5_000, 0.01), rng.binomial(5_000, 0.03)  # night, then day
        pooled = (low + high) / 10_000
        wrong += abs(high - low) / math.sqrt(2 * 5_000 * pooled * (1 - pooled)) > 1.96
        rows.append(rng.random(low + high) < 0.5)
    naive, ours = wrong / RUNS, harm(rows)
    shown("3. before and after, under a daily cycle", naive, ours)
    assert naive > FAR
    assert ours <= BOUND


STEPS = [
    (6_000, 0.04, 0.05),
    (6_000, 0.02, 0.25),
    (6_000, 0.01, 0.5),
]  # requests, base rate, share: load falls, it grows


def ramp(rng: np.random.Generator, ratio: float) -> tuple[Bits, Floats, float]:
    """Whose each failure was, its share then, and the pooled z: above zero, the challenger looks worse."""
    whose, shares, asked, failed = [], [], np.zeros(2), np.zeros(2)
    for requests, base, share in STEPS:
        theirs = rng.binomial(requests, share)
        ours, other = rng.binomial(theirs, base * ratio), rng.binomial(requests - theirs, base)
        asked += (requests - theirs, theirs)
        failed += (other, ours)
        whose.append(rng.permutation(np.arange(ours + other) < ours))
        shares.append(np.full(ours + other, share))
    rate, pooled = failed / asked, failed.sum() / asked.sum()
    z = (rate[1] - rate[0]) / math.sqrt(pooled * (1 - pooled) * (1 / asked[0] + 1 / asked[1]))
    return np.concatenate(whose), np.concatenate(shares), float(z)


def test_trap_4_pooled_rates_lie_while_a_split_ramps() -> None:
    rng = np.random.default_rng(4)
    equal, worse = [ramp(rng, 1.0) for _ in range(RUNS)], [ramp(rng, 2.0) for _ in range(RUNS)]
    naive = float(np.mean([abs(z) > 1.96 for _, _, z in equal]))
    flattered = float(np.mean([z < 0 for _, _, z in worse]))
    ours = harm([whose for whose, _, _ in equal], [shares for _, shares, _ in equal])
    found = harm([whose for whose, _, _ in worse], [shares for _, shares, _ in worse])
    shown("4. pooled rates in a ramp", naive, ours)
    print(f"   one twice as bad: looks better in {flattered:.2f} of the runs by pooled rates, is found in {found:.2f}")
    assert naive > FAR
    assert ours <= BOUND
    assert found > 0.8


def test_trap_5_no_asymptotic_interval_on_a_small_canary() -> None:
    rng = np.random.default_rng(5)
    alpha, share, wrong, rows = 0.05, 0.1, 0, []
    rho2 = (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / 30_000
    t = np.arange(1, 30_001)
    radius = np.sqrt(2 * (t * rho2 + 1) / (t**2 * rho2) * np.log(np.sqrt(t * rho2 + 1) / alpha))
    for _ in range(RUNS):
        arm, failed = rng.random(30_000) < share, rng.random(30_000) < 0.01
        psi = failed * np.where(arm, 1 / share, -1 / (1 - share))
        mean = np.cumsum(psi) / t
        spread = np.sqrt(np.maximum(np.cumsum(psi**2) / t - mean**2, 0))
        wrong += bool((np.abs(mean) > spread * radius)[1_000:].any())
        rows.append(arm[failed])
    naive, ours = wrong / RUNS, harm(rows, share)
    shown("5. asymptotic interval, 10 % canary, 1 % errors", naive, ours)
    assert naive > FAR
    assert ours <= BOUND


def test_trap_6_a_day_is_one_bet() -> None:
    rng = np.random.default_rng(6)
    stakes, naive, ours = np.array([0.1, 0.3, 0.5, 0.7, 0.9]), 0, 0
    for _ in range(RUNS):
        rows = np.clip(rng.normal(0, 0.02, (60, 1)) + rng.normal(0, 0.15, (60, 300)), -1, 1)
        wealth = np.cumsum(np.log1p(stakes[:, None] * rows.ravel()), axis=1)
        naive += bool(np.logaddexp.reduce(wealth - math.log(len(stakes)), axis=0).max() >= LEVEL)
        bets = BlockBets()
        for day in rows.mean(axis=1).tolist():
            bets = on_block(bets, day, 0.0)
        ours += bets.worse.highest >= LEVEL
    shown("6. paired rows as independent bets, whole days off", naive / RUNS, ours / RUNS)
    assert naive / RUNS > FAR
    assert ours / RUNS <= BOUND
