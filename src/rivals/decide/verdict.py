"""A verdict from counts that somebody else posts, again and again: pure, and valid however often one looks.

``add_counts`` or ``add_exposures`` advance an ``Analysis``; ``judged`` reads it with the judge that rollouts use. A
batch of counts has no order inside, so bets are settled at its end only: with one share for the whole batch the end
is the same in every order. Where the share changed since the batch before, each bet is settled at the less favourable
of both shares, which can only lose evidence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Literal

from rivals.decide.judges.failures import Failures
from rivals.errors import DataError
from rivals.statistics.eprocess import FailureArm, RateLimit, on_answers, on_batch, on_failure, on_good
from rivals.statistics.ratio import ALARM, srm_log_e
from rivals.values import Counts, Evidence, Status, Verdict

UNITS = 5_000  # units remembered, of each kind; a pair with more was decided long ago


@dataclass(frozen=True, slots=True)
class Rules:
    """What is asked of the challenger; fixed with the first post.

    ``margin``: how much higher its failure rate may be, as a part of the champion's. ``limit``: a failure rate it must
    stay under, or None. ``silence``: seconds without a question after which it is not passed.
    """

    alpha: float = 0.05
    margin: float = 0.5
    limit: float | None = None
    silence: float = 3_600.0

    def __post_init__(self) -> None:
        bounds = {"alpha": (self.alpha, 1.0), "margin": (self.margin, math.inf), "silence": (self.silence, math.inf)}
        bounds |= {"limit": (self.limit, 1.0)} if self.limit is not None else {}
        for name, (value, top) in bounds.items():
            if not 0 < value < top:
                raise DataError(f"{name} is a number above 0 and below {top:g}, not {value:g}.")


@dataclass(frozen=True, slots=True)
class Tally:
    """What one arm was asked, and how often it failed, since its counters began."""

    asked: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Exposure:
    """One question: whose it was, how it ended, and the challenger's share of the pair when it was routed."""

    challenger: bool
    failed: bool
    share: float
    unit: str = ""  # sticky units bet once


@dataclass(frozen=True, slots=True)
class Analysis:
    """All that is remembered between two posts; constant memory."""

    rules: Rules = field(default_factory=Rules)
    checksum: str = ""  # of the configuration under analysis, where the caller has one
    fed: Literal["", "counts", "exposures"] = ""
    posted: tuple[Tally, Tally] = (Tally(), Tally())  # counters as they came, champion and challenger
    placed: bool = True  # False: the next counts only say where the counters stand
    met: tuple[Tally, Tally] = (Tally(), Tally())  # since this analysis began
    share: float = 0.0  # the challenger's, as posted last
    arm: FailureArm = field(default_factory=FailureArm)
    rate: RateLimit = field(default_factory=RateLimit)
    split: tuple[int, int] = (0, 0)  # asked since the share last changed
    splits: float = 0.0  # log e-value against the splits before that
    mismatch: float = 0.0  # the highest so far
    latest: float = 0.0  # when the challenger was last asked something
    post: int = 0  # number of the last batch of exposures
    units: tuple[int, ...] = ()  # that failed already
    asked: tuple[int, ...] = ()  # that the challenger was asked about already


def renewed(analysis: Analysis, checksum: str) -> Analysis:
    """The next analysis of the same name: no evidence yet. What its counters counted before is none either."""
    return Analysis(analysis.rules, checksum, analysis.fed, analysis.posted, post=analysis.post, placed=False)


def add_counts(analysis: Analysis, champion: Tally, challenger: Tally, share: float, now: float) -> Analysis:
    """Take in cumulative counts. Raises ``DataError`` where they run backwards: that would be counted twice."""
    _fits(analysis, "counts", share)
    if not analysis.placed:
        return replace(analysis, posted=(champion, challenger), placed=True, share=share, latest=now)
    befores = analysis.posted
    if _back(champion, befores[0]) or _back(challenger, befores[1]):
        raise DataError("Counts are cumulative, and these are below the ones before; use a new analysis name.")
    new = tuple(_less(now_, before) for now_, before in zip((champion, challenger), befores, strict=True))
    before = analysis.share or share
    failed, good = (new[0].failed, new[1].failed), (new[0].asked - new[0].failed, new[1].asked - new[1].failed)
    arm = on_batch(analysis.arm, failed, good, (before, share), analysis.rules.margin)
    met = (_more(analysis.met[0], new[0]), _more(analysis.met[1], new[1]))
    latest = now if new[1].asked else analysis.latest
    analysis = replace(analysis, fed="counts", posted=(champion, challenger), met=met, arm=arm, latest=latest)
    analysis = replace(analysis, rate=_rate(analysis.rate, met[1], analysis.rules.limit))
    # What straddles a change of the share fits neither share.
    return _with_split(analysis, share, (new[0].asked, new[1].asked) if share == before else (0, 0))


