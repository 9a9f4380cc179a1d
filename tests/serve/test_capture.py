"""Inputs are kept of whom was asked for, and of nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivals.serve import entries
from rivals.serve.capture import Capture
from rivals.values import Columns, Request

from .stage import ROW, table


def a_request(name: str = "r") -> Request:
    return Request(name, Columns({"a": [1.0, 2.0], "secret": ["x", "y"]}, 2), name, 1.0)


def test_redacted_columns_are_never_kept() -> None:
    assert Capture(1.0, ["secret", "unheard-of"]).of(a_request()) == {"a": [1.0, 2.0]}


@given(st.lists(st.text(), min_size=1))
def test_all_is_all_and_none_is_none(names: list[str]) -> None:
    assert all(Capture(1.0).of(a_request(name)) for name in names)
    assert not any(Capture(0.0).of(a_request(name)) for name in names)


def test_a_share_is_drawn_by_id_and_the_same_everywhere() -> None:
    kept = {number for number in range(4_000) if Capture(0.25).of(a_request(f"{number}"))}
    assert 890 < len(kept) < 1_110  # 4 standard deviations: fails by chance once in 16,000 salts; there is one
    assert kept == {number for number in range(4_000) if Capture(0.25).of(a_request(f"{number}"))}
    assert kept < {number for number in range(4_000) if Capture(0.5).of(a_request(f"{number}"))}


@pytest.mark.parametrize(("capture", "kept"), [(1.0, [{"a": 0.5, "color": "red"}] * 2), (0.0, [])])
def test_a_worker_writes_down_what_its_rows_asked_once(stage: Any, capture: float, kept: list[Any]) -> None:
    made = stage(capture=capture, redact=("b",))
    made.publish(table({"weak": (made.weak, 1.0)}, shadows={"strong": made.strong}))
    made.start()
    assert made.infer(ROW, ROW, X_Request_Id="r")[0] == 200
    assert made.infer({**ROW, "a": "wrong"}, X_Request_Id="s")[0] >= 400

    def written() -> Any:
        return entries.read(made.run_dir, {}, 10**6)

    made.says(lambda: sum(len(batch.closes) for batch in written()) == 4)
    found = [one for batch in written() for one in batch.inputs]
    assert [name for name, _ in found] == (["r/0", "r/1"] if kept else [])
    assert [entries.msgspec.json.decode(body) for _, body in found] == kept
