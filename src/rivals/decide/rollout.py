"""One challenger's way to the top, as a pure machine: a rollout, a verdict and the time give the next rollout.

``start`` it in the shadow, ``advance`` it on every verdict, steer it with ``pause``, ``resume``, ``promote``,
``rollback`` and ``abort``. All but ``start`` answer with the rollout as it is then, and what is to be done::

    SHADOW --PASS--> CANARY step 0 --PASS, every--> ... last step --PASS, every--> PROMOTED
    FAIL: ROLLED_BACK, at once.   Nothing proven: hold; at the deadline HELD, and the champion stays.

``autonomy``: "act" does all of it; "recommend" ends a rollout by itself and asks a person before the challenger gets
any share; "observe" only tells, and ends at the deadline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from rivals.errors import RolloutError
from rivals.values import Instruction, Notify, Phase, Promote, RollBack, Rollout, SetRoutes, Status, Verdict, Version

Next = tuple[Rollout, list[Instruction]]


def start(
    *,
    endpoint: str,
    champion: Version,
    challenger: Version,
    steps: Sequence[float],
    every: float,
    deadline: float,
    autonomy: Literal["observe", "recommend", "act"],
    now: float,
    base_revision: int,
) -> Rollout:
    """A new rollout in its shadow phase. Raises ``RolloutError`` where it could never end well."""
    if challenger.variant == champion.variant:
        raise RolloutError(f"{challenger.variant!r} is the champion already; name another variant.")
    if not steps or list(steps) != sorted(set(steps)) or not 0 < steps[0] <= steps[-1] < 1:
        raise RolloutError("The steps of a rollout rise from above 0% to below 100%, as 1%, 5%, 25%, 50%.")
    return Rollout(
        # A table's revision is never given out twice, so neither is this.
        id=f"{endpoint}-{base_revision}-{challenger.variant}",
        endpoint=endpoint,
        champion=champion,
        challenger=challenger,
        steps=tuple(steps),
        every=every,
        deadline=deadline,
        started=now,
        changed=now,
        autonomy=autonomy,
        base_revision=base_revision,
    )


def advance(rollout: Rollout, verdict: Verdict, now: float) -> Next:
    """What the verdict makes of the rollout. Nothing happens to one that ended, or that a person paused."""
    if rollout.phase.final or rollout.phase is Phase.PAUSED:
        return rollout, []
    over = now - rollout.started >= rollout.deadline
    match verdict.status:
        case Status.FAIL if rollout.autonomy != "observe":
            return _end(rollout, Phase.ROLLED_BACK, verdict.reason, now)
        case Status.PASS if rollout.autonomy == "act":
            return _grow(rollout, now)
        case Status.PASS | Status.FAIL if not over:
            return _tell(rollout, verdict.status)
        case Status.PASS:
            reason = "the evidence was enough, but nobody promoted it before the deadline"
            return _end(rollout, Phase.HELD, reason, now)
        case _ if over:
            reason = f"not enough evidence at the deadline; the champion stays: {verdict.reason}"
            return _end(rollout, Phase.HELD, reason, now)
        case _:
            return rollout, []


def _grow(rollout: Rollout, now: float) -> Next:
    """One step up, if the time on this one is over; the last step is followed by promotion."""
    if rollout.phase is Phase.CANARY and now - rollout.changed < rollout.every:
        return rollout, []
    if rollout.step + 1 == len(rollout.steps):
        return replace(rollout, phase=Phase.PROMOTED, changed=now, reason="every judge passed on every step"), [
            Promote()
        ]
    grown = replace(rollout, phase=Phase.CANARY, step=rollout.step + 1, changed=now)
    return grown, [SetRoutes(grown.share)]


def _tell(rollout: Rollout, status: Status) -> Next:
    """Ask a person, once; what was said last is kept as the reason."""
    name = rollout.challenger.variant
    said = {
        Status.PASS: f"{name} passed every judge; `rivals rollout promote` makes it the champion",
        Status.FAIL: f"{name} should be rolled back; `rivals rollout rollback` does it",
    }[status]
    return (rollout, []) if rollout.reason == said else (replace(rollout, reason=said), [Notify(said)])


def _end(rollout: Rollout, phase: Phase, reason: str, now: float) -> Next:
    return replace(rollout, phase=phase, changed=now, resume=None, reason=reason), [RollBack(reason)]


# -- steering by people ------------------------------------------------------------------------------


def pause(rollout: Rollout, now: float) -> Next:
    """All traffic to the champion for now; shadowing, judging and the deadline rest too."""
    _running(rollout, "paused")
    if rollout.phase is Phase.PAUSED:
        raise RolloutError(f"{rollout.challenger.variant!r} is paused already; `rivals rollout resume` goes on.")
    return replace(rollout, phase=Phase.PAUSED, resume=rollout.phase, changed=now), [SetRoutes(0.0, paired=False)]


def resume(rollout: Rollout, now: float) -> Next:
    """Go on at the step where it was paused; its dwell begins anew."""
    _running(rollout, "resumed")
    if rollout.phase is not Phase.PAUSED or rollout.resume is None:
        raise RolloutError(f"{rollout.challenger.variant!r} is not paused; there is nothing to resume.")
    deadline = rollout.deadline + now - rollout.changed
    back = replace(rollout, phase=rollout.resume, resume=None, changed=now, deadline=deadline)
    return back, [SetRoutes(back.share)]


def promote(rollout: Rollout, now: float) -> Next:
    """Make the challenger the champion on a person's word, whatever the evidence."""
    _running(rollout, "promoted")
    return replace(rollout, phase=Phase.PROMOTED, resume=None, changed=now, reason="promoted by a person"), [Promote()]


def rollback(rollout: Rollout, now: float) -> Next:
    """Give all traffic back to the champion; also to the former one, after a promotion."""
    if rollout.phase is not Phase.PROMOTED:
        _running(rollout, "rolled back")
    return _end(rollout, Phase.ROLLED_BACK, "rolled back by a person", now)


def abort(rollout: Rollout, now: float) -> Next:
    """End it without a judgement on the challenger."""
    _running(rollout, "aborted")
    return _end(rollout, Phase.ABORTED, "aborted by a person", now)


def _running(rollout: Rollout, wished: str) -> None:
    if rollout.phase.final:
        ended = rollout.phase.value.replace("_", " ")
        raise RolloutError(
            f"The rollout of {rollout.challenger.variant!r} has ended ({ended}) and cannot be {wished}; "
            f"`rivals rollout start {rollout.challenger.variant}` begins a new one."
        )
