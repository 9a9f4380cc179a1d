"""Which trace a request belongs to."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivals.serve.traces import NOBODY, traceparent

GOOD = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_clients_trace_holds() -> None:
    assert traceparent(GOOD, "r-1") == GOOD.decode()


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert traceparent(b"cc" + GOOD[2:] + b"-more", "r-1") == GOOD.decode()


@pytest.mark.parametrize(
    "given",
    [b"", b"ff" + GOOD[2:], GOOD[:-1], GOOD.upper(), b"00-" + b"0" * 32 + GOOD[35:], GOOD[:36] + b"0" * 16 + b"-01"],
)
def test_what_cannot_be_read_begins_a_trace_of_its_own(given: bytes) -> None:
    assert traceparent(given, "r-1").split("-")[2] == NOBODY


def test_an_id_drawn_here_is_its_trace() -> None:
    assert traceparent(b"", "ab" * 16) == f"00-{'ab' * 16}-{NOBODY}-01"


@given(st.binary(max_size=80), st.text(max_size=50))
def test_it_always_has_the_form(given: bytes, name: str) -> None:
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", traceparent(given, name))