def add_exposures(analysis: Analysis, exposures: Sequence[Exposure], post: int, now: float) -> Analysis:
    """Take in what happened since the last batch, in order; a batch number that was met already changes nothing."""
    if post <= analysis.post:
        return analysis
    known, met_before = dict.fromkeys(analysis.units), dict.fromkeys(analysis.asked)
    for one in exposures:
        _fits(analysis, "exposures", one.share)
        arm, rate, limit = analysis.arm, analysis.rate, analysis.rules.limit
        if one.failed and _first(one.unit, known):
            arm = on_failure(arm, one.challenger, one.share, analysis.rules.margin, once=not one.unit)
        elif not one.failed and not one.unit:
            arm = on_good(arm, int(not one.challenger), int(one.challenger), one.share)
        if one.challenger and limit is not None and _first(one.unit, met_before):
            rate = on_answers(rate, 0 if one.failed else 1, one.failed, limit)
        new = Tally(1, int(one.failed))
        met = (
            (analysis.met[0], _more(analysis.met[1], new))
            if one.challenger
            else (_more(analysis.met[0], new), analysis.met[1])
        )
        analysis = replace(analysis, fed="exposures", met=met, arm=arm, rate=rate)
        analysis = _with_split(analysis, one.share, (0, 1) if one.challenger else (1, 0))
    asked = any(one.challenger for one in exposures)
    latest = now if asked else analysis.latest
    return replace(analysis, post=post, units=tuple(known), asked=tuple(met_before), latest=latest)


def judged(analysis: Analysis, now: float) -> Verdict:
    """Mis-split traffic decides nothing; else as the judge of failures says."""
    champion, challenger = (Counts(one.asked, one.failed, one.asked, one.failed) for one in analysis.met)
    log_e = {"failures.harm": analysis.arm.harm.highest, "failures.noninferior": analysis.arm.noninferior.highest}
    if analysis.rules.limit is not None:
        log_e |= {"failures.over_limit": analysis.rate.over, "failures.under_limit": analysis.rate.under}
    counts = {"the champion": champion, "the challenger": challenger}
    silence = {"silence": max(0.0, now - analysis.latest)} if analysis.fed else {}
    evidence = Evidence("", "the champion", "the challenger", now, counts, log_e, silence)
    verdict = Failures(alpha=analysis.rules.alpha, silence=analysis.rules.silence).judge(evidence)
    figures = {**verdict.figures, "mismatch": analysis.mismatch}
    status, reason = verdict.status, verdict.reason
    if not analysis.fed:
        status, reason = Status.INCONCLUSIVE, "nothing was counted yet"
    elif analysis.mismatch >= ALARM:
        told = f"{challenger.asked} of {challenger.asked + champion.asked} questions went to it"
        status, reason = (
            Status.INCONCLUSIVE,
            f"the traffic is not split as posted: {told}; mend the split or the counts",
        )
    elif status is Status.INCONCLUSIVE and not champion.failures + challenger.failures and analysis.rules.limit is None:
        reason = "nothing failed on either side, so there is nothing to compare; post a 'limit' to judge against"
    return Verdict("failures", status, reason, figures)


def _fits(analysis: Analysis, fed: str, share: float) -> None:
    if not 0 < share < 1:
        raise DataError(f"share is the challenger's part of the pair's traffic, above 0 and below 1; not {share:g}.")
    if analysis.fed not in {"", fed}:
        raise DataError(f"This analysis was begun with {analysis.fed}; go on with them, or use a new analysis name.")


def _first(unit: str, known: dict[int, None]) -> bool:
    """Whether a unit is met for the first time; without a name it comes only once."""
    if not unit:
        return True
    short = int.from_bytes(blake2b(unit.encode(), digest_size=6).digest(), "big")
    if short in known or len(known) >= UNITS:
        return False
    known[short] = None
    return True


def _rate(rate: RateLimit, met: Tally, limit: float | None) -> RateLimit:
    """The limit's wealth depends on totals only; it is looked at once, at the batch's end."""
    good = met.asked - met.failed
    if limit is None or (good, met.failed) == (rate.good, rate.failed):
        return rate
    if met.failed:
        rate = on_answers(replace(rate, good=good, failed=met.failed - 1), 0, failed=True, limit=limit)
    if good:
        rate = on_answers(replace(rate, good=good - 1, failed=met.failed), 1, failed=False, limit=limit)
    return rate


def _with_split(analysis: Analysis, share: float, asked: tuple[int, int]) -> Analysis:
    """The sample ratio, one factor per run of an unchanged share."""
    split, splits = analysis.split, analysis.splits
    if share != analysis.share and analysis.share:
        splits += srm_log_e(split, (1 - analysis.share, analysis.share))
        split = (0, 0)
    split = (split[0] + asked[0], split[1] + asked[1])
    found = splits + srm_log_e(split, (1 - share, share))
    return replace(analysis, share=share, split=split, splits=splits, mismatch=max(analysis.mismatch, found))


def _back(one: Tally, before: Tally) -> bool:
    return one.asked < before.asked or one.failed < before.failed


def _less(one: Tally, other: Tally) -> Tally:
    return Tally(one.asked - other.asked, one.failed - other.failed)


def _more(one: Tally, other: Tally) -> Tally:
    return Tally(one.asked + other.asked, one.failed + other.failed)
