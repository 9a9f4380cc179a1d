"""Sums of blocks: what is told of several together is what would be told of all their rows at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivals.observe.cohorts import VALUES, by_slice, calibration_error, reliability, slice_losses


def test_chances_that_come_true_are_calibrated_and_others_are_off_by_as_much() -> None:
    rng = np.random.default_rng(0)
    said = rng.uniform(0.2, 0.8, 100_000)
    happened = (rng.random(100_000) < said).astype(float)
    assert calibration_error([reliability(said, happened)]) < 0.01
    assert calibration_error([reliability(said + 0.1, happened)]) == pytest.approx(0.1, abs=0.01)


def test_nothing_is_said_of_no_answers() -> None:
    assert np.isnan(calibration_error([]))
    assert np.isnan(calibration_error([()]))
    assert slice_losses([{}]) == {}


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from("abc"), st.booleans()), min_size=2, max_size=60), st.data())
def test_blocks_add_up(rows: list[tuple[float, str, bool]], data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(rows) - 1))
    said = np.array([one[0] for one in rows])
    happened = np.array([float(one[2]) for one in rows])
    names = [[one[1]] for one in rows]
    parts = [slice(0, cut), slice(cut, None)]
    whole = calibration_error([reliability(said, happened)])
    assert calibration_error([reliability(said[p], happened[p]) for p in parts]) == pytest.approx(whole)
    found = slice_losses([by_slice(said[p], names[p]) for p in parts])
    for name, one in slice_losses([by_slice(said, names)]).items():
        assert (found[name].rows, found[name].loss) == (one.rows, pytest.approx(one.loss))


def test_a_column_of_many_values_names_the_frequent_ones() -> None:
    names = [[f"v{i}"] for i in range(100)] + [["often"]] * 3
    found = by_slice(np.ones(103), names)
    assert len(found) == VALUES
    assert found["often"] == (3, 3.0)
