"""E-processes: evidence that may be looked at after every event.

An e-process is the wealth of someone who bets against a null hypothesis. If the null holds, wealth of 1/alpha or more
is met with probability alpha at most, however often one looks (Ville 1939); so the highest wealth so far is what
counts. Each process here splits its money over a few fixed bets and keeps one logarithm per bet: constant memory,
no waiting for a minimum sample, and what was won before a traffic ramp is kept after it.

Three of them: ``FailureArm`` (which of two arms do failures come from), ``RateLimit`` (is a failure rate above or
below an agreed limit), ``BlockBets`` (is a paired difference above or below zero, one bet per block of time).
All states are frozen and readable by ``msgspec``; all functions answer with the next state.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from operator import add
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

HARMS = (1.3, 1.5, 1.75, 2.25, 5.0)  # how much worse it may be: odds of failing, as a ratio
FINE = (0.75, 0.5, 0.25)  # how much better, as a ratio of the rates; beside equal, and halfway to the margin
ODDS = (1.25, 1.5, 2.0, 4.0, 8.0)  # how far from a limit a failure rate may be, as a ratio of odds
BLOCK_STAKES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the largest loss a block is believed to bring
WARM_UP = 3  # blocks whose spread is seen before the first bet
SETTLED = 5  # blocks whose spread is believed
SPREAD = 3.0  # standard deviations of past blocks
FAR = 6.0  # the same where every block so far went one way: no wider bound is needed, however large the mean
EARLY = {3: 10.0, 4: 8.0}  # the same after few blocks, whose spread may be small by chance
MOST = 4.0  # bounds that one block can win

Logs = tuple[float, ...]
N = TypeVar("N", float, NDArray[np.float64])


@dataclass(frozen=True, slots=True)
class Wealth:
    """Money against one null hypothesis: the logarithm per bet, and the highest mean over the bets so far."""

    logs: Logs
    highest: float = 0.0  # logarithm; every process starts with 1

    @property
    def now(self) -> float:
        """Logarithm of the mean over the bets, as it is now."""
        top = max(self.logs)
        return top + math.log(sum([math.exp(log - top) for log in self.logs]) / len(self.logs))


def start(bets: int = len(HARMS)) -> Wealth:
    """Money before the first bet."""
    return Wealth((0.0,) * bets)


def settle(wealth: Wealth, factors: Iterable[float]) -> Wealth:
    """The wealth after a bet that multiplied each stake by its factor."""
    return _grown(wealth, tuple(map(add, wealth.logs, map(math.log, factors))))


def _grown(wealth: Wealth, logs: Logs) -> Wealth:
    after = Wealth(logs)
    return Wealth(logs, max(wealth.highest, after.now))


# -- which arm do failures come from -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FailureArm:
    """Evidence from the arm that each failure fell on: ``harm`` (it fails more), ``noninferior`` (not too much more).

    A failure falls on the challenger with probability pi r / (pi r + 1 - pi), whatever the base rate is at that moment,
    where pi was the challenger's share of the pair when the request was routed and r is the ratio of the failure rates.
    Each bet is the likelihood ratio of one r to the null, and the money is split over five: ``harm`` bets against
    r <= 1, ``noninferior`` against r >= 1 + margin. Exact at any sample size and over ramps. Needs random assignment,
    and one bet per unit that was assigned.

    Where failures are common, successes tell as much: one falls on the challenger with pi s / (pi s + 1 - pi), s the
    ratio of the success rates. A unit that comes once either fails or not, so ``harm`` bets on both, multiplied: given
    the past and how the unit ended, each factor is fair under the null. What r and s go with each odds ratio follows
    from ``base``, the champion's failure rate as the past has it: a wrong belief costs power and no error.
    Lindon & Malek, arXiv:2011.03567; betting on a rate that the past predicts: Waudby-Smith & Ramdas, arXiv:2010.09686.
    """

    harm: Wealth = field(default_factory=start)
    noninferior: Wealth = field(default_factory=start)
    good: tuple[int, int] = (0, 0)  # successes of champion and challenger that wait for their bet to be settled
    share: float = 0.0  # the challenger's of those
    champion: tuple[int, int] = (0, 0)  # its units whose bets are settled, and those of them that failed
    early: int = 0  # its units that are known not to have failed, and whose bets are settled later
    base: float = 0.0


class Bets(NamedTuple):
    """Logarithms that a unit's end adds to the bets on harm, by how it ended and whose it was."""

    failed: tuple[Logs, Logs]  # the champion's, the challenger's
    good: tuple[Logs, Logs]


@lru_cache(1024)
def bets_on_harm(share: float, base: float) -> Bets:
    """The bets where the challenger's share of the pair is ``share`` and the champion fails at the rate ``base``."""
    rates = [1 - base + odds * base for odds in HARMS]
    failed = [odds / rate for odds, rate in zip(HARMS, rates, strict=True)]
    return Bets(_tilted(share, failed, 1.0), _tilted(share, [1 / rate for rate in rates], 1.0))


