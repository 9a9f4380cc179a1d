"""Was a rollout that somebody else made right? From its log alone: pure, and nothing is asked of the reader."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np

from rivals.decide import strata
from rivals.decide.strata import HOUR, Log
from rivals.statistics.eprocess import BlockBets, FailureArm, bets_on_fine, on_block, on_failure, on_good
from rivals.statistics.ratio import ALARM, srm_log_e
from rivals.values import Status

POWER = 0.8
PEEKING = 1.9  # times the fixed horizon, for evidence that may be watched
LEAST_ROWS = 5  # labelled rows per variant, for a block to be bet on
LEAST_BLOCKS = 2
SHARES = 200  # more distinct shares than that are a bandit's, not a split's
CLEAR = 1.96  # standard errors that a dashboard calls significant
UNLIKE = 4.0  # standard errors between the variants' parts with a label, at which labels are not alike
OVERLAP = 0.5  # of the rows need a concurrent control
UNEVEN = 0.02  # spread of shares over the strata that makes pooled rates doubtful


@dataclass(frozen=True, slots=True)
class Rules:
    """What counts as wrong: ``margin`` of the failure rate, as a part of it; ``quality_margin`` of the loss."""

    alpha: float = 0.05
    margin: float = 0.5
    quality_margin: float = 0.002


@dataclass(frozen=True, slots=True)
class Trap:
    """A way to be fooled that this log holds."""

    name: str
    told: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What one question to the log came to; ``more``: requests that were still needed, infinite if no number helps."""

    status: Status
    told: str
    figures: Mapping[str, float] = field(default_factory=dict)
    more: float | None = None


@dataclass(frozen=True, slots=True)
class Audit:
    """One challenger of one rollout. ``decision``: supported, wrong or unsupported; None where none was logged."""

    rollout: str
    champion: str
    challenger: str
    requests: tuple[int, int]
    units: tuple[int, int]
    status: Status
    told: str
    split: Finding
    failures: Finding | None
    quality: Finding | None
    traps: Sequence[Trap]
    decided: str | None
    decision: str | None
    more: float | None


def audit(log: Log, names: tuple[str, str, str], decided: str | None, rules: Rules) -> Audit:
    """Judge one pair. ``names``: rollout, champion, challenger; ``decided``: promote, rollback, hold or None."""
    rollout, champion, challenger = names
    requests, traps = _sizes(log), list[Trap]()
    if strata.sticky(log):
        log, trap = _per_unit(log)
        traps.append(trap)
    seconds = min(HOUR, strata.width(log)) if len(log) else HOUR
    together = strata.concurrent(log, seconds) if len(log) else 0.0
    split, failures, quality = _split(log), None, None
    if together < OVERLAP:
        told = f"only {together:.0%} of the requests have the other variant within {_duration(seconds)} of them"
        traps.append(Trap("before and after", f"{told}: what differs may be the time and not the model."))
    else:
        failures, more = _failures(log, seconds, rules, both=log.loss is not None)
        traps += more
        quality, more = _quality(log, rules, both=log.failed is not None)
        traps += more
    status, told, needed = _overall(split, failures, quality, together)
    decision = _decision(status, decided)
    return Audit(
        rollout, champion, challenger, requests, _sizes(log), status, told, split, failures, quality, tuple(traps),
        decided, decision, needed,
    )  # fmt: skip


def _sizes(log: Log) -> tuple[int, int]:
    return int((~log.challenger).sum()), int(log.challenger.sum())


def _per_unit(log: Log) -> tuple[Log, Trap]:
    one = strata.by_unit(log)
    told = f"{len(log) / len(one):.1f} requests per unit, and units stay with their variant"
    if log.failed is not None and one.failed is not None:
        per_request, per_unit = strata.pooled(log.challenger, log.failed), strata.pooled(one.challenger, one.failed)
        told += f"; a z-test says {per_request.z:+.1f} per request and {per_unit.z:+.1f} per unit"
    return one, Trap("sticky units", f"{told}. Everything here is judged once per unit.")


def _split(log: Log) -> Finding:
    """Whether the variants have the shares they were promised."""
    if log.share is None or not len(log):
        told = "no share was logged, so a wrong split cannot be seen; log 'share', or say --share"
        return Finding(Status.INCONCLUSIVE, told)
    values, code = np.unique(np.round(log.share, 6), return_inverse=True)
    if len(values) > SHARES:
        return Finding(Status.INCONCLUSIVE, f"{len(values)} different shares: a bandit's, not tested as a split")
    sizes, hers = np.bincount(code.reshape(-1)), np.bincount(code.reshape(-1), log.challenger)
    log_e = sum(
        srm_log_e((size - her, her), (1 - share, share)) for share, size, her in zip(values, sizes, hers, strict=True)
    )
    told = f"{hers.sum() / sizes.sum():.2%} went to it where {float(log.share.mean()):.2%} was promised"
    status = Status.FAIL if log_e >= ALARM else Status.PASS
    return Finding(status, told, {"mismatch": float(log_e)})


