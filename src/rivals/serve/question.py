"""One request put to one variant, and how variants are asked: together."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from rivals.errors import RequestError, RivalsError
from rivals.protocols import Policy, Predictor
from rivals.rules import HEADER
from rivals.serve.aside import Aside
from rivals.serve.asking import tell
from rivals.serve.entries import Closed, Opened
from rivals.serve.inputs import Inputs
from rivals.serve.runtimes.remote import Absent, RemotePredictor
from rivals.serve.runtimes.together import FanOut
from rivals.serve.shelf import Shelved
from rivals.values import SLOTS, Answer, Arm, Outcome, Request, RoutingTable, Signature

OK = Outcome.OK
Answerer = Predictor | Aside | Shelved | FanOut | Absent
TELLS = (Aside, Shelved, RemotePredictor, Absent)
Done = Callable[[Answer | RequestError], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """How a variant is asked; 0: no limit. With ``wait`` or ``at_once`` it is asked in a lane, as one that is away."""

    rows: int = 0  # in one call; a larger request is asked by itself
    wait: float = 0.0  # seconds that the first waits for others
    at_once: int = 0  # requests waiting or being answered; more are not asked
    python: str = ""  # of a virtual environment: it is asked in a process of its own, there

    @property
    def laned(self) -> bool:
        """Whether it is asked in a lane, wherever its model is."""
        return bool(self.wait or self.at_once)


ANYHOW = Asked()


@dataclass(frozen=True, slots=True)
class Serving:
    """A routing table with all that it needs to answer, loaded. Raises ``RivalsError`` where limits do not fit."""

    table: RoutingTable
    predictors: Mapping[str, Answerer]  # by variant: who answers clients
    policy: Policy
    inputs: Inputs
    asides: Mapping[str, Aside | RemotePredictor] = field(
        default_factory=dict
    )  # by variant: who is asked in the shadow
    limits: Mapping[str, Asked] = field(default_factory=dict)  # by variant
    fallback: tuple[str, ...] = ()  # who answers where the champion fails too
    alone: RoutingTable = field(init=False)  # the champion without rivals
    leased: bool = field(init=False)  # whether anybody but the champion may be asked
    headers: frozenset[str] = field(init=False)  # that the policy looks at, in lower case
    columns: frozenset[str] = field(init=False)  # likewise; they need be no inputs
    beside: tuple[str, ...] = field(init=False)  # columns that are made of what a request says beside its rows
    away: frozenset[str] = field(init=False)  # who may answer from elsewhere: a process of its own, or the shelf
    lanes: frozenset[str] = field(init=False)  # of these, and of members that do

    def __post_init__(self) -> None:
        object.__setattr__(self, "alone", alone(self.table))
        others = self.table.shadows or self.table.holdout or self.table.state
        object.__setattr__(self, "leased", len(self.table.arms) > 1 or bool(others))
        laned = {name for name, one in self.limits.items() if one.laned}
        for name in sorted(laned & self.predictors.keys()):
            if isinstance(self.predictors[name], FanOut):
                raise RivalsError(f"{name!r} asks members elsewhere: 'wait' and 'at_once' are not for it.")
        kinds = (*TELLS, FanOut)
        away = frozenset(name for name, one in self.predictors.items() if isinstance(one, kinds) or name in laned)
        object.__setattr__(self, "away", away)
        object.__setattr__(self, "lanes", away.union(*(member_lanes(one) for one in self.predictors.values())))
        everybody = (*self.predictors.values(), *self.asides.values())
        beside = {name for one in everybody for name in getattr(one, "beside", ())}
        object.__setattr__(self, "beside", tuple(sorted(beside)))
        told = {name.removeprefix(HEADER) for name in beside if name.startswith(HEADER)}
        object.__setattr__(self, "headers", frozenset(getattr(self.policy, "headers", ())) | told)
        object.__setattr__(self, "columns", frozenset(getattr(self.policy, "columns", ())))

    @property
    def signature(self) -> Signature:
        """What the endpoint takes and gives: the champion's."""
        return self.predictors[self.table.champion].signature

    @property
    def signatures(self) -> dict[str, Signature]:
        """What each variant takes and gives, shadows included."""
        asides = {name: aside.signature for name, aside in self.asides.items()}
        return {**asides, **{name: predictor.signature for name, predictor in self.predictors.items()}}


def member_lanes(by: object) -> frozenset[str]:
    """Where an ensemble's members are asked that answer from elsewhere."""
    if not isinstance(by, FanOut):
        return frozenset()
    own = [lane_of(by.digests[name]) for name, one in by.members.items() if isinstance(one, TELLS)]
    return frozenset(own).union(*map(member_lanes, by.members.values()))


def lane_of(digest: str) -> str:
    """The lane of a member; no variant is called so."""
    return f"member:{digest}"


def digests(table: RoutingTable) -> dict[str, str]:
    """Who may be asked under a table, arms first, and the bundle of each."""
    return {**answering(table), **shadowing(table)}


def answering(table: RoutingTable) -> dict[str, str]:
    """Who may answer clients, arms first, and the bundle of each."""
    arms = {arm.variant: arm.digest for arm in (*table.arms, *table.answering_by_name)}
    return {**arms, **({table.holdout.variant: table.holdout.digest} if table.holdout else {})}


def shadowing(table: RoutingTable) -> dict[str, str]:
    """Who may be asked in the shadow, and the bundle of each: where an arm is a shadow too, its champion is one."""
    shadows, arms = {one.variant: one.digest for one in table.shadows}, {arm.variant: arm.digest for arm in table.arms}
    both = any(name in arms for name in shadows)
    return {**shadows, **({table.champion: arms[table.champion]} if both else {})}


