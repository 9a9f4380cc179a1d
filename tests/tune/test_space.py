"""The one language of search spaces."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivals.errors import SpecError
from rivals.tune.space import Choice, Number, named, parse

RAW: dict[str, Any] = {
    "l1_ratio": {"float": [0, 1], "when": {"penalty": ["l1"]}},
    "C": {"float": [0.001, 100], "log": True},
    "penalty": ["l1", "l2", None],
    "depth": {"int": [2, 12]},
    "rows": {"int": [1, 1000], "log": True},
    "share": {"float": [0.1, 0.9], "step": 0.2},
    "encode.min_frequency": {"int": [5, 50], "step": 15},
}


def test_an_option_comes_after_those_it_depends_on() -> None:
    names = list(parse(RAW).domains)
    assert names.index("penalty") < names.index("l1_ratio")
    assert set(names) == set(RAW)


@given(st.integers(0, 10_000))
def test_every_sample_lies_in_the_space(seed: int) -> None:
    space = parse(RAW)
    params = space.sample(Random(seed))
    assert space.holds(params)
    assert ("l1_ratio" in params) == (params["penalty"] == "l1")
    assert isinstance(params["depth"], int)
    assert round(params["share"] * 10) in {1, 3, 5, 7, 9}
    assert params["encode.min_frequency"] in {5, 20, 35, 50}


def test_whole_numbers_are_equally_likely_and_their_logarithms_where_asked() -> None:
    rng = Random(7)
    even = Counter(Number(1, 4, whole=True).at(rng.random()) for _ in range(8000))
    assert set(even) == {1, 2, 3, 4}
    assert all(1800 < count < 2200 for count in even.values())  # 4.5 standard deviations of a fair one
    logs = [Number(1, 1000, whole=True, log=True).at(rng.random()) for _ in range(6000)]
    assert 0.45 < sum(one <= 31 for one in logs) / 6000 < 0.55


@given(st.integers(2, 9))
def test_a_grid_has_every_combination_once(points: int) -> None:
    space = parse({"a": {"float": [0, 1]}, "kind": ["x", "y"], "b": {"int": [1, 3], "when": {"kind": "x"}}})
    found = [named(one) for one in space.grid(points)]
    assert len(found) == len(set(found)) == points * (min(points, 3) + 1)
    ends = {one["a"] for one in space.grid(points)}
    assert {0.0, 1.0} <= ends


def test_a_domain_holds_its_ends_and_nothing_beyond() -> None:
    assert Number(0.5, 2).holds(0.5)
    assert Number(0.5, 2).holds(2)
    assert not Number(0.5, 2).holds(2.1)
    assert not Number(1, 4, whole=True).holds(1.5)
    assert not Number(0, 1).holds(True)
    assert Choice((None, "a")).holds(None)


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ({}, "space maps the name"),
        ([], "space maps the name"),
        ({"C": 3}, "space.C is a list of values"),
        ({"C": {"float": [2, 1]}}, "space.C: low is 2 and high is 1"),
        ({"C": {"float": [0, 1], "log": True}}, "space.C: log needs a low above 0"),
        ({"C": {"float": [1]}}, "space.C is {float: [low, high]}"),
        ({"C": {"float": [1, float("inf")]}}, "space.C is {float: [low, high]}"),
        ({"C": {"float": [1, 2], "int": [1, 2]}}, "space.C has one of float, int and choice"),
        ({"C": {"flaot": [1, 2]}}, "space.C has no key 'flaot'. Did you mean 'float'?"),
        ({"C": {"int": [1.5, 2]}}, "space.C: an int goes from a whole number"),
        ({"C": {"int": [1, 9], "step": 0}}, "space.C: step is a number above 0"),
        ({"C": []}, "space.C is a list of one or more"),
        ({"C": [["a"]]}, "space.C is a list of one or more"),
        ({"C": {"float": [1, 2], "when": {"D": 1}}}, "space.C: when names 'D'"),
        ({"C": {"float": [1, 2], "when": {"p": "z"}}, "p": ["x"]}, "space.C: when asks for p: 'z', which it never is"),
        ({"a": {"int": [1, 2], "when": {"b": 1}}, "b": {"int": [1, 2], "when": {"a": 1}}}, "in a circle"),
    ],
)
def test_a_bad_space_is_refused_with_its_key(raw: Any, sentence: str) -> None:
    with pytest.raises(SpecError, match=sentence.replace("[", r"\[").replace("{", r"\{").split("?", maxsplit=1)[0]):
        parse(raw)
