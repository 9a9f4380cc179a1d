"""The judges' arena: rules for rollouts, ours and other people's, over the very same incidents.

Everybody climbs the same ramp, on the same rollout machine (``decide.rollout.advance``), with the same requests, the
same failures, the same labels at the same moments, and the same place of each request among the 10,000 slots. Ours are
judged by ``decide.certify``: the code that decides in production. Pure; the measure of evidence comes in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from rivals.decide.certify import Measure, Traffic, certify
from rivals.decide.incidents import DAY, Incident, Truth
from rivals.decide.rollout import advance, start
from rivals.decide.rules.argo import Argo, Conditions
from rivals.decide.rules.bayes import Bayes, Prior
from rivals.decide.rules.flagger import Flagger, Range
from rivals.decide.rules.kayenta import Kayenta
from rivals.decide.rules.look import Arms, Look, Metric, Rule, Tally
from rivals.decide.rules.peeking import Peeking
from rivals.protocols import Judge
from rivals.values import Phase, Rollout, Status, Verdict, Version

S = TypeVar("S")
Rows = NDArray[np.intp]
Counts = NDArray[np.int64]

STEPS = (0.01, 0.05, 0.25, 0.5)
LOOK = 1_800.0  # seconds between two looks of other people's rules: a point of their time series
TICK = 7_200.0  # of ours
LOOKS_A_DAY = int(DAY / LOOK)
WRONG_SIDE = 0.5


@dataclass(frozen=True, slots=True)
class Ramp:
    """The way to the top that everybody takes."""

    steps: tuple[float, ...] = STEPS
    every: float = DAY
    days: float = 14.0  # until the deadline

    def begin(self, now: float) -> Rollout:
        """A rollout before its first step."""
        return start(
            endpoint="arena", champion=Version("champion", "a" * 64), challenger=Version("challenger", "b" * 64),
            steps=self.steps, every=self.every, deadline=self.days * DAY, autonomy="act", now=now, base_revision=1,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ended:
    """How one rollout ended, when, and how many of the clients' requests before that the challenger had: their rows."""

    phase: Phase
    days: float
    asked: Rows


@dataclass(frozen=True, slots=True)
class Foreign:
    """Somebody else's rule, and what it sees: clients' requests alone, in looks of half an hour."""

    name: str
    rule: Rule

    def run(self, traffic: Traffic, ramp: Ramp, seed: int) -> Ended:
        """Climb until it ends."""
        now = float(traffic.time[0])
        rollout, _ = advance(ramp.begin(now), Verdict(self.name, Status.PASS, "begins on the first step"), now)
        watch, memory, asked = Watch(traffic, seed), self.rule.begin(), []
        while not rollout.phase.final and watch.first < len(traffic.time):
            now += LOOK
            seen, rows = watch.look(now, rollout.share)
            asked.append(rows)
            memory, status = self.rule.look(memory, seen)
            rollout, _ = advance(rollout, Verdict(self.name, status, ""), now)
        return Ended(rollout.phase, (now - rollout.started) / DAY, np.concatenate(asked))


@dataclass(frozen=True, slots=True)
class Ours(Generic[S]):
    """Ours: judges over evidence, shadow first; ``measure`` gathers the evidence as the control plane does."""

    name: str
    measure: Measure[S]
    judges: Sequence[Judge]

    def run(self, traffic: Traffic, ramp: Ramp, seed: int) -> Ended:
        """Climb until it ends."""
        rng = np.random.default_rng(seed)
        rollout = ramp.begin(float(traffic.time[0]))
        course = certify(traffic, rollout, self.measure, self.judges, rng, tick=TICK)
        return Ended(course.rollout.phase, course.days, course.rows)


