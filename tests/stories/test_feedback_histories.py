"""Random histories of feedback - late, doubled, shuffled, contradicting, for nobody - against an oracle of thirty lines.

The oracle knows no store and no order: it holds what was asked and what was told as plain sets. The figures must be
equal to it bit by bit: as the history unfolded, and again where all of it came in another order and other batches.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from rivals.observe.evidence import EvidenceState, Rules, advance, begin, due
from rivals.observe.outcomes import mean_rewards
from rivals.registry.store import Store
from rivals.statistics.eprocess import BlockBets, on_block
from rivals.values import Exposure, Feedback, Outcome, Rollout, Version

BLOCK, DELAY, LEAST = 20.0, 15.0, 2
RULES = Rules(block=BLOCK, label_delay=DELAY, min_pairs=LEAST)
ROLLOUT = Rollout(
    "r", "e", Version("old", ""), Version("new", ""), (0.5,), every=1.0, deadline=1e9, started=0.0, changed=0.0
)
Asked = tuple[str, str, float, str, float, float]  # id, unit, time, who answered, p of old, p of new


# -- the oracle ------------------------------------------------------------------------------------------


def about(told: Iterable[Feedback], asked: Asked, kind: str) -> Any:
    """What everything told about an exposure agrees on; None where it does not, or nothing was told."""
    name, unit, time, *_ = asked
    of = [one for one in told if one.id == name or (one.unit == unit and one.start <= time < one.end)]
    said = {getattr(one, kind) for one in of} - {None}
    return said.pop() if len(said) == 1 else None


def block_of(told: list[Feedback], asked: list[Asked], start: float) -> list[float]:
    """Differences of the squared errors over the labelled rows of a block."""
    rows = [(about(told, one, "label"), one) for one in asked if start <= one[2] < start + BLOCK]
    known = [(y, one[4], one[5]) for y, one in rows if y is not None]
    return [(q - y) * (q - y) - (p - y) * (p - y) for y, p, q in known]


def rewards_of(told: list[Feedback], asked: list[Asked], end: float) -> dict[str, tuple[float, int]]:
    """Mean reward of a unit by the variant of its first answer, over what was answered before ``end``."""
    units: dict[str, list[tuple[float, str, str, float]]] = {}
    for one in asked:
        if (reward := about(told, one, "reward")) is not None and one[2] < end:
            units.setdefault(one[1], []).append((one[2], one[0], one[3], reward))
    means: dict[str, list[float]] = {}
    for rows in units.values():
        means.setdefault(min(rows)[2], []).append(math.fsum(row[3] for row in rows) / len(rows))
    return {name: (math.fsum(each) / len(each), len(each)) for name, each in means.items()}


def contradicted(told: list[Feedback], asked: list[Asked]) -> int:
    """Labels and rewards, of what was asked and of ids that nobody knows, that were told differently."""
    names = {one[0] for one in asked}
    strangers = [(one.id, "", -1.0, "", 0.0, 0.0) for one in {one.id: one for one in told if one.id}.values()]
    every = [*asked, *(one for one in strangers if one[0] not in names)]
    said = [
        {getattr(one, kind) for one in told if one.id == a[0] or (one.unit == a[1] and one.start <= a[2] < one.end)}
        for a in every
        for kind in ("label", "reward")
    ]
    return sum(len(values - {None}) > 1 for values in said)


# -- the system ------------------------------------------------------------------------------------------


def ship(store: Store, asked: Asked, at: int) -> None:
    name, unit, time, who, p, q = asked
    opens, closes = [], []
    for variant, output in (("old", p), ("new", q)):
        shadow = variant != who
        propensity = {} if shadow else {"old": 0.3, "new": 0.7}
        opens.append(Exposure(name, variant, shadow, "e", 1, time, unit, propensity))
        closes.append((name, variant, Outcome.OK, 5, (1 - output, output)))
    store.ship(f"j{name}{at}", 1, opens, closes, [])


def look(store: Store, state: EvidenceState, now: float) -> EvidenceState:
    blocks = [(start, store.pairs("e", "old", "new", start, start + BLOCK)) for start in due(state, now, RULES)]
    return advance(state, (), blocks, now, RULES)


def figures(store: Store, end: float) -> tuple[Any, ...]:
    rewards = mean_rewards(store.rewarded("e", end=end))
    found = store.feedback_counts()
    return rewards, found["contradicting"], store.expected("e")


names = st.sampled_from([f"r{number}/0" for number in range(9)])
units = st.sampled_from(["u", "v", "w"])
times = st.integers(0, 40).map(float)
likely = st.floats(0, 1)
said = st.one_of(
    st.fixed_dictionaries({"label": st.sampled_from([0, 1, 1.0, True, False])}),
    st.fixed_dictionaries({"reward": st.sampled_from([0.1, 0.2, 0.3, 3.2, -0.0, 0.0])}),
    st.fixed_dictionaries({"label": st.sampled_from([0, 1]), "reward": st.floats(-1e6, 1e6)}),
)


class Histories(RuleBasedStateMachine):
    """One history, told to the store as it comes."""

    def __init__(self) -> None:
        super().__init__()
        self.store, self.at, self.now = Store("sqlite://"), 0, 0.0
        self.asked: list[Asked] = []
        self.told: list[Feedback] = []
        self.state = begin(ROLLOUT)
        self.bets, self.loss, self.labelled = BlockBets(), 0.0, 0  # as the oracle has them
        self.next_block = 0.0

    def hear(self, feedback: list[Feedback]) -> None:
        self.at += 1
        self.store.ship(f"f{self.at}", 1, [], [], feedback)
        self.told += feedback

    @rule(name=names, unit=units, time=times, who=st.sampled_from(["old", "new"]), p=likely, q=likely)
    def ask(self, name: str, unit: str, time: float, who: str, p: float, q: float) -> None:
        if name not in {one[0] for one in self.asked}:
            self.at += 1
            self.asked.append((name, unit, self.now + time, who, p, q))
            ship(self.store, self.asked[-1], self.at)

    @rule(name=names, said=said, time=times)
    def tell(self, name: str, said: dict[str, Any], time: float) -> None:
        self.hear([Feedback(name, **said, time=time)])

    @rule(unit=units, start=times, long=st.integers(1, 40), said=said)
    def tell_of_a_window(self, unit: str, start: float, long: int, said: dict[str, Any]) -> None:
        self.hear([Feedback("", **said, unit=unit, start=start, end=start + long)])

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def tell_again(self, data: st.DataObject) -> None:
        again = data.draw(st.lists(st.sampled_from(self.told), min_size=1, max_size=4))
        self.hear(again) if data.draw(st.booleans()) else self.store.take(again)

    @rule(later=st.floats(0, 30))
    def judge(self, later: float) -> None:
        self.now += later
        self.state = look(self.store, self.state, self.now)
        while self.next_block + BLOCK + DELAY <= self.now:
            each = block_of(self.told, self.asked, self.next_block)
            self.next_block += BLOCK
            if len(each) >= LEAST:
                mean = math.fsum(each) / len(each)
                self.bets = on_block(self.bets, mean, RULES.quality_margin)
                self.loss, self.labelled = self.loss + mean * len(each), self.labelled + len(each)
        self.is_the_oracles()

    def is_the_oracles(self) -> None:
        assert self.state.quality == self.bets
        assert (self.state.loss, self.state.counts[0].labelled) == (self.loss, self.labelled)
        rewards, void, _ = figures(self.store, self.now)
        assert rewards == rewards_of(self.told, self.asked, self.now)
        assert void == contradicted(self.told, self.asked)

    def teardown(self) -> None:
        """All of it once more, in another order and other batches: the same to the last bit."""
        self.is_the_oracles()
        random, other, end = Random(len(self.told)), Store("sqlite://"), self.now + 1e6
        events: list[Any] = [*self.asked, *self.told, *self.told[::2]]
        random.shuffle(events)
        for number, event in enumerate(events):
            if isinstance(event, Feedback):
                together = [
                    one for one in events[number : number + random.randrange(1, 4)] if isinstance(one, Feedback)
                ]
                other.take(together)
            else:
                ship(other, event, number)
        for one in self.asked:
            assert other.label(one[0]) == self.store.label(one[0]) == about(self.told, one, "label")
        assert figures(other, end) == figures(self.store, end)
        over = max([one[2] for one in self.asked], default=0.0) + BLOCK + DELAY
        ours, theirs = (look(store, begin(ROLLOUT), over) for store in (self.store, other))
        assert ours == theirs
        for store in (self.store, other):
            store.close()


def histories(many: int, steps: int) -> None:
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        Histories,
        settings=settings(max_examples=many, stateful_step_count=steps, deadline=None, suppress_health_check=quiet),
    )


def test_a_hundred_histories_of_feedback_are_the_oracles_bit_by_bit() -> None:
    histories(100, 12)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_a_thousand_histories_of_feedback_are_the_oracles_bit_by_bit() -> None:
    histories(1_000, 15)
