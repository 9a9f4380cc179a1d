"""A token is good for its request and its time, and for nothing else."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivals.errors import RequestError
from rivals.serve.tokens import Tokens, read_key

TOKENS = Tokens(b"a key", keep=60.0)


def status(token: str, name: str = "r/0", now: float = 10.0, tokens: Tokens = TOKENS) -> int:
    try:
        tokens.check("Feedback 0", name, token, now)
    except RequestError as error:
        return error.status
    return 200


def test_a_token_is_good_for_every_row_of_its_request_until_it_expires() -> None:
    token = TOKENS.give("a/b", 10.0)
    assert [status(token, f"a/b/{row}", now) for row in (0, 7) for now in (10.0, 70.0)] == [200] * 4
    assert status(token, "a/b/0", 71.0) == 403


def test_the_same_request_has_the_same_token_whoever_answered_it() -> None:
    assert TOKENS.give("r", 10.0) == Tokens(b"a key", keep=60.0).give("r", 10.9)


@pytest.mark.parametrize("name", ["s/0", "r", "r/0/0", "/0", ""])
def test_a_token_is_of_no_other_request(name: str) -> None:
    assert status(TOKENS.give("r", 10.0), name) == 403


def test_another_key_makes_another_token() -> None:
    assert status(Tokens(b"another", 60.0).give("r", 10.0)) == 403


@given(st.text(max_size=80))
def test_whatever_is_sent_is_refused_with_a_status(text: str) -> None:
    assert status(text) == (403 if text else 401)


@given(st.integers(0, 60), st.characters())
def test_a_changed_character_makes_it_void(place: int, character: str) -> None:
    token = TOKENS.give("r", 10.0)
    changed = token[:place] + character + token[place + 1 :]
    assert changed == token or status(changed) == 403


def test_workers_that_start_together_find_one_key_that_nobody_else_may_read(tmp_path: Path) -> None:
    keys: list[bytes] = []
    threads = [threading.Thread(target=lambda: keys.append(read_key(tmp_path))) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(set(keys)) == 1
    assert len(keys[0]) == 32
    assert [(path.name, path.stat().st_mode & 0o777) for path in tmp_path.iterdir()] == [("feedback.key", 0o600)]


def test_a_key_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIVALS_FEEDBACK_KEY", "from a vault")
    assert read_key(tmp_path) == b"from a vault"
    assert not list(tmp_path.iterdir())