class Watch:
    """Requests as they are routed, and labels as they come: what a metrics server would have counted."""

    def __init__(self, traffic: Traffic, seed: int) -> None:
        self._traffic, self.first, self._labelled = traffic, 0, 0
        self._place = np.random.default_rng(seed).random(len(traffic.time))
        self._arm = np.zeros(len(traffic.time), np.int8)  # 0 champion, 1 challenger, 2 champion, in the baseline
        self._failed = np.zeros(len(traffic.time), bool)
        self._wrong = np.stack([_wrong(traffic, traffic.champion), _wrong(traffic, traffic.challenger)])
        self._order = np.argsort(np.where(np.isnan(traffic.label), np.inf, traffic.due), kind="stable")
        self._due = np.where(np.isnan(traffic.label), np.inf, traffic.due)[self._order]

    def look(self, now: float, share: float) -> tuple[Look, Rows]:
        """What happened up to ``now``, and the rows that the challenger had."""
        last = int(np.searchsorted(self._traffic.time, now, side="right"))
        rows, place = slice(self.first, last), self._place[self.first : last]
        arm = self._arm[rows]
        arm[place < min(1.0, 2 * share)] = 2
        arm[place < share] = 1
        failed = np.where(arm == 1, self._traffic.challenger_failed[rows], self._traffic.champion_failed[rows])
        self._failed[rows] = failed
        came = int(np.searchsorted(self._due, now, side="right"))
        labelled = self._order[self._labelled : came]
        labelled = labelled[~self._failed[labelled]]  # who got no answer has none that could be wrong
        whose = self._arm[labelled]
        wrong = self._wrong[(whose == 1).astype(int), labelled]
        asked = self.first + np.flatnonzero(arm == 1)
        self.first, self._labelled = last, came
        return Look(share, _arms(arm, failed), _arms(whose, wrong)), asked


def _arms(whose: NDArray[np.int8], bad: NDArray[np.bool_]) -> Arms:
    met = np.bincount(whose, minlength=3).tolist()
    lost = np.bincount(whose[bad], minlength=3).tolist()
    return Arms(Tally(met[0] + met[2], lost[0] + lost[2]), Tally(met[1], lost[1]), Tally(met[2], lost[2]))


