"""How long labels took: each answer once, however often and in whatever order it is told."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec

from rivals.registry.lags import Lags, lags_key
from rivals.registry.store import Store
from rivals.values import Exposure, Feedback

DAY = 86_400.0


def asked(name: str, when: float, endpoint: str = "toy", *, shadow: bool = False) -> Exposure:
    return Exposure(name, "a", shadow, endpoint, 1, when, name, {"a": 1.0})


def known(store: Store, endpoint: str = "toy") -> Lags:
    raw = store.state(lags_key(endpoint))
    return msgspec.json.decode(raw, type=Lags) if raw else Lags()


def test_every_answer_counts_once_by_its_endpoint(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 's.db'}")
    store.ship("j", 1, [asked("x/0", 0.0), asked("y/0", 10.0), asked("z/0", 0.0, "other")], [], [])
    told = [Feedback("x/0", 1, time=30.0), Feedback("y/0", 0, time=2 * DAY), Feedback("z/0", 0, time=5.0)]
    for number, batch in enumerate([told, told, [Feedback("x/0", 0, time=40.0)], [Feedback("nobody/0", 1, time=1.0)]]):
        store.ship("f", number + 1, [], [], batch)
    store.ship("f", 4, [], [], told)  # the batch was taken in already
    assert sum(known(store).counts) == 2
    assert known(store).counts[2] == 1  # from 10 to 60 seconds
    assert known(store).seconds == 30.0 + 2 * DAY - 10.0
    assert known(store, "other").counts[1] == 1


def test_label_and_reward_of_one_answer_count_by_the_first(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 's.db'}")
    store.ship("j", 1, [asked("x/0", 0.0), asked("x/0", 0.0, shadow=True)], [], [])
    store.take([Feedback("x/0", None, 1.0, time=5.0)])
    store.take([Feedback("x/0", 1, time=50.0)])
    assert (sum(known(store).counts), known(store).seconds) == (1, 5.0)


def test_batches_in_any_cut_say_the_same(tmp_path: Path) -> None:
    rng = random.Random(5)
    told = [Feedback(f"{n}/0", 1, time=float(n + rng.expovariate(1 / DAY))) for n in range(300)]
    found = set()
    for turn in range(4):
        store = Store(f"sqlite:///{tmp_path / f'{turn}.db'}")
        store.ship("j", 1, [asked(f"{n}/0", float(n)) for n in range(300)], [], [])
        many = rng.sample(told * 2, 600) if turn else told
        cut = rng.randrange(1, len(many))
        store.ship("f", 1, [], [], many[:cut])
        store.ship("f", 2, [], [], many[cut:])
        found.add(tuple(known(store).counts))
    assert len(found) == 1
