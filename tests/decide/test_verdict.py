"""Verdicts from posted counts: valid at every look, never better informed than the counts are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivals.decide.verdict import (
    Analysis,
    Exposure,
    Rules,
    Tally,
    add_counts,
    add_exposures,
    judged,
    renewed,
)
from rivals.errors import DataError
from rivals.statistics.eprocess import FailureArm, on_failure
from rivals.values import Status


def posted(rows: Sequence[tuple[tuple[int, int], tuple[int, int], float]], rules: Rules | None = None) -> Analysis:
    """Increments of (asked, failed) per arm, posted as cumulative counts, one a second."""
    analysis, champion, challenger = Analysis(rules or Rules()), Tally(), Tally()
    for at, (one, other, share) in enumerate(rows, start=1):
        champion = Tally(champion.asked + one[0], champion.failed + one[1])
        challenger = Tally(challenger.asked + other[0], challenger.failed + other[1])
        analysis = add_counts(analysis, champion, challenger, share, float(at))
    return analysis


def drawn(rng: np.random.Generator, shares: Sequence[float], requests: int, rates: tuple[float, float]) -> Analysis:
    """A rollout of randomised requests, posted once per entry of ``shares``."""
    rows = []
    for share in shares:
        asked = int(rng.binomial(requests, share))
        rows.append(
            (
                (requests - asked, int(rng.binomial(requests - asked, rates[0]))),
                (asked, int(rng.binomial(asked, rates[1]))),
                share,
            )
        )
    return posted(rows)


def test_a_batch_settles_like_its_failures_one_by_one() -> None:
    analysis = posted([((900, 3), (100, 2), 0.1)])
    arm = FailureArm()
    for challenger in (False, True, False, True, False):
        arm = on_failure(arm, challenger, 0.1, 0.5)
    assert analysis.arm.harm.logs == pytest.approx(arm.harm.logs)
    assert analysis.arm.noninferior.logs == pytest.approx(arm.noninferior.logs)
    assert analysis.arm.harm.highest <= arm.harm.highest + 1e-12


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=8), st.integers(0, 4))
def test_posting_again_and_again_changes_nothing(batches: list[tuple[int, int]], again: int) -> None:
    rows = [((900, one), (100, other), 0.1) for one, other in batches]
    once = posted(rows)
    champion, challenger = once.posted
    twice = once
    for _ in range(again):
        twice = add_counts(twice, champion, challenger, 0.1, once.latest)
    assert twice == once


def test_equal_arms_are_rarely_failed_over_a_ramp_with_a_falling_base_rate() -> None:
    # Promised: 5 % over both ways to fail. 600 rollouts of 40 posts, 1 % to 50 %, base rate 4 % to 1 %.
    rng, failed, naive = np.random.default_rng(3), 0, 0
    shares = np.repeat([0.01, 0.05, 0.25, 0.5], 10)
    for _ in range(600):
        analysis = Analysis()
        totals = np.zeros((2, 2), int)
        hit = False
        for share, base in zip(shares, np.geomspace(0.04, 0.01, 40), strict=True):
            asked = int(rng.binomial(500, share))
            totals += [
                [500 - asked, rng.binomial(500 - asked, base)],
                [asked, rng.binomial(asked, base)],
            ]
            counts = [Tally(*map(int, row)) for row in totals]
            analysis = add_counts(analysis, counts[0], counts[1], float(share), 1.0)
            hit = hit or judged(analysis, 1.0).status is Status.FAIL
        failed += hit
        rates = totals[:, 1] / totals[:, 0]
        pooled = totals[:, 1].sum() / totals[:, 0].sum()
        error = np.sqrt(pooled * (1 - pooled) * (1 / totals[:, 0]).sum())
        naive += abs(rates[1] - rates[0]) > 1.96 * error
    print(f"false failures: ours {failed / 600:.3f}, pooled z-test once at the end {naive / 600:.3f}")
    assert failed / 600 <= 0.061
    assert naive / 600 > 0.5


def test_twice_as_bad_is_failed_and_equal_is_passed() -> None:
    rng = np.random.default_rng(4)
    worse = [judged(drawn(rng, [0.5] * 60, 1_000, (0.01, 0.02)), 60.0).status for _ in range(40)]
    equal = [judged(drawn(rng, [0.5] * 60, 1_000, (0.01, 0.01)), 60.0).status for _ in range(40)]
    assert worse.count(Status.FAIL) >= 38
    assert equal.count(Status.PASS) >= 30
    assert equal.count(Status.FAIL) <= 2


def test_a_batch_that_straddles_a_change_of_share_counts_at_the_less_favourable() -> None:
    still = posted([((900, 0), (100, 0), 0.1), ((900, 2), (100, 3), 0.1)])
    risen = posted([((900, 0), (100, 0), 0.1), ((900, 2), (100, 3), 0.5)])
    assert risen.arm.harm.now < still.arm.harm.now
    assert risen.arm.noninferior.now <= still.arm.noninferior.now


def test_traffic_that_is_not_split_as_posted_decides_nothing() -> None:
    verdict = judged(posted([((6_000, 10), (4_000, 200), 0.1)]), 1.0)
    assert verdict.status is Status.INCONCLUSIVE
    assert "not split as posted" in verdict.reason


def test_counts_that_run_backwards_are_refused() -> None:
    analysis = posted([((900, 9), (100, 1), 0.1)])
    with pytest.raises(DataError, match="cumulative"):
        add_counts(analysis, Tally(10, 0), Tally(1, 0), 0.1, 2.0)


def test_silence_is_not_passed() -> None:
    analysis = posted([((900, 0), (100, 0), 0.1)] * 40, Rules(limit=0.01))
    assert judged(analysis, 40.0).status is Status.PASS
    assert judged(analysis, 40.0 + 3_601).status is Status.INCONCLUSIVE


def test_no_failures_and_no_limit_is_said_to_be_nothing_to_compare() -> None:
    assert "post a 'limit'" in judged(posted([((900, 0), (100, 0), 0.1)]), 1.0).reason
    assert judged(Analysis(), 0.0).reason == "nothing was counted yet"


def test_a_renewed_analysis_begins_where_the_counters_stand() -> None:
    analysis = renewed(posted([((900, 0), (100, 90), 0.1)]), "next")
    analysis = add_counts(analysis, Tally(5_000, 9), Tally(40, 1), 0.1, 5.0)
    assert (analysis.met, analysis.arm) == ((Tally(), Tally()), FailureArm())
    analysis = add_counts(analysis, Tally(5_900, 19), Tally(140, 2), 0.1, 6.0)
    assert analysis.met == (Tally(900, 10), Tally(100, 1))


def test_exposures_bet_in_order_once_per_unit_and_once_per_batch() -> None:
    rows = [Exposure(True, True, 0.1, "u1"), Exposure(True, True, 0.1, "u1"), Exposure(False, True, 0.5, "u2")]
    analysis = add_exposures(Analysis(), rows, 1, 1.0)
    arm = on_failure(on_failure(FailureArm(), True, 0.1, 0.5), False, 0.5, 0.5)
    assert analysis.arm == arm
    assert analysis.met == (Tally(1, 1), Tally(2, 2))
    assert add_exposures(analysis, rows, 1, 2.0) == analysis
    with pytest.raises(DataError, match="begun with exposures"):
        add_counts(analysis, Tally(), Tally(), 0.1, 1.0)


@pytest.mark.parametrize("rules", [{"alpha": 0.0}, {"alpha": 1.0}, {"margin": 0.0}, {"limit": 1.5}, {"silence": -1.0}])
def test_rules_that_cannot_be_are_refused(rules: dict[str, float]) -> None:
    with pytest.raises(DataError, match="is a number above 0"):
        Rules(**rules)