def _wrong(traffic: Traffic, said: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Labelled rows whose likelier class was not what happened."""
    return np.asarray(~np.isnan(traffic.label) & ((said > WRONG_SIDE) != (traffic.label > WRONG_SIDE)))


# -- the contest -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One rule in one kind of incident. Shares of the runs; days until it decided, of those that did.

    ``wrong``: promoted though worse, or rolled back though not worse. ``harmed``: clients' requests that failed or were
    answered on the wrong side, beyond what the champion alone would have cost, on average, up to the end of the period
    (after a promotion all requests are the challenger's); negative where clients gained.
    """

    incident: str
    truth: Truth
    rule: str
    runs: int
    rolled_back: float
    promoted: float
    undecided: float
    wrong: float
    days: float  # the median
    days_p90: float
    harmed: float


def contest(
    incidents: Sequence[Incident],
    entrants: Sequence[Foreign | Ours[Any]],
    runs: int,
    seed: int,
    ramp: Ramp | None = None,
) -> list[Row]:
    """Let every entrant meet every incident ``runs`` times; the same seed gives the same rows.

    Run k of an incident draws its traffic once, for all entrants; what is drawn depends on seed, incident and k alone.
    """
    return [row for incident in incidents for row in meet(incident, entrants, range(runs), seed, ramp or Ramp())]


def meet(
    incident: Incident, entrants: Sequence[Foreign | Ours[Any]], runs: Sequence[int], seed: int, ramp: Ramp
) -> Iterator[Row]:
    """The rows of one incident, one for each entrant."""
    ended: list[list[tuple[Ended, float]]] = [[] for _ in entrants]
    for run in runs:
        traffic, places = drawn(incident, run, seed)
        cost = _cost(traffic)
        for found, entrant in zip(ended, entrants, strict=True):
            one = entrant.run(traffic, ramp, places)
            found.append((one, _harmed(one, traffic, cost)))
    for found, entrant in zip(ended, entrants, strict=True):
        yield _row(incident, entrant.name, found)


def drawn(incident: Incident, run: int, seed: int) -> tuple[Traffic, int]:
    """The traffic of one run, and the seed of the places of its requests."""
    rng = np.random.default_rng([seed, run, *incident.name.encode()])
    return incident.draw(rng), int(rng.integers(2**63))


def _cost(traffic: Traffic) -> Counts:
    """By row: what the challenger's answer costs a client beyond the champion's."""
    ours = traffic.champion_failed | _wrong(traffic, traffic.champion)
    theirs = traffic.challenger_failed | _wrong(traffic, traffic.challenger)
    return theirs.astype(np.int64) - ours


def _harmed(ended: Ended, traffic: Traffic, cost: Counts) -> float:
    after = traffic.time > traffic.time[0] + ended.days * DAY
    return float(cost[ended.asked].sum() + (cost[after].sum() if ended.phase is Phase.PROMOTED else 0))


def _row(incident: Incident, rule: str, found: list[tuple[Ended, float]]) -> Row:
    phases = [one.phase for one, _ in found]
    back, up = (phases.count(phase) / len(found) for phase in (Phase.ROLLED_BACK, Phase.PROMOTED))
    decided = {Phase.ROLLED_BACK, Phase.PROMOTED}
    days = [one.days for one, _ in found if one.phase in decided]
    return Row(
        incident.name, incident.truth, rule, len(found), back, up,
        undecided=1 - len(days) / len(found),
        wrong=up if incident.truth == "worse" else back,
        days=float(np.median(days)) if days else math.nan,
        days_p90=float(np.quantile(days, 0.9)) if days else math.nan,
        harmed=float(np.mean([harm for _, harm in found])),
    )  # fmt: skip


# -- who takes part ----------------------------------------------------------------------------------


def within(times: float, more: float) -> Callable[[Tally, Tally], bool]:
    """Argo's condition on two queries: the rate is at most so many times the stable version's, and so much more."""

    def condition(champion: Tally, challenger: Tally) -> bool:
        return not challenger.met or not champion.met or challenger.rate <= times * champion.rate + more

    return condition


def beyond(times: float, more: float) -> Callable[[Tally, Tally], bool]:
    """The opposite of ``within``, where both were met."""
    return lambda champion, challenger: not within(times, more)(champion, challenger)


def foreign(failing: float = 0.005, wrong: float = 0.3) -> list[Foreign]:
    """Every rule as documented, and tuned by somebody who knows the service.

    ``failing``, ``wrong``: the champion's usual rates, for tuning. As documented they watch failures; tuned ones also
    the part of wrong answers among those whose label came, by a custom metric.
    """
    day = LOOKS_A_DAY
    both: tuple[Metric, ...] = ("failures", "answers")
    relative: dict[Metric, Conditions] = {
        "failures": Conditions(within(1.25, failing / 2), beyond(2, failing)),
        "answers": Conditions(within(1, 0.05), beyond(1, 0.1)),
    }
    weak = (1.0, 1 / failing - 1)  # a uniform prior would roll back everything: it expects half of all to fail
    caring: dict[Metric, tuple[Prior, float]] = {
        "failures": (weak, failing / 2),
        "answers": ((10 * wrong, 10 * (1 - wrong)), wrong / 10),
    }
    ranges: dict[Metric, Range] = {"failures": Range(least=1 - 4 * failing), "answers": Range(ratio=1.25)}
    return [
        Foreign("Flagger, documented", Flagger(interval=day)),
        Foreign("Flagger, tuned", Flagger(ranges, threshold=3, interval=day)),
        Foreign("Argo, documented", Argo(interval=day // 4)),
        Foreign("Argo, tuned", Argo(relative, failure_limit=1, inconclusive_limit=3, interval=day)),
        Foreign("Kayenta, documented", Kayenta()),
        Foreign("Kayenta, tuned", Kayenta(both, width=2, runs=1)),
        Foreign("z-test, every look", Peeking()),
        Foreign("z-test, tuned", Peeking(0.05 / 28, interval=day, by_step=True, metrics=both)),
        Foreign("Bayes, every look", Bayes({"failures": (weak, math.inf)})),
        Foreign("Bayes, tuned", Bayes(caring, worse=0.99, interval=day)),
    ]
