"""One challenger's way to the top, as a pure machine: a rollout, a verdict and the time give the next rollout.

``start`` it, ``advance`` it on every verdict, steer it with ``pause``, ``resume``, ``step_up``, ``promote``,
``rollback`` and ``abort``. All but ``start`` answer with the rollout as it is then, and what is to be done::

    canary     SHADOW --PASS--> CANARY step 0 --PASS, every--> ... last step --PASS, every--> PROMOTED
    bluegreen  SHADOW --PASS, every--> PROMOTED: all traffic at once
    shadow     SHADOW --PASS--> CONCLUDED: a trial; no client ever meets the challenger
    bounded    SHADOW --> CANARY at whatever share keeps extra failures below the bound --PASS, every--> PROMOTED
    ab         CANARY at its fixed share --PASS, every--> PROMOTED; its fellow challengers are CONCLUDED
    watch      WATCH at 100 % --deadline--> CONCLUDED: what follows every promotion, with the former champion warm
    FAIL: ROLLED_BACK, at once.   Nothing proven: hold; at the deadline HELD, and the champion stays.

``autonomy``: "act" does all of it; "recommend" ends a rollout by itself and asks a person before the challenger gets
any share; "observe" only tells, and ends at the deadline.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from rivals.errors import RolloutError
from rivals.strategy import Strategy
from rivals.values import (
    SLOTS,
    Instruction,
    Notify,
    Phase,
    Promote,
    RollBack,
    Rollout,
    SetRoutes,
    Status,
    Verdict,
    Version,
)

Next = tuple[Rollout, list[Instruction]]

MOST = 0.5  # of the traffic, for a challenger that is bounded by its harm
REACTION = 3.0  # seconds of its traffic that may be under way before a bound takes hold: judged every second


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
    strategy: Strategy = "canary",
    watch: float = 0.0,
) -> Rollout:
    """A new rollout, in its shadow phase or, of a test, on its one step. ``steps`` are those of a canary or a test.

    Raises ``RolloutError`` where it could never end well.
    """
    if challenger.variant == champion.variant:
        raise RolloutError(f"{challenger.variant!r} is the champion already; name another variant.")
    climbs = strategy in {"canary", "ab"}
    if climbs and (not steps or list(steps) != sorted(set(steps)) or not 0 < steps[0] <= steps[-1] < 1):
        raise RolloutError("The steps of a rollout rise from above 0% to below 100%, as 1%, 5%, 25%, 50%.")
    return Rollout(
        # A table's revision is never given out twice, so neither is this.
        id=f"{endpoint}-{base_revision}-{challenger.variant}",
        endpoint=endpoint,
        champion=champion,
        challenger=challenger,
        steps=tuple(steps) if climbs else (),
        every=every,
        deadline=deadline,
        started=now,
        changed=now,
        phase=Phase.CANARY if strategy == "ab" else Phase.SHADOW,
        step=0 if strategy == "ab" else -1,
        autonomy=autonomy,
        base_revision=base_revision,
        strategy=strategy,
        watch=watch,
    )


def watched(promoted: Rollout, now: float, revision: int) -> Rollout:
    """What follows a promotion: the former champion kept warm for a while, and the new one judged against it."""
    return replace(
        promoted,
        id=f"{promoted.endpoint}-{revision}-{promoted.challenger.variant}-watch",
        strategy="watch",
        phase=Phase.WATCH,
        steps=(),
        step=-1,
        started=now,
        changed=now,
        deadline=promoted.watch,
        reason="",
        alpha=None,
        base_revision=revision,
    )


def advance(rollout: Rollout, verdict: Verdict, now: float) -> Next:
    """What the verdict makes of the rollout. Nothing happens to one that ended, or that a person paused."""
    if rollout.phase.final or rollout.phase is Phase.PAUSED:
        return rollout, []
    over = now - rollout.started >= rollout.deadline
    match verdict.status:
        case Status.FAIL if rollout.autonomy != "observe":
            return _end(rollout, Phase.ROLLED_BACK, verdict.reason, now)
        case _ if rollout.phase is Phase.WATCH:
            return _look_back(rollout, verdict, now, over=over)
        case Status.PASS if rollout.strategy == "shadow":
            reason = f"the trial is over, every judge passed: {verdict.reason}"
            return replace(rollout, phase=Phase.CONCLUDED, changed=now, reason=reason), [RollBack(reason)]
        case Status.PASS | Status.INCONCLUSIVE if rollout.strategy == "bounded" and not over:
            return _within_bound(rollout, verdict, now)
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
    if (rollout.phase is Phase.CANARY or not rollout.steps) and now - rollout.changed < rollout.every:
        return rollout, []
    if rollout.step + 1 == len(rollout.steps):
        return _promoted(rollout, "every judge passed on every step", now)
    grown = replace(rollout, phase=Phase.CANARY, step=rollout.step + 1, changed=now)
    return grown, [SetRoutes(grown.share)]


def _promoted(rollout: Rollout, reason: str, now: float) -> Next:
    promoted = replace(rollout, phase=Phase.PROMOTED, resume=None, changed=now, reason=reason)
    return promoted, [Promote(warm=rollout.watch > 0)]


def _within_bound(rollout: Rollout, verdict: Verdict, now: float) -> Next:
    """As much traffic as may go wrong: more as the evidence allows, none at once where the bound is used up."""
    left, rate = (verdict.figures.get(f"harm.{name}", math.nan) for name in ("left", "rate"))
    if not (left >= 0 and 0 < rate < math.inf):
        return rollout, []  # silence, or no number: hold
    if rollout.share and left < 1 + rollout.share * rate * REACTION:
        back = replace(rollout, phase=Phase.SHADOW, changed=now)
        return back, [SetRoutes(0.0)]
    if rollout.steps and now - rollout.changed < rollout.every:
        return rollout, []
    if verdict.status is Status.PASS and rollout.phase is Phase.CANARY:
        return (
            _promoted(rollout, "every judge passed", now) if rollout.autonomy == "act" else _tell(rollout, Status.PASS)
        )
    share = min(MOST, max(1 / SLOTS, left / (rate * max(rollout.every, REACTION))))
    share = math.floor(share * SLOTS) / SLOTS
    if left < 1 + share * rate * REACTION or rollout.share * 0.8 <= share <= rollout.share * 1.25:
        return rollout, []
    if share > rollout.share and rollout.autonomy != "act":
        return _say(rollout, f"{rollout.challenger.variant} may get {share:.2%}; acting alone would give it")
    moved = replace(rollout, phase=Phase.CANARY, steps=(*rollout.steps, share), step=len(rollout.steps), changed=now)
    return moved, [SetRoutes(share)]


def _look_back(rollout: Rollout, verdict: Verdict, now: float, *, over: bool) -> Next:
    """After a promotion nothing has to be proven; the watch ends when its time does."""
    if over:
        return _dismiss(rollout, f"nothing was proven against it in the watch: {verdict.reason}", now)
    return _tell(rollout, Status.FAIL) if verdict.status is Status.FAIL else (rollout, [])


def _dismiss(rollout: Rollout, reason: str, now: float) -> Next:
    """The end of a watch: the former champion need not stay warm."""
    return replace(rollout, phase=Phase.CONCLUDED, changed=now, reason=reason), [Promote()]


def _tell(rollout: Rollout, status: Status) -> Next:
    """Ask a person, once; what was said last is kept as the reason."""
    name = rollout.challenger.variant
    said = {
        Status.PASS: f"{name} passed every judge; `rivals rollout promote` makes it the champion",
        Status.FAIL: f"{name} should be rolled back; `rivals rollout rollback` does it",
    }[status]
    return _say(rollout, said)


def _say(rollout: Rollout, said: str) -> Next:
    return (rollout, []) if rollout.reason == said else (replace(rollout, reason=said), [Notify(said)])


def _end(rollout: Rollout, phase: Phase, reason: str, now: float) -> Next:
    return replace(rollout, phase=phase, changed=now, resume=None, reason=reason), [RollBack(reason)]


# -- steering by people ------------------------------------------------------------------------------


def pause(rollout: Rollout, now: float) -> Next:
    """All traffic to the champion for now; shadowing, judging and the deadline rest too."""
    _running(rollout, "paused")
    if rollout.phase is Phase.PAUSED:
        raise RolloutError(f"{rollout.challenger.variant!r} is paused already; `rivals rollout resume` goes on.")
    if rollout.phase is Phase.WATCH:
        raise RolloutError(
            f"{rollout.challenger.variant!r} is the champion now, and watched; `rivals rollout rollback` undoes that."
        )
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
    if rollout.phase is Phase.WATCH:
        return _dismiss(rollout, "a person ended the watch", now)
    return _promoted(rollout, "promoted by a person", now)


def step_up(rollout: Rollout, now: float) -> Next:
    """One step up on a person's word, whatever the evidence and the dwell."""
    _running(rollout, "advanced")
    if rollout.phase is Phase.PAUSED:
        raise RolloutError(f"{rollout.challenger.variant!r} is paused; `rivals rollout resume` comes first.")
    if rollout.step + 1 >= len(rollout.steps):
        raise RolloutError(
            f"{rollout.challenger.variant!r} has no further step; `rivals rollout promote` gives it everything."
        )
    grown = replace(rollout, phase=Phase.CANARY, step=rollout.step + 1, changed=now, reason="")
    return grown, [SetRoutes(grown.share)]


def concede(rollout: Rollout, winner: str, now: float) -> Rollout:
    """The end of a test for those who did not win it. Its traffic goes where the winner's table sends it."""
    reason = f"{winner} was promoted; this test ended without a verdict on {rollout.challenger.variant}"
    return replace(rollout, phase=Phase.CONCLUDED, changed=now, resume=None, reason=reason)


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
