"""What a rollout may not do by itself, and why: each fence answers with a sentence, or with nothing. Pure.

A fence holds growth and promotion; it never holds a rollback. ``refusal`` is asked when a rollout starts, ``growth``
and ``promotion`` when evidence would let it go on, ``shared_cause`` when one was rolled back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from rivals.decide.rollout import Next
from rivals.values import Instruction, Notify, Phase, Promote, RollBack, Rollout, SetRoutes, Version

SHARED, WITHIN = 3, 600.0  # so many endpoints rolling back within so many seconds have one cause
DOUBLINGS = 6  # a cooldown grows to 64 times its first length
HELD = "held: "
WAITS = "it passed every judge and waits for a person; `rivals rollout approve` promotes it"


@dataclass(frozen=True, slots=True)
class Fences:
    """What people put up around one endpoint."""

    frozen: str = ""  # by whom
    quarantined: Mapping[str, str] = field(default_factory=dict)  # variant -> by whom
    reference: Version | None = None  # what no champion may be worse than
    pinned: str = ""  # by whom
    approved: str = ""  # the rollout whose promotion was approved
    approver: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known when a rollout would grow."""

    fences: Fences = field(default_factory=Fences)
    shared: str = ""  # why everything on this store is held, if it is
    windows: tuple[str, ...] = ()  # as they are written
    open: bool = True  # whether now lies in one of them
    promoted: tuple[float, ...] = ()  # when, on the endpoint's clock
    per: float = 0.0  # seconds
    most: int | None = None  # promotions in that time
    approval: bool = False  # whether a promotion waits for a person


def refusal(fences: Fences, variant: str, ended: Sequence[Rollout], now: float, cooldown: float, *, force: bool) -> str:
    """Why this variant may not start. ``force``, a person's word, lifts the cooldown and nothing else."""
    if variant in fences.quarantined:
        return (
            f"{variant!r} is in quarantine since {fences.quarantined[variant]} put it there; "
            f"`rivals rollout quarantine {variant} --off` lets it out."
        )
    back = [one.changed for one in ended if one.challenger.variant == variant and one.phase is Phase.ROLLED_BACK]
    wait = cooldown * 2 ** min(len(back) - 1, DOUBLINGS) if back else 0.0
    left = max(back, default=0.0) + wait - now
    if left <= 0 or not back or force:
        return ""
    times = "once" if len(back) == 1 else f"{len(back)} times"
    return (
        f"{variant!r} was rolled back {times} and rests for another {span(left)}; mend it and wait, "
        "or start it with --force."
    )


def grows(before: Rollout, instructions: Sequence[Instruction]) -> bool:
    """Whether the challenger would get more than it has."""
    return any(
        (isinstance(one, Promote) and before.share < 1) or (isinstance(one, SetRoutes) and one.share > before.share)
        for one in instructions
    )


def growth(standing: Standing) -> str:
    """Why nothing may grow now, a promotion included."""
    if standing.fences.frozen:
        return f"frozen by {standing.fences.frozen}; `rivals rollout freeze --off` lets it go on"
    if standing.shared:
        return f"{standing.shared}; find it, then `rivals rollout freeze --off`"
    if not standing.open:
        return f"now is outside the change windows ({', '.join(standing.windows)})"
    return ""


def promotion(standing: Standing, rollout: Rollout, now: float) -> str:
    """Why it may not be promoted now, though it may grow. Approval is asked for last: of what nothing else holds."""
    if standing.most is not None:
        recent = [time for time in standing.promoted if now - standing.per < time <= now]
        if len(recent) >= standing.most:
            return f"{len(recent)} promotions in {span(standing.per)} are as many as the project allows"
    if standing.approval and standing.fences.approved != rollout.id:
        return WAITS
    return ""


def hold(before: Rollout, why: str, now: float) -> Next:
    """Stay where it is and say so, once; at the deadline end it, the champion stays."""
    if now - before.started >= before.deadline:
        reason = f"at the deadline still {HELD}{why}"
        return replace(before, phase=Phase.HELD, changed=now, resume=None, reason=reason), [RollBack(reason)]
    said = HELD + why
    return (before, []) if before.reason == said else (replace(before, reason=said), [Notify(said)])


def passed(after: Rollout) -> Rollout:
    """A rollout that nothing holds any more says so."""
    return after if after.phase.final or not after.reason.startswith(HELD) else replace(after, reason="")


def shared_cause(rollbacks: Mapping[str, float], now: float) -> str:
    """Whether so many endpoints rolled back at once that the challengers are not to blame. Values: the last time."""
    names = sorted(name for name, time in rollbacks.items() if 0 <= now - time <= WITHIN)
    if len(names) < SHARED:
        return ""
    return f"{len(names)} endpoints ({', '.join(names)}) rolled back within {span(WITHIN)}: a shared cause is likely"


def span(seconds: float) -> str:
    """Seconds as a person says them."""
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.0f} s"