def alone(table: RoutingTable) -> RoutingTable:
    """The same table with its champion only: nobody is kept apart where nobody is rolled out."""
    champion = next(arm for arm in table.arms if arm.variant == table.champion)
    return replace(
        table,
        arms=(Arm(champion.variant, champion.digest, 1.0),),
        slots=bytes(SLOTS),
        shadows=(),
        holdout=None,
        # A rule is no rollout: it needs no lease. What is learned does: nobody would see that an arm has gone bad.
        named=() if table.state else table.answering_by_name,
    )


class Question(msgspec.Struct, eq=False):
    """One request put to one variant; ``outcome`` and what follows are filled in when it was asked."""

    request: Request
    variant: str
    serving: Serving
    table: RoutingTable
    propensity: Mapping[str, float]
    arrived: float = 0.0  # time.monotonic()
    done: Done | None = None  # None: a shadow, for which nobody waits
    degraded: bool = False  # somebody else answers than was chosen
    partial: bool = False  # an ensemble answered without some of its members
    outcome: Outcome = Outcome.OPEN
    latency_us: int = 0
    outputs: Sequence[Sequence[float]] = ()
    reason: str = ""  # why it failed
    near: Answerer | None = None  # who answers, whoever that name is by now: one from the shelf, or a member

    @property
    def asked(self) -> Answerer:
        """Who is asked: a shadow in its process, where it has one."""
        if self.near is not None:
            return self.near
        if self.done is None and self.variant in self.serving.asides:
            return self.serving.asides[self.variant]
        return self.serving.predictors[self.variant]

    @property
    def away(self) -> bool:
        """Whether the answer is waited for elsewhere than in the loop."""
        return self.variant in self.serving.away and self.done is not None and self.near is None

    @property
    def limit(self) -> Asked:
        """How its variant is asked."""
        return self.serving.limits.get(self.variant, ANYHOW)

    def look(self) -> None:
        """See whether a variant from the shelf is open just now."""
        by = self.serving.predictors[self.variant] if self.variant in self.serving.away else None
        if isinstance(by, Shelved):
            self.near = by.near

    @property
    def late(self) -> bool:
        """Whether the client's deadline has passed."""
        limit = self.request.deadline_ms if self.done else 0.0
        return bool(limit) and (time.monotonic() - self.arrived) * 1e3 > limit

    def opened(self) -> Opened:
        """For the journal."""
        request, inputs = self.request, self.serving.inputs
        slices = inputs.slices_of(request.columns) if inputs.slices else ()
        shadow, rows, revision = self.done is None, request.columns.rows, self.table.revision
        who = request.id, rows, self.variant, shadow, revision, request.time, request.unit
        return Opened(*who, self.propensity, None, slices, request.trace)

    def closed(self) -> Closed:
        """For the journal."""
        request, outputs = self.request, self.outputs if self.outcome is OK else ()
        return Closed(request.id, request.columns.rows, self.variant, self.outcome, self.latency_us, outputs)


def ask(questions: Sequence[Question]) -> None:
    """Ask each variant once for all of its rows; every question then has its outcome."""
    groups: dict[int, tuple[Answerer, list[Question]]] = {}
    for one in questions:
        asked = one.asked
        if id(asked) not in groups:
            groups[id(asked)] = asked, []
        groups[id(asked)][1].append(one)
    for predictor, group in groups.values():
        limit = group[0].limit.rows
        for part in _divided(group, limit) if limit else (group,):
            _ask(predictor, part)


def _ask(predictor: Answerer, group: Sequence[Question]) -> None:
    assert not isinstance(predictor, FanOut)  # its members are asked
    parts = [one.request.columns for one in group]
    told = predictor.tell(parts) if isinstance(predictor, TELLS) else tell(predictor, parts)
    for one, got in zip(group, told, strict=True):
        one.outputs, one.latency_us, one.reason = got.outputs, got.latency_us, got.reason
        one.outcome = Outcome.ERROR if got.reason else OK
        if one.request.deadline_ms and one.late and not got.reason:
            one.outcome = Outcome.DEADLINE


def _divided(group: Sequence[Question], most: int) -> list[list[Question]]:
    """In order, in parts of at most so many rows; a request is not divided."""
    parts: list[list[Question]] = []
    room = 0
    for one in group:
        rows = one.request.columns.rows
        if not parts or rows > room:
            parts.append([])
            room = most
        parts[-1].append(one)
        room -= rows
    return parts


def successor(failed: Question) -> str:
    """Who answers where this one failed: the champion, then the fallbacks in their order; empty: nobody."""
    chain = (failed.table.champion, *failed.serving.fallback)
    place = chain.index(failed.variant) + 1 if failed.degraded or failed.variant == chain[0] else 0
    for name in chain[place:]:
        if name != failed.variant and name in failed.serving.predictors and failed.table.answers(name):
            return name
    return ""


def stand_in(failed: Question, by: str = "") -> Question:
    """The champion, or ``by``, asked instead. It was not drawn for this request, so it has no propensity."""
    table, request = failed.table, failed.request
    name = by or table.champion
    if failed.away:  # the deadline was the variant's: whoever waits still gets an answer
        request = msgspec.structs.replace(request, deadline_ms=0.0)
    return Question(request, name, failed.serving, table, {}, failed.arrived, failed.done, degraded=True)
