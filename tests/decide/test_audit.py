"""Audits of synthetic rollouts whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rivals.decide.audit import Audit, Rules, audit
from rivals.decide.strata import Log
from rivals.values import Status

DAY = 86_400.0
NAMES = ("r1", "old", "new")


def rollout(
    seed: int, rows: int = 40_000, share: Any = 0.3, rates: tuple[float, float] = (0.01, 0.01), days: float = 10
) -> Log:
    """Answers over some days; ``share`` and the failure rates may be one number or one per row."""
    rng = np.random.default_rng(seed)
    shares = np.broadcast_to(np.asarray(share, float), rows).copy()
    challenger = rng.random(rows) < shares
    failed = rng.random(rows) < np.where(challenger, rates[1], rates[0])
    return Log(np.sort(rng.random(rows)) * days * DAY, challenger, failed, share=shares)


def look(log: Log, decided: str | None = None) -> Audit:
    return audit(log, NAMES, decided, Rules())


def traps(found: Audit) -> list[str]:
    return [trap.name for trap in found.traps]


def test_a_bad_challenger_that_was_promoted_was_wrong() -> None:
    found = look(rollout(1, rates=(0.01, 0.03)), "promote")
    assert (found.status, found.decision) == (Status.FAIL, "wrong")
    assert found.failures
    assert "fails more often" in found.failures.told


def test_an_equal_challenger_that_was_promoted_on_enough_requests_was_right() -> None:
    found = look(rollout(2, 200_000), "promote")
    assert (found.status, found.decision, traps(found)) == (Status.PASS, "supported", [])


def test_too_few_requests_are_underpowered_and_the_number_that_was_missing_is_enough() -> None:
    small = rollout(3, 3_000)
    found = look(small, "promote")
    assert (found.status, found.decision) == (Status.INCONCLUSIVE, "unsupported")
    assert found.more
    assert "underpowered" in found.told
    # The number it asks for decides at the promised power, to within 30 runs.
    decided = [look(rollout(100 + n, 3_000 + int(found.more))).status for n in range(30)]
    assert decided.count(Status.INCONCLUSIVE) <= 12


def test_equal_challengers_are_rarely_found_bad() -> None:
    # Promised: 5 %. 400 rollouts, shares logged in half of them, else estimated by the hour.
    bad = 0
    for seed in range(400):
        log = rollout(seed, 6_000, share=np.repeat([0.05, 0.25, 0.5], 2_000), rates=(0.05, 0.05), days=1)
        bad += look(log if seed % 2 else replace(log, share=None)).status is Status.FAIL
    print(f"false alarms: {bad / 400:.3f}")
    assert bad / 400 <= 0.061


def test_where_failures_are_common_successes_count_too() -> None:
    """40 challengers that fail in 60 % and not in 50 %, 2,000 requests; and 150 equals, at most 9.1 % found bad.

    Where the share is estimated, drawing without replacement takes successes in; where it was logged, bets do.
    """
    logs = [rollout(seed, 2_000, 0.1, (0.5, 0.6), days=1) for seed in range(40)]
    logged, estimated = (
        sum(look(one).status is Status.FAIL for one in few)
        for few in (logs, [replace(one, share=None) for one in logs])
    )
    assert logged >= estimated >= 20
    equal = [look(rollout(seed, 2_000, 0.1, (0.5, 0.5), days=1)).status is Status.FAIL for seed in range(150)]
    assert sum(equal) / 150 <= 0.091


def ramped(seed: int, factor: float, rows: int = 60_000) -> Log:
    """A canary from 5 to 50 % while the base rate falls from 4 to 1 %; ``factor`` times as bad as the champion."""
    shares, base = np.repeat([0.05, 0.25, 0.5], rows // 3), np.repeat([0.04, 0.02, 0.01], rows // 3)
    return rollout(seed, rows, shares, (base, factor * base), days=3)  # type: ignore[arg-type]


@pytest.mark.parametrize("logged", [True, False])
def test_a_ramp_with_a_falling_base_rate_is_named_and_judged_within_each_moment(logged: bool) -> None:
    log = ramped(5, 1.6)
    assert log.failed is not None
    assert log.failed[log.challenger].mean() < log.failed[~log.challenger].mean()  # pooled, it looks better
    found = look(log if logged else replace(log, share=None), "promote")
    assert (found.status, found.decision) == (Status.FAIL, "wrong")
    assert "pooled rates in a ramp" in traps(found)


def test_a_ramp_with_an_equal_challenger_is_named_but_not_failed() -> None:
    found = look(ramped(6, 1.0))
    assert found.status is not Status.FAIL
    assert "pooled rates in a ramp" in traps(found)


def test_a_split_that_is_not_as_promised_decides_nothing() -> None:
    log = rollout(7, 40_000, 0.48, (0.01, 0.05))
    found = look(replace(log, share=np.full(len(log), 0.5)), "rollback")
    assert (found.split.status, found.status, found.decision) == (Status.FAIL, Status.INCONCLUSIVE, "unsupported")
    assert "mis-split" in found.told


def test_before_and_after_is_no_comparison() -> None:
    rng = np.random.default_rng(8)
    time = np.sort(rng.random(20_000)) * 10 * DAY
    log = Log(time, time > 5 * DAY, rng.random(20_000) < np.where(time > 5 * DAY, 0.02, 0.01))
    found = look(log, "rollback")
    assert (found.status, found.decision, traps(found)) == (Status.INCONCLUSIVE, "unsupported", ["before and after"])


def test_sticky_units_are_judged_once_each() -> None:
    # Half of the users fail always, half never: 80 users are not 4,000 requests.
    alarms = naive = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        hers, frail = rng.random(80) < 0.5, rng.random(80) < 0.5
        unit = rng.integers(0, 80, 4_000)
        log = Log(np.sort(rng.random(4_000)) * DAY, hers[unit], frail[unit], unit=unit, share=np.full(4_000, 0.5))
        found = look(log)
        assert "sticky units" in traps(found)
        assert sum(found.units) == 80
        alarms += found.status is not Status.INCONCLUSIVE
        naive += look(replace(log, unit=None)).failures.status is not Status.INCONCLUSIVE
    print(f"verdicts on nothing: per unit {alarms / 60:.2f}, per request {naive / 60:.2f}")
    assert alarms <= 7  # 5 % of 60 and four standard errors
    assert naive > 5 * alarms + 12


def with_loss(seed: int, off: float, days: int = 40) -> Log:
    rng = np.random.default_rng(seed)
    log = rollout(seed, 40_000, 0.5, days=days)
    return replace(log, failed=None, loss=rng.normal(0.2 + off * log.challenger, 0.1))


def test_quality_is_judged_block_by_block() -> None:
    assert look(with_loss(9, -0.02), "promote").decision == "supported"
    assert look(with_loss(10, 0.02), "promote").decision == "wrong"
    undecided = look(with_loss(11, 0.0, days=2), "promote")
    assert undecided.decision in {"unsupported", "supported"}


def test_labels_that_come_sooner_for_one_variant_are_waited_for() -> None:
    # Bad outcomes are known late, and later for the champion: on labels as they come it looks worse than it is.
    rng = np.random.default_rng(13)
    log = rollout(12, 60_000, 0.5, days=10)
    bad = rng.random(len(log)) < 0.3
    delay = np.where(bad, np.where(log.challenger, 2.0, 0.5), 0.1) * DAY
    arrived = np.where(log.time + delay <= 10 * DAY, log.time + delay, np.nan)
    loss = np.where(np.isfinite(arrived), bad.astype(float), np.nan)
    found = look(replace(log, failed=None, loss=loss, arrived=arrived))
    assert "labels by arrival" in traps(found)
    assert found.status is not Status.FAIL
    # Without the times of arrival nothing can be waited for, and nothing is said.
    blind = look(replace(log, failed=None, loss=loss))
    assert blind.quality
    assert "labels for more of its answers" in blind.quality.told


def test_nothing_logged_and_nothing_failed_are_not_a_pass() -> None:
    bare = rollout(13, 1_000)
    assert look(replace(bare, failed=None)).status is Status.INCONCLUSIVE
    calm = look(replace(bare, failed=np.zeros(1_000, bool)))
    assert (calm.status, calm.more) == (Status.INCONCLUSIVE, float("inf"))
    assert look(bare.take(np.arange(0))).status is Status.INCONCLUSIVE