def _failures(log: Log, seconds: float, rules: Rules, *, both: bool) -> tuple[Finding | None, list[Trap]]:
    """Failure by failure: whose it was, against the share of that moment."""
    if log.failed is None:
        return None, []
    traps = _reversal(log, seconds)
    arm = _bets(log, seconds, rules.margin)
    harm, fine = arm.harm.highest, arm.noninferior.highest
    rates = [float(log.failed[side].mean()) if side.any() else math.nan for side in (~log.challenger, log.challenger)]
    told = f"failure rates {rates[0]:.3%} and {rates[1]:.3%}"
    if log.share is None:
        told += f"; the split is taken to have stood still within each {_duration(seconds)}"
    figures = {"harm": harm, "noninferior": fine, "champion": rates[0], "challenger": rates[1]}
    if harm >= math.log((2 if both else 1) / rules.alpha):
        return Finding(Status.FAIL, f"it fails more often: {told}", figures), traps
    if fine >= math.log(1 / rules.alpha):
        return Finding(Status.PASS, f"it does not fail {1 + rules.margin:g} times as often: {told}", figures), traps
    more = _requests(float(log.failed.mean()), float(log.challenger.mean()), rules) - len(log)
    return Finding(Status.INCONCLUSIVE, f"not decided: {told}", figures, max(1.0, more)), traps


def _bets(log: Log, seconds: float, margin: float) -> FailureArm:
    """Failure by failure; where the share was logged, also on what did not fail between two of them."""
    assert log.failed is not None
    arm = FailureArm()
    if log.share is None:
        shares, hers = strata.drawn_shares(log, seconds), log.challenger[log.failed]
        for challenger, share in zip(hers.tolist(), shares.tolist(), strict=True):
            if 0 < share < 1:
                arm = on_failure(arm, challenger, share, margin)
        return arm
    log = log.take(np.flatnonzero((log.share > 0) & (log.share < 1)))
    assert log.failed is not None
    assert log.share is not None
    moves = np.append(np.diff(log.share) != 0, np.ones(min(1, len(log)), bool))
    ends = np.flatnonzero(log.failed | moves)
    ours, theirs = (
        np.diff(np.cumsum(~log.failed & side)[ends], prepend=0) for side in (~log.challenger, log.challenger)
    )
    each = (ours, theirs, log.share[ends], log.failed[ends], log.challenger[ends])
    for one, other, share, failed, challenger in zip(*(column.tolist() for column in each), strict=True):
        arm = on_good(arm, one, other, share)
        if failed:
            arm = on_failure(arm, challenger, share, margin, once=True)
    return arm


def _reversal(log: Log, seconds: float) -> list[Trap]:
    """Simpson's: rates pooled over a ramp against rates compared within each moment."""
    assert log.failed is not None
    code = strata.cells(log, seconds)
    sizes, hers = np.bincount(code), np.bincount(code, log.challenger)
    spread = float(np.sqrt(np.average((hers / sizes - log.challenger.mean()) ** 2, weights=sizes)))
    shown, held = strata.pooled(log.challenger, log.failed), strata.stratified(log.challenger, log.failed, code)
    wrong = shown.value * held.value < 0 and max(abs(shown.z), abs(held.z)) >= CLEAR
    wrong = wrong or (abs(shown.z) >= CLEAR and abs(held.z) < CLEAR / 2)
    if spread < UNEVEN or not wrong:
        return []
    told = (
        f"pooled over the changing split the failure rates differ by {shown.value:+.3%} (z {shown.z:+.1f}), "
        f"compared within each moment by {held.value:+.3%} (z {held.z:+.1f}). The second is the truth."
    )
    return [Trap("pooled rates in a ramp", told)]


def _quality(log: Log, rules: Rules, *, both: bool) -> tuple[Finding | None, list[Trap]]:
    """Block by block: whose loss was lower, on labels that had the time to come."""
    if log.loss is None:
        return None, []
    log, traps, alike = _matured(log)
    seconds = strata.width(log) if len(log) else HOUR
    gaps = strata.block_gaps(log, seconds, LEAST_ROWS) if len(log) else []
    bets = BlockBets()
    for gap in gaps:
        bets = on_block(bets, gap, rules.quality_margin)
    told = f"loss differs by {bets.mean:+.5f} over {bets.blocks} blocks of {_duration(seconds)}"
    figures = {"better": bets.better.highest, "worse": bets.worse.highest, "noninferior": bets.noninferior.highest}
    figures |= {"difference": bets.mean, "blocks": float(bets.blocks)}
    if not alike:
        told = f"{told}, but one variant has labels for more of its answers than the other"
        return Finding(Status.INCONCLUSIVE, told, figures), traps
    if bets.worse.highest >= math.log((2 if both else 1) / rules.alpha):
        return Finding(Status.FAIL, f"it is worse: {told}", figures), traps
    proof = math.log(1 / rules.alpha)
    if max(bets.better.highest, bets.noninferior.highest) >= proof:
        said = "better" if bets.better.highest >= proof else "not worse by the margin"
        return Finding(Status.PASS, f"it is {said}: {told}", figures), traps
    return Finding(Status.INCONCLUSIVE, f"not decided: {told}", figures, _rows(bets, len(log), rules)), traps


