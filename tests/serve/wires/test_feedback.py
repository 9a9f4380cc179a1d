"""Feedback: one, many, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rivals.errors import RequestError
from rivals.serve.wires.feedback import feedback
from rivals.values import Feedback, Signature

NUMBERS = Signature((), "binary", (0, 1))
TEXTS = Signature((), "multiclass", ("a", "b"))
REGRESSION = Signature((), "regression")


def read(body: Any, signature: Signature = NUMBERS, *, own_time: bool = False) -> list[Feedback]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return feedback(raw, 9.0, signature, own_time=own_time)


def test_one_a_list_and_a_wrapped_list_are_taken() -> None:
    one = {"id": "r/0", "label": 1}
    kept = Feedback("r/0", 1, None, 9.0)
    assert read(one) == [kept]
    assert read([one, one]) == [kept, kept]
    assert read({"feedback": [one]}) == [kept]
    assert read([]) == []


def test_a_reward_is_a_float_and_may_come_with_a_label() -> None:
    assert read({"id": "r/0", "reward": 3}) == [Feedback("r/0", None, 3.0, 9.0)]
    assert read({"id": "r/0", "reward": -0.5, "label": True}) == [Feedback("r/0", True, -0.5, 9.0)]


def test_only_a_replay_believes_the_time_in_the_body() -> None:
    told = {"id": "r/0", "label": 1, "time": 4}
    assert read(told)[0].time == 9.0
    assert read(told, own_time=True)[0].time == 4.0


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (7, "Feedback 0 is an object"),
        ([{"id": "r/0", "label": 1}, 7], "Feedback 1 is an object"),
        ({"label": 1}, "Feedback 0 has no id"),
        ({"id": 5, "label": 1}, "Feedback 0 has no id"),
        ({"id": "", "label": 1}, "Feedback 0 has no id"),
        ({"id": "x" * 301, "label": 1}, "Feedback 0 has no id"),
        ({"id": "a\nb/0", "label": 1}, "printable"),
        ({"id": "x"}, "neither label nor reward"),
        ({"id": "x", "label": None}, "neither label nor reward"),
        ({"id": "x", "reward": "much"}, "a reward is a number"),
        ({"id": "x", "reward": 1e300}, "a reward is a number"),
        ({"id": "x", "label": []}, "a label is a text or a number"),
        ({"id": "x", "label": 2**70}, "a label is a text or a number"),
        ({"id": "x", "label": 10**4000}, "a label is a text or a number"),
        ({"id": "x", "label": "1"}, "this endpoint's labels are numbers"),
        ({"id": "x", "label": 1, "time": "noon"}, "seconds since the epoch"),
        ({"id": "x", "label": 1, "time": 1.7e12}, "seconds since the epoch"),
        ({"id": "x", "labels": 1}, "Feedback 0 is an object"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence_and_nothing_is_taken(body: Any, sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        read(body)


def test_labels_are_of_the_endpoints_kind() -> None:
    assert read({"id": "x", "label": "c"}, TEXTS)[0].label == "c"  # a class nobody has seen yet
    with pytest.raises(RequestError, match="labels are texts"):
        read({"id": "x", "label": 1}, TEXTS)
    assert read({"id": "x", "label": 2.5}, REGRESSION)[0].label == 2.5
    with pytest.raises(RequestError, match="labels are numbers"):
        read({"id": "x", "label": "much"}, REGRESSION)
