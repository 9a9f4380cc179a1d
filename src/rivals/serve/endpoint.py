"""The heart of the data plane: choose, remember, answer, ask. Read this first.

Requests that arrive during one turn of the loop are taken together. A turn (1) lets the policy choose, (2) writes down
in one commit what is opened now and what was computed in the turn before, (3) lets the computed answers leave, and
(4) asks each variant once for all of its requests; who lives in another process answers in a later turn. So an exposure
is on record before its variant is asked, and its end before its answer leaves; under load a turn is a batch, without
anybody waiting for one.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

from msgspec import structs

from rivals.errors import Overloaded, RequestError
from rivals.serve.away import PATIENCE, Away, Later
from rivals.serve.capture import Capture
from rivals.serve.entries import Closed, Opened
from rivals.serve.question import Done, Question, Serving, ask, stand_in, successor
from rivals.serve.shadows import Shadows
from rivals.statistics.assignment import slot
from rivals.statistics.layers import apart as kept_apart
from rivals.values import SLOTS, Answer, Choice, Outcome, Request, RoutingTable, Shadow

log = logging.getLogger("rivals.endpoint")

PENDING = 1_024  # requests under way in one worker; more are refused
ENDED = 64  # shadows that one turn writes down: a lane may come back with thousands
OK = Outcome.OK
QUIET = 1.0  # seconds between two complaints about failing variants


Soon = Callable[[Callable[[], None]], object]


class Record(Protocol):
    """What the heart needs of a journal."""

    def commit(self, opened: Sequence[Opened], closed: Sequence[Closed]) -> bool:
        """Write one turn down; False where that was refused for now."""


class Tally(Protocol):
    """What the heart tells the metrics."""

    def request(self, variant: str, outcome: Outcome, seconds: float, about: str = "") -> None:
        """A variant was asked for a client; ``about`` names the request."""

    def shadow(self, variant: str, outcome: Outcome) -> None:
        """A variant was asked in the shadow."""

    def degraded(self, variant: str, reason: str) -> None:
        """The champion stands in for a variant, members of it are missing, or its answer was not written down."""

    def shed(self, reason: str) -> None:
        """Something was not done, for want of room or time."""


class Endpoint:
    """Answers from whatever ``swap`` gave it last. Belongs to one loop; nothing in it blocks but a model.

    ``soon`` calls a function in the loop's next round; ``post`` does so from another thread, ``later`` after some
    seconds. ``lease_until`` is the
    ``time.monotonic()`` up to which anybody but the champion is asked.
    """

    def __init__(
        self,
        serving: Serving,
        journal: Record,
        tally: Tally,
        soon: Soon,
        post: Soon,
        later: Later,
        rng: Random,
        capture: Capture | None = None,
    ) -> None:
        self.serving = serving
        self.lease_until = -math.inf
        self._journal, self._tally, self._soon, self._rng = journal, tally, soon, rng
        self._capture = capture
        self._shadows = Shadows(lambda asked: post(lambda: self._shadowed(asked)))
        self._away = Away(post, later, self._settled)
        self._arrived: list[tuple[Request, float, Done]] = []
        self._finished: list[Question] = []
        self._ended: list[Question] = []  # shadows
        self._pending = 0
        self._awake = self._closed = False
        self._complained = -math.inf

    @property
    def idle(self) -> bool:
        """Whether nothing is under way, shadows included."""
        return self.answered and not (len(self._shadows) or self._ended)

    @property
    def answered(self) -> bool:
        """Whether no client waits any more."""
        return not self._pending

    def swap(self, serving: Serving) -> None:
        """Answer from this from now on; what is under way ends with what it began."""
        self.serving = serving
        self._away.keep(serving.lanes)
        if unasked := self._shadows.keep(serving.signatures):
            for one in unasked:
                one.outcome = Outcome.SHED
            self._ended += unasked
            self._wake()

    def submit(self, request: Request, arrived: float, done: Done) -> None:
        """Take a request that fits the inputs; ``done`` is called in a later round. Raises ``Overloaded``."""
        if self._pending >= PENDING:
            self._tally.shed("busy")
            raise Overloaded("This worker is busy; try again.")
        self._pending += 1
        self._arrived.append((request, arrived, done))
        self._wake()

    def turn(self) -> None:
        """Choose, remember, let answers leave, ask."""
        self._awake = False
        leaving, asked = self._finished, list[Question]()
        self._finished = []
        if self._arrived:
            arrived, self._arrived = self._arrived, []
            asked = self._choose_all(arrived)
        closed = [one.closed() for one in leaving]
        failed = [one for one in leaving if one.outcome is not OK and _failed(one) and successor(one)]
        if failed:
            leaving = [one for one in leaving if one not in failed]
            asked += [stand_in(one, successor(one)) for one in failed]
        opened = [one.opened() for one in asked]
        if self._capture is not None:
            for question, begun in zip(asked, opened, strict=True):
                begun.inputs = None if question.degraded else self._capture.of(question.request)
        pairs = [pair for one in leaving if one.table.shadows for pair in self._pairs(one)]
        ended = self._ended
        if pairs or ended:
            ended, self._ended = ended[:ENDED], ended[ENDED:]
            ended += [pair for pair in pairs if pair.outcome is Outcome.SHED]
            opened += [pair.opened() for pair in pairs]
            closed += [one.closed() for one in ended]
        kept = not (opened or closed) or self._journal.commit(opened, closed)
        for one in leaving:
            self._leave(one, kept)
        if failed or ended:
            self._count(failed, ended)
        if pairs:
            self._shadows.put([pair for pair in pairs if pair.outcome is Outcome.OPEN])
        if asked:
            near = self._near(asked) if any(one.serving.away for one in asked) else asked
            ask(near)
            self._finished += near
        if self._finished or self._ended:
            self._wake()

    def close(self) -> None:
        """End, once it is ``answered``. A shadow without an answer by now was not asked, as the journal says."""
        self._closed = True
        self._away.close()
        left = self._shadows.close()
        # A shadow's thread may still be at it: its question is left as it is.
        unasked = [structs.replace(one, outcome=Outcome.SHED) for one in left if one.outcome is Outcome.OPEN]
        ended = [*self._ended, *(one for one in left if one.outcome is not Outcome.OPEN), *unasked]
        if ended:
            self._journal.commit([], [one.closed() for one in ended])
            self._count([], ended)
        self._ended = []

    def _near(self, asked: Sequence[Question]) -> list[Question]:
        """Those that answer at once; the others are sent to where they answer."""
        for one in asked:
            one.look()
            if one.away:
                self._away.ask(one)
        self._away.flush()
        return [one for one in asked if not one.away]

    def _choose_all(self, arrived: Sequence[tuple[Request, float, Done]]) -> list[Question]:
        serving = self.serving  # one read: everything asked in this turn sees one revision
        held = not serving.leased or time.monotonic() < self.lease_until
        table = serving.table if held else serving.alone
        chosen = []
        for request, since, done in arrived:
            try:
                choice = self._choose(serving, table, request)
                one = Question(request, choice.variant, serving, table, choice.propensity, since, done)
                if not held and not table.answers(choice.variant):  # pinned to one whose lease ran out
                    one = stand_in(one)
                    self._tally.degraded(choice.variant, "lease")
                if request.deadline_ms and one.late:  # nobody waits for it any more
                    self._tally.shed("deadline")
                    raise _too_late(request)  # noqa: TRY301 -- it ends as what a policy refuses does
                chosen.append(one)
            except RequestError as error:
                self._pending -= 1
                done(error)
            except Exception:
                log.exception("policy.failed policy=%s", table.policy.name)
                self._pending -= 1
                self._tally.shed("policy")
                done(Overloaded("The routing policy failed on this; it is written down."))
        return chosen

    def _choose(self, serving: Serving, table: RoutingTable, request: Request) -> Choice:
        if request.pin:
            return serving.policy.choose(serving.table, request, self._rng)
        if (table.holdout or table.layer) and (apart := kept_apart(table, request.unit)):
            return Choice(apart[0], {apart[0]: 1.0})  # whatever the policy: there is no choice
        return serving.policy.choose(table, request, self._rng)

    def _pairs(self, one: Question) -> list[Question]:
        """Who else is asked, in the shadow of an answer: a variant is paired with the champion, both ways."""
        champion = one.table.champion
        if one.outcome is not Outcome.OK or one.degraded:
            return []
        names = {
            shadow.variant if one.variant == champion else champion
            for shadow in one.table.shadows
            if one.variant in {champion, shadow.variant} and _sampled(one, shadow)
        }
        pairs = [Question(one.request, name, one.serving, one.table, {}) for name in sorted(names)]
        for pair in pairs:
            if not self._shadows.admit(pair):
                pair.outcome = Outcome.SHED
        return pairs

    def _leave(self, one: Question, kept: bool) -> None:
        self._pending -= 1
        request = one.request
        self._tally.request(one.variant, one.outcome, time.monotonic() - one.arrived, request.trace or request.id)
        if not kept:
            self._tally.degraded(one.variant, "unrecorded")
        assert one.done
        if one.partial:
            self._tally.degraded(one.variant, "partial")
            self._complain(one)
        if one.outcome is OK:
            degraded = one.degraded or one.partial or not kept
            one.done(Answer(one.request.id, one.variant, one.table.revision, one.outputs, degraded))
        elif one.outcome is Outcome.DEADLINE:
            one.done(_too_late(one.request))
        else:
            self._complain(one)
            one.done(Overloaded("No variant can answer this just now; try again later."))

    def _count(self, failed: Sequence[Question], ended: Sequence[Question]) -> None:
        for one in failed:
            self._tally.request(one.variant, one.outcome, time.monotonic() - one.arrived)
            self._tally.degraded(one.variant, "stand_in")
            self._complain(one)
        for one in ended:
            self._tally.shadow(one.variant, one.outcome)
            if one.outcome is Outcome.SHED:
                self._tally.shed("shadow")
            elif one.outcome is not Outcome.OK:
                self._complain(one)

    def _complain(self, one: Question) -> None:
        """Say why a variant failed, or answered without some members; the metrics count, the log need not."""
        now = time.monotonic()
        if now - self._complained >= QUIET:
            self._complained, what = now, "degraded" if one.partial else "failed"
            log.warning("variant.%s variant=%s request=%s reason=%s", what, one.variant, one.request.id, one.reason)

    def _shadowed(self, asked: list[Question]) -> None:
        if not self._closed:
            self._shadows.release(asked)
            self._ended += asked
            self._wake()

    def _settled(self, one: Question) -> None:
        self._finished.append(one)
        self._wake()

    def _wake(self) -> None:
        if not self._awake:
            self._awake = True
            self._soon(self.turn)


def _failed(one: Question) -> bool:
    """Whether somebody else should answer: who is away may also be late, or not be asked."""
    return one.outcome is Outcome.ERROR or one.away


def _sampled(one: Question, shadow: Shadow) -> bool:
    """Whether a unit is in a shadow's sample: always or never under one salt, and whichever arm it meets."""
    return (
        shadow.share >= 1 or slot(one.table.salt, f"shadow {shadow.variant} {one.request.unit}") < shadow.share * SLOTS
    )


def _too_late(request: Request) -> RequestError:
    return RequestError(f"The answer was not ready within {request.deadline_ms or 1e3 * PATIENCE:g} ms.", 504)
