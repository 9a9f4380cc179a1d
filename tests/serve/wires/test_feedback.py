"""Feedback: one, many, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rivals.errors import RequestError
from rivals.serve import entries
from rivals.serve.tokens import HEADER, Tokens
from rivals.serve.wires.feedback import Terms, feedback
from rivals.values import Feedback
from tests.serve.stage import table

NUMBERS, TEXTS, REGRESSION = Terms((0, 1), (1.0, 5.0)), Terms(("a", "b")), Terms()
WINDOW = {"unit": "u1", "from": 4, "to": 5.5, "reward": 3.2}


def read(body: Any, terms: Terms = NUMBERS, tokens: Tokens | None = None, token: str = "") -> list[Feedback]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return feedback(raw, 9.0, terms, tokens, token)


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
    assert read(told, Terms((0, 1), own_time=True))[0].time == 4.0


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
        ({"id": "a/\0", "label": 1}, "printable"),
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
        (WINDOW | {"unit": 7}, "a unit is a text"),
        (WINDOW | {"id": "r/0"}, "one of them"),
        (WINDOW | {"unit": ""}, "a unit is a text"),
        (WINDOW | {"unit": "a\nb"}, "printable"),
        (WINDOW | {"from": 6}, "the earlier one first"),
        (WINDOW | {"to": 4}, "the earlier one first"),
        (WINDOW | {"to": None}, "the earlier one first"),
        (WINDOW | {"reward": None}, "neither label nor reward"),
        ({"id": "x", "rating": 6}, "a rating is a number from 1 to 5"),
        ({"id": "x", "rating": "good"}, "a rating is a number from 1 to 5"),
        ({"id": "x", "rating": 3, "reward": 1}, "send one of them"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence_and_nothing_is_taken(body: Any, sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        read(body)


def test_labels_are_of_the_endpoints_kind() -> None:
    with pytest.raises(RequestError, match="at most 256 characters"):
        read({"id": "x", "label": "c" * 257}, TEXTS)
    assert read({"id": "x", "label": "c"}, TEXTS)[0].label == "c"  # a class nobody has seen yet
    with pytest.raises(RequestError, match="labels are texts"):
        read({"id": "x", "label": 1}, TEXTS)
    assert read({"id": "x", "label": 2.5}, REGRESSION)[0].label == 2.5
    with pytest.raises(RequestError, match="labels are numbers"):
        read({"id": "x", "label": "much"}, REGRESSION)


def test_a_unit_in_a_time_may_be_meant() -> None:
    assert read(WINDOW) == [Feedback("", None, 3.2, 9.0, "u1", 4.0, 5.5)]


@pytest.mark.parametrize(("rating", "reward"), [(1, 0.0), (2, 0.25), (4.5, 0.875), (5, 1.0)])
def test_a_rating_is_a_reward_between_the_ends_of_its_range(rating: float, reward: float) -> None:
    assert read({"id": "r/0", "rating": rating}) == [Feedback("r/0", None, reward, 9.0)]


def test_a_rating_needs_a_declared_range() -> None:
    with pytest.raises(RequestError, match=r"endpoint\.feedback\.rating"):
        read({"id": "r/0", "rating": 3}, TEXTS)


def test_signed_feedback_needs_the_token_of_its_request_in_the_body_or_the_header() -> None:
    tokens = Tokens(b"key", 100.0)
    one, token = {"id": "r/1", "label": 1}, tokens.give("r", 5.0)
    assert (
        read(one | {"token": token}, NUMBERS, tokens)
        == read([one], NUMBERS, tokens, token)
        == [Feedback("r/1", 1, None, 9.0)]
    )
    with pytest.raises(RequestError, match="has no token") as missing:
        read(one, NUMBERS, tokens)
    with pytest.raises(RequestError, match="not that of request 's'") as strange:
        read([one | {"token": token}, {"id": "s/0", "label": 1}], NUMBERS, tokens, token)
    with pytest.raises(RequestError, match="a token is a text"):
        read(one | {"token": 5}, NUMBERS, tokens)
    with pytest.raises(RequestError, match="rivals feedback FILE") as whole:
        read(WINDOW | {"token": token}, NUMBERS, tokens)
    assert [error.value.status for error in (missing, strange, whole)] == [401, 403, 403]


def test_an_endpoint_that_is_signed_takes_feedback_from_those_it_answered(stage: Any) -> None:
    made = stage(signed=True, keep=60.0)
    made.publish(table({"weak": (made.weak, 1.0)}))
    made.start((0, 1))
    tokens = {name: made.infer(X_Request_Id=name)[1]["x-rivals-feedback-token"] for name in ("r", "s")}
    sent = [
        ({"id": "r/0", "label": 1}, tokens["r"]),
        ({"id": "r/0", "label": 0}, ""),
        ({"id": "r/0", "label": 0}, tokens["s"]),
    ]
    answers = [
        made.ask("POST", "/v2/feedback", body, **({HEADER: token} if token else {}))[0]
        for body, token in sent * 3  # both workers know the key
    ]
    assert answers == [200, 401, 403] * 3
    kept = [one for batch in entries.read(made.run_dir, {}, 10**6) for one in batch.feedback]
    assert {(one.id, one.label) for one in kept} == {("r/0", 1)}
    assert (made.run_dir / "feedback.key").stat().st_mode & 0o777 == 0o600


def test_an_endpoint_that_is_not_signed_sends_no_token(stage: Any) -> None:
    made = stage()
    made.publish(table({"weak": (made.weak, 1.0)}))
    made.start()
    assert HEADER.lower() not in made.infer()[1]
    assert made.ask("POST", "/v2/feedback", WINDOW)[0] == 200
    kept = [one for batch in entries.read(made.run_dir, {}, 10**6) for one in batch.feedback]
    assert [(one.unit, one.start, one.end, one.reward) for one in kept] == [("u1", 4.0, 5.5, 3.2)]