def _matured(log: Log) -> tuple[Log, list[Trap], bool]:
    """Rows old enough that their label would be there; and whether labels came for both variants alike."""
    assert log.loss is not None
    before, traps = _label_gap(log), list[Trap]()
    if log.arrived is not None and np.isfinite(log.arrived).any():
        delays = (log.arrived - log.time)[np.isfinite(log.arrived)]
        # Delays seen late in the log are cut off by its end: the first half shows what a delay is.
        early = log.time[np.isfinite(log.arrived)] <= np.median(log.time)
        longest = float(np.quantile(delays[early] if early.any() else delays, 0.99))
        end = max(float(log.time[-1]), float(np.nanmax(log.arrived)))
        log = log.take(log.time <= end - longest)
    alike = len(log) > 0 and abs(_label_gap(log)) < UNLIKE
    if abs(before) >= UNLIKE:
        kept = "only answers that are older than the longest delay are judged" if alike else "no verdict on quality"
        told = f"the variants' labels do not come alike (z {before:+.1f} on the part that is labelled): {kept}."
        traps.append(Trap("labels by arrival", told))
    return log, traps, alike


def _label_gap(log: Log) -> float:
    assert log.loss is not None
    gap = strata.pooled(log.challenger, np.isfinite(log.loss)).z
    return 0.0 if math.isnan(gap) else gap


def _requests(rate: float, share: float, rules: Rules) -> float:
    """Requests after which the bets prove an equal failure rate acceptable, with 80 % power, from how they grow."""
    if not 0 < rate < 1 or not 0 < share < 1:
        return math.inf
    bets = bets_on_fine(share, rules.margin)
    proof, needs = math.log(len(bets[0]) / rules.alpha), [math.inf]
    for won, lost in zip(*bets, strict=True):
        growth, spread = share * lost + (1 - share) * won, (won - lost) * math.sqrt(share * (1 - share))
        if growth > 0:
            # n failures bring n growth, give or take sqrt(n) spreads.
            slack = NormalDist().inv_cdf(POWER) * spread
            needs.append(((slack + math.sqrt(slack**2 + 4 * growth * proof)) / (2 * growth)) ** 2)
    return min(needs) / rate


def _rows(bets: BlockBets, rows: int, rules: Rules) -> float | None:
    """Rows still needed at the difference and spread seen so far."""
    if bets.blocks < LEAST_BLOCKS:
        return None
    off = max(abs(bets.mean), rules.quality_margin)
    blocks = PEEKING * _reach(rules.alpha) * (bets.spread / off) ** 2
    return max(1.0, (blocks - bets.blocks) * rows / bets.blocks)


def _reach(alpha: float) -> float:
    return (NormalDist().inv_cdf(1 - alpha) + NormalDist().inv_cdf(POWER)) ** 2


def _overall(
    split: Finding, failures: Finding | None, quality: Finding | None, together: float
) -> tuple[Status, str, float | None]:
    """The worst finding counts; a wrong split or a missing control takes away the ground under all of them."""
    found = [one for one in (failures, quality) if one is not None]
    if split.status is Status.FAIL:
        return Status.INCONCLUSIVE, f"mis-split: {split.told}; nothing follows from this log until that is mended", None
    if together < OVERLAP:
        return Status.INCONCLUSIVE, "no concurrent control: nothing follows from this log", None
    bad = next((one for one in found if one.status is Status.FAIL), None)
    if bad:
        return Status.FAIL, bad.told, None
    open_ = [one for one in found if one.status is Status.INCONCLUSIVE]
    if found and not open_:
        return Status.PASS, "; ".join(one.told for one in found), None
    needs = [one.more for one in open_ if one.more is not None]
    needed = max(needs) if needs else None
    if needed is None:
        told = "; ".join(one.told for one in open_) or "neither failures nor labels were logged"
    elif math.isinf(needed):
        told = "underpowered: nothing failed, so no number of requests is known to be enough"
    else:
        told = f"underpowered: about {needed:,.0f} more requests were needed"
    return Status.INCONCLUSIVE, told, needed


def _decision(status: Status, decided: str | None) -> str | None:
    match decided, status:
        case None, _:
            return None
        case ("promote", Status.PASS) | ("rollback", Status.FAIL) | ("hold", Status.INCONCLUSIVE):
            return "supported"
        case ("promote", Status.FAIL) | ("rollback", Status.PASS):
            return "wrong"
        case _:
            return "unsupported"


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"
