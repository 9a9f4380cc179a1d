from __future__ import annotations

import numpy as np
import pytest

from rivals.decide.compare import Entry, Truth
from rivals.decide.slicing import banded, slices
from rivals.errors import DataError
from rivals.statistics.losses import Metric

LOSS = Metric("loss", True, lambda t, o, w: float(o[:, 0].mean()), rows=lambda t, o: o[:, 0])
ROWS = 4000


def asked(seed: int, worse_in: str = "") -> tuple[list[Entry], np.ndarray]:
    rng = np.random.default_rng(seed)
    where = np.array([f"s{k:02d}" for k in rng.integers(0, 20, ROWS)], object)
    old, new = rng.normal(0.5, 0.1, (2, ROWS))
    return [Entry("old", old[:, None]), Entry("new", (new + 0.05 * (where == worse_in))[:, None])], where


def test_equals_are_seldom_called_different_in_any_of_twenty_slices() -> None:
    """40 runs, each with a false finding in 5 % at most: 7 or more have P < 1 %. Uncorrected, most runs have one."""
    false = plain = 0
    for seed in range(40):
        entries, where = asked(seed)
        found = slices(entries, Truth(np.zeros(ROWS)), LOSS, where, reference="old")
        false += any(one.verdict in {"better", "worse"} for one in found)
        plain += any(one.variant == "new" and not one.low <= 0 <= one.high for one in found)
    assert false <= 6
    assert plain >= 15


def test_the_slice_that_got_worse_is_found_and_no_other() -> None:
    entries, where = asked(0, worse_in="s07")
    found = slices(entries, Truth(np.zeros(ROWS)), LOSS, where, reference="old")
    assert [one.value for one in found if one.verdict == "worse"] == ["s07"]


def test_a_slice_of_few_rows_is_listed_and_not_judged() -> None:
    entries, where = asked(1)
    where[:5] = "rare"
    found = {
        (one.variant, one.value): one for one in slices(entries, Truth(np.zeros(ROWS)), LOSS, where, reference="old")
    }
    assert (found["new", "rare"].verdict, found["new", "rare"].rows) == ("", 5)


def test_values_become_slices() -> None:
    assert banded(np.array(["a", None, "b"], object)).tolist() == ["a", "missing", "b"]
    assert banded(np.array([1.0, np.nan, 2.0])).tolist() == ["1", "missing", "2"]
    bands = banded(np.append(np.arange(1000.0), np.nan))
    assert bands[-1] == "missing"
    assert np.unique(bands[:-1], return_counts=True)[1].tolist() == [200] * 5


def test_too_many_values_and_a_strange_reference_are_said_so() -> None:
    entries, where = asked(2)
    with pytest.raises(DataError, match="4000 values"):
        slices(entries, Truth(np.zeros(ROWS)), LOSS, np.array([f"u{k}" for k in range(ROWS)], object), reference="old")
    with pytest.raises(DataError, match="'gone' was not compared"):
        slices(entries, Truth(np.zeros(ROWS)), LOSS, where, reference="gone")