@lru_cache(1024)
def bets_on_fine(share: float, margin: float) -> tuple[Logs, Logs]:
    """The bets on non-inferiority that a failure settles: the champion's, and the challenger's."""
    return _tilted(share, (1 + margin / 2, 1.0, *FINE), 1 + margin)


def _tilted(share: float, ratios: Sequence[float], null: float) -> tuple[Logs, Logs]:
    """How much likelier an end is the champion's, and the challenger's, under each ratio than under the null's."""
    pairs = [((share * null + 1 - share) / (share * ratio + 1 - share), ratio / null) for ratio in ratios]
    return tuple(math.log(other) for other, _ in pairs), tuple(math.log(other * its) for other, its in pairs)


def on_failure(
    arm: FailureArm, challenger: bool, share: float, margin: float, *, once: bool = False, early: int = 0
) -> FailureArm:
    """Settle the bets on one failure: ``challenger`` if it was its, ``share`` its share of the pair in (0, 1).

    ``once``: the unit comes only once, so that had it not failed, ``on_good`` would have been told. ``early``: units of
    the champion that did not fail and of which ``on_good`` will be told later; they are for the belief alone.
    """
    if arm.share != share:
        arm = _moved(arm, share)
    fine = arm.noninferior
    fine = _grown(fine, tuple(map(add, fine.logs, bets_on_fine(share, margin)[challenger])))
    logs = tuple(map(add, _with_good(arm), bets_on_harm(share, arm.base if once else 0.0).failed[challenger]))
    champion, base = _counted(arm, int(once and not challenger), early)
    return FailureArm(_grown(arm.harm, logs), fine, (0, 0), share, champion, early, base)


def on_good(arm: FailureArm, champion: int, challenger: int, share: float) -> FailureArm:
    """Take in units that come only once and did not fail; bets on them are settled with the next failure.

    However they are batched, the figures are the same to the bit.
    """
    if not champion + challenger:
        return arm
    if arm.share != share:
        arm = _moved(arm, share)
    good = (arm.good[0] + champion, arm.good[1] + challenger)
    return FailureArm(arm.harm, arm.noninferior, good, arm.share, arm.champion, arm.early, arm.base)


def on_batch(
    arm: FailureArm, failed: tuple[int, int], good: tuple[int, int], shares: tuple[float, float], margin: float
) -> FailureArm:
    """Settle all bets on units that come only once, of champion and challenger, whose order is not known.

    The share was within ``shares``, and each bet is settled where it wins least; the end is the same in every order,
    and what the evidence was before it does not count.
    """
    low, high = min(shares), max(shares)
    worst, mild, fine = bets_on_harm(high, arm.base).failed, bets_on_harm(low, arm.base).good, bets_on_fine(low, margin)
    harm = zip(arm.harm.logs, *worst, *mild, strict=True)
    logs = tuple([log + (failed[0] * a + failed[1] * b + good[0] * c + good[1] * d) for log, a, b, c, d in harm])
    against = zip(arm.noninferior.logs, *fine, strict=True)
    also = tuple([log + (failed[0] * a + failed[1] * b) for log, a, b in against])
    units = (arm.champion[0] + failed[0] + good[0], arm.champion[1] + failed[0])
    return replace(
        arm,
        harm=_grown(arm.harm, logs),
        noninferior=_grown(arm.noninferior, also),
        champion=units,
        base=believed(*units) if units[0] else 0.0,
    )


def _moved(arm: FailureArm, share: float) -> FailureArm:
    """The split changes: what waits is settled at the share it was routed with."""
    if arm.good == (0, 0):
        return replace(arm, share=share)
    champion, base = _counted(arm, 0, arm.early)
    return replace(arm, harm=_grown(arm.harm, _with_good(arm)), good=(0, 0), share=share, champion=champion, base=base)


def _with_good(arm: FailureArm) -> Logs:
    one, other = arm.good
    if not one + other:
        return arm.harm.logs
    champion, challenger = bets_on_harm(arm.share, arm.base).good
    return tuple(
        [log + (one * its + other * ours) for log, its, ours in zip(arm.harm.logs, champion, challenger, strict=True)]
    )


def _counted(arm: FailureArm, failed: int, early: int) -> tuple[tuple[int, int], float]:
    """The champion's settled units, and the belief, which is renewed whenever those known have doubled."""
    units, failures = arm.champion
    after = (units + arm.good[0] + failed, failures + failed)
    known = after[0] + early
    renewed = known.bit_length() != (units + arm.early).bit_length()
    return after, believed(known, after[1]) if renewed else arm.base


def believed(units: N, failures: N) -> N:
    """A failure rate from counts, low while there are few of them: then bets on successes are small."""
    return (failures + 0.5) / (units + 5)


