"""One budget, many studies."""

from __future__ import annotations

import math
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivals.tune.market import Market, Study, bid

trials = st.lists(st.tuples(st.floats(0.1, 5), st.floats(0.01, 3)), max_size=30).map(tuple)
studies = st.lists(trials, min_size=1, max_size=6).map(
    lambda all_: [Study(f"v{number}", one) for number, one in enumerate(all_)]
)


def run(market: Market, draw: dict[str, tuple[float, float, float]], seed: int = 1) -> dict[str, Study]:
    """Spend a budget on studies whose losses are normal: (mean, deviation, seconds of a trial)."""
    rng, found = Random(seed), {name: Study(name) for name in draw}
    while (name := market.choose(list(found.values()))) is not None:
        mean, spread, seconds = draw[name]
        found[name] = Study(name, (*found[name].trials, (rng.gauss(mean, spread), seconds)))
    return found


def test_most_of_the_budget_goes_where_the_best_loss_can_still_fall() -> None:
    found = run(Market(seconds=300.0), {"good": (1.0, 0.1, 1.0), "bad": (3.0, 0.1, 1.0), "worse": (4.0, 0.2, 1.0)})
    assert found["good"].spent > 0.6 * 300
    assert found["good"].spent > 4 * found["bad"].spent


def test_of_two_equal_ones_the_cheaper_gets_more_trials() -> None:
    found = run(Market(seconds=300.0), {"cheap": (1.0, 0.1, 0.5), "dear": (1.0, 0.1, 5.0)})
    assert len(found["cheap"].trials) > 5 * len(found["dear"].trials)


@pytest.mark.parametrize("seed", range(5))
def test_every_study_has_its_floor(seed: int) -> None:
    market = Market(seconds=400.0, floor=0.4)
    found = run(market, {"good": (1.0, 0.1, 1.0), "bad": (9.0, 0.1, 1.0), "dear": (9.0, 0.1, 7.0)}, seed)
    for one in found.values():
        assert one.spent >= 0.4 * 400 / 3 - one.each


@given(studies, st.floats(0, 100))
def test_the_budget_is_kept_but_for_a_first_trial_each(found: list[Study], budget: float) -> None:
    name = Market(seconds=budget).choose(found)
    if name is not None:
        one = next(one for one in found if one.name == name)
        spent = math.fsum(other.spent for other in found)
        assert not one.trials or one.each <= budget - spent + 1e-9


@given(studies)
def test_the_same_studies_have_the_same_answer(found: list[Study]) -> None:
    assert Market(seconds=50.0).choose(found) == Market(seconds=50.0).choose(found)


def test_a_number_of_trials_is_a_budget_too() -> None:
    found = run(Market(trials=40), {"a": (1.0, 0.1, 1.0), "b": (2.0, 0.1, 1.0)})
    assert sum(len(one.trials) for one in found.values()) == 40
    assert min(Counter({name: len(one.trials) for name, one in found.items()}).values()) >= 4


def test_a_budget_too_small_for_anything_still_tries_everybody_once() -> None:
    found = run(Market(seconds=0.001), {"a": (1.0, 0.1, 1.0), "b": (2.0, 0.1, 1.0)})
    assert {name: len(one.trials) for name, one in found.items()} == {"a": 1, "b": 1}


def test_one_that_has_no_more_points_is_passed_over() -> None:
    done = Study("done", ((1.0, 1.0),) * 10, exhausted=True)
    assert Market(seconds=50.0).choose([done, Study("open", ((2.0, 1.0),))]) == "open"
    assert Market(seconds=50.0).choose([done]) is None


def test_nothing_is_bought_once_nobody_can_still_win() -> None:
    flat = Study("flat", tuple((1.0 + 1e-9 * k, 1.0) for k in range(40)))
    assert Market(seconds=100.0, worth=1e-3, floor=0.0).choose([flat]) is None
    assert Market(seconds=100.0, worth=0.0, floor=0.0).choose([flat]) == "flat"


def test_a_study_bids_less_the_further_it_trails_and_failures_cost_it() -> None:
    losses = tuple((1.0 + 0.01 * k, 1.0) for k in range(20))
    one = Study("v", losses)
    assert bid(one, 1.0) > bid(one, 0.9) > bid(one, 0.5) > 0
    half = Study("v", (*losses, *(((math.inf, 1.0),) * 20)))
    assert bid(half, 1.0) < bid(one, 1.0)
    assert bid(Study("v"), 1.0) == 0
