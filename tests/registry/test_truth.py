"""What was told is a set: whatever came first, twice or late, the labels and rewards are the same."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import sqlalchemy as sa

from rivals.registry import schema
from rivals.registry.store import Store
from rivals.registry.truth import canonical
from rivals.values import Feedback

from .conftest import a_close, an_exposure


def ask(store: Store, *names: str, unit: str = "u", time: float = 1.0) -> None:
    opens = [an_exposure(name, unit=unit, time=time) for name in names]
    store.ship(f"j{names}", 1, opens, [a_close(name) for name in names], [])


def window(start: float, end: float, unit: str = "u", **said: Any) -> Feedback:
    return Feedback("", unit=unit, start=start, end=end, **said)


@pytest.mark.parametrize("label", [1, 0.5, "late", "", True, None, [1, 2]])
def test_what_is_said_twice_is_said_once(store: Store, label: Any) -> None:
    first = Feedback("a/0", label, reward=2.0, time=5.0)
    assert store.take([first, first]) == 1
    assert store.take([first, Feedback("a/0", label, time=6.0), Feedback("a/0", reward=2.0)]) == 0
    assert store.feedback_counts() == {"kept": 1, "unknown": 1, "contradicting": 0, "windows": 0}
    assert store.label("a/0") == label


def test_what_is_contradicted_is_void_for_good_whatever_came_first(store: Store) -> None:
    told = [Feedback("x/0", 1), Feedback("x/0", 0), Feedback("x/0", 1), Feedback("x/0", reward=2.0)]
    for number, order in enumerate(itertools.permutations(told)):
        name = f"{number}/0"
        for one in order:
            store.take([Feedback(name, one.label, one.reward)])
        ask(store, name)
        assert store.label(name) is None
    assert store.feedback_counts() == {"kept": 24, "unknown": 0, "contradicting": 24, "windows": 0}
    assert [one.reward for one in store.rewarded("e")] == [2.0] * 24  # the reward was never in doubt


def test_a_label_joins_a_reward_that_came_before_it(store: Store) -> None:
    assert store.take([Feedback("a/0", reward=2.0)]) == 1
    assert store.take([Feedback("a/0", 1)]) == 1
    assert store.label("a/0") == 1


def test_the_time_that_is_kept_is_the_earliest(store: Store) -> None:
    for time in (5.0, 3.0, 9.0):
        store.take([Feedback("a/0", 1, time=time)])
    assert store.rows(sa.select(schema.feedback.c.time)) == [(3.0,)]


@pytest.mark.parametrize("same", [(1, 1.0, True), (0, 0.0, -0.0, False), (2**53, 2.0**53)])
def test_equal_labels_are_one_label_in_one_form(store: Store, same: tuple[Any, ...]) -> None:
    assert len({canonical(one) for one in same}) == 1
    store.take([Feedback("a/0", one) for one in same])
    assert store.feedback_counts()["contradicting"] == 0
    assert type(store.label("a/0")) is int


@pytest.mark.parametrize("nothing", [math.nan, math.inf, None])
def test_what_is_no_number_says_nothing(store: Store, nothing: Any) -> None:
    assert store.take([Feedback("a/0", nothing, reward=nothing)]) == 0
    assert store.take([Feedback("a/0", 1, reward=2.0)]) == 1
    assert store.label("a/0") == 1


def test_feedback_nobody_knows_is_kept_until_its_exposure_comes(store: Store) -> None:
    store.ship("f", 1, [], [], [Feedback("a/0", 1)])
    assert store.feedback_counts()["unknown"] == 1
    ask(store, "a/0")
    assert store.feedback_counts()["unknown"] == 0
    assert store.labelled("e", "old")[1].tolist() == [1]


# -- by unit and time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["told", "asked"])
def test_a_window_is_of_every_exposure_of_its_unit_from_its_start_to_before_its_end(store: Store, first: str) -> None:
    told = [window(2.0, 4.0, reward=3.2)]
    if first == "told":
        assert store.take(told * 2) == 1
    for time in (1.0, 2.0, 3.0, 4.0):
        ask(store, f"{time}/0", time=time)
    ask(store, "other/0", unit="v", time=3.0)
    if first == "asked":
        assert store.take(told) == 1
    assert store.take(told) == 0
    assert [(one.id, one.reward) for one in store.rewarded("e")] == [("2.0/0", 3.2), ("3.0/0", 3.2)]


def test_windows_and_ids_that_agree_say_one_thing_and_else_nothing(store: Store) -> None:
    for time in (1.0, 2.0, 3.0, 4.0):
        ask(store, f"{time}/0", time=time)
    store.take([window(1.0, 4.0, label=1), window(2.0, 3.0, label=True), window(3.0, 5.0, label=0)])
    store.take([Feedback("1.0/0", 0), Feedback("4.0/0", 0), Feedback("2.0/0", reward=1.0)])
    assert [store.label(f"{time}/0") for time in (1.0, 2.0, 3.0, 4.0)] == [None, 1, None, 0]
    assert store.labelled("e", "old")[1].tolist() == [1, 0]
    assert store.feedback_counts() == {"kept": 3, "unknown": 0, "contradicting": 2, "windows": 3}


def test_a_void_id_is_not_mended_by_a_window(store: Store) -> None:
    ask(store, "a/0")
    store.take([Feedback("a/0", 1), Feedback("a/0", 0), window(0.0, 9.0, label=1)])
    assert store.label("a/0") is None
    assert store.feedback_counts()["contradicting"] == 1


def test_windows_label_pairs_too(store: Store) -> None:
    opens = [an_exposure("a/0"), an_exposure("a/0", "new", shadow=True)]
    store.ship("j", 1, opens, [a_close("a/0"), a_close("a/0", "new")], [])
    store.take([window(0.0, 9.0, label=1)])
    assert [pair.label for pair in store.pairs("e", "old", "new", 0.0, 9.0)] == [1]