# -- one arm against a limit -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Evidence that a failure rate is ``over`` an agreed limit, or ``under`` it; no other arm is needed.

    The nulls: given the past, each question fails with probability at most (for ``over``) or at least (for ``under``)
    the limit. Both are the highest logarithm so far. As counts are all that the wealth depends on, only they are kept:
    the figures are the same to the bit however the answers were batched.
    Wald, Sequential Analysis (1947); as betting: Waudby-Smith & Ramdas, arXiv:2010.09686.
    """

    good: int = 0
    failed: int = 0
    over: float = 0.0
    under: float = 0.0


def on_answers(rate: RateLimit, good: int, failed: bool, limit: float) -> RateLimit:
    """Settle the bets on a run of ``good`` answers, followed by one that failed if ``failed``.

    A run loses nothing: ``under`` peaks before a failure and ``over`` after it.
    """
    if good:
        rate = replace(rate, good=rate.good + good)
        rate = replace(rate, under=max(rate.under, _likelier(rate, [1 / odds for odds in ODDS], limit)))
    if failed:
        rate = replace(rate, failed=rate.failed + 1)
        rate = replace(rate, over=max(rate.over, _likelier(rate, ODDS, limit)))
    return rate


def _likelier(rate: RateLimit, ratios: Sequence[float], limit: float) -> float:
    """Logarithm of how much likelier the answers are under the other rates than under the limit; mean over them."""
    others = [ratio * limit / (1 - limit + ratio * limit) for ratio in ratios]
    logs = [rate.failed * math.log(other / limit) + rate.good * math.log((1 - other) / (1 - limit)) for other in others]
    return Wealth(tuple(logs)).now


# -- paired differences, one bet per block of time ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class BlockBets:
    """Evidence on the paired loss difference (challenger minus champion): ``better``, ``worse``, ``noninferior``.

    Whole days go well or badly for one variant, so rows of a day are no independent bets (trap 6); the block's mean is
    bet on once. Stakes are scaled to what past blocks were like. For ``worse``, x = clip(d / B, -1, 4), where B is how
    far a block may go the other way: the farthest that one did, and at least the smaller of |mean| + 3 sd and 6 sd
    beyond 0. So a difference that is large beside its spread wins more than its stake. The first three blocks are only
    looked at, and bets on the next two are smaller. ``better`` is the same on -d, ``noninferior`` is ``better`` after
    taking a margin off.

    What is tested, honestly: given the past, the mean of the difference *clipped at B on the losing side* is at least 0
    (for ``better``) or at most 0 (``worse``); clipping at 4 B on the winning side only costs power. Where shocks are
    symmetric, or stay within B, that is the null on the mean itself. Where they are skewed, or rarer than anything seen
    so far, the two differ a little: false alarms at 5 % over 60 days were 1 % under normal, 2 % under exponential
    shocks, and 5 to 6 % for ``better`` where one day in ten is a storm nine times as far out as the others
    (tests/statistics/test_eprocess.py).
    Betting: Waudby-Smith & Ramdas, arXiv:2010.09686; the mean and spread are Welford's (1962).
    """

    blocks: int = 0
    mean: float = 0.0
    squares: float = 0.0  # sum of squared distances from the mean
    lowest: float = 0.0  # of the differences and 0
    largest: float = 0.0
    better: Wealth = field(default_factory=lambda: start(len(BLOCK_STAKES)))
    worse: Wealth = field(default_factory=lambda: start(len(BLOCK_STAKES)))
    noninferior: Wealth = field(default_factory=lambda: start(len(BLOCK_STAKES)))

    @property
    def spread(self) -> float:
        """Standard deviation over blocks; NaN before the second one."""
        return math.sqrt(self.squares / (self.blocks - 1)) if self.blocks > 1 else math.nan


def on_block(bets: BlockBets, difference: float, margin: float) -> BlockBets:
    """Settle the bets on a block's mean difference, then learn from it for the next one."""
    better, worse, noninferior = bets.better, bets.worse, bets.noninferior
    if bets.blocks >= WARM_UP:
        better = settle(better, _won(bets, -difference, -bets.mean, bets.largest))
        worse = settle(worse, _won(bets, difference, bets.mean, -bets.lowest))
        noninferior = settle(noninferior, _won(bets, margin - difference, margin - bets.mean, bets.largest - margin))
    blocks = bets.blocks + 1
    mean = bets.mean + (difference - bets.mean) / blocks
    squares = bets.squares + (difference - bets.mean) * (difference - mean)
    lowest, largest = min(bets.lowest, difference), max(bets.largest, difference)
    return BlockBets(blocks, mean, squares, lowest, largest, better, worse, noninferior)


def _won(bets: BlockBets, gain: float, mean: float, farthest: float) -> list[float]:
    """What each stake is multiplied by: ``gain`` and its past ``mean`` are for the bet, ``farthest`` is against it."""
    far = EARLY.get(bets.blocks, FAR) * bets.spread + max(0.0, -mean)
    near = abs(mean) + SPREAD * bets.spread if bets.blocks >= SETTLED else math.inf
    bound = max(min(far, near), farthest, abs(mean) / MOST)
    x = max(-1.0, min(MOST, gain / bound)) if bound > 0 else 0.0
    return [1 + stake * x for stake in BLOCK_STAKES]
