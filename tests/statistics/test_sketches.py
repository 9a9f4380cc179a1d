"""Sketches: parts add up to the whole, in any order, and what they forget is bounded."""

from __future__ import annotations

import json

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rivals.statistics.sketches import Numbers, Texts, merge_numbers, merge_texts, of_numbers, of_texts

VALUES = st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), max_size=2_000)


def test_ranks_of_merged_shards_are_right_to_a_hundredth() -> None:
    """Eight shards of 25,000 lognormal values; the ranks of 99 quantiles."""
    rng = np.random.default_rng(0)
    shards = [rng.lognormal(size=25_000) for _ in range(8)]
    sketch = Numbers()
    for shard in shards:
        sketch = merge_numbers(sketch, of_numbers(shard))
    whole, shares = np.concatenate(shards), np.linspace(0.01, 0.99, 99)
    ranks = (whole[:, None] <= sketch.quantiles(shares.tolist())).mean(axis=0)
    assert np.abs(ranks - shares).max() < 0.015
    assert (sketch.rows, sketch.low, sketch.high) == (200_000, whole.min(), whole.max())
    assert sum(map(len, sketch.levels)) < 3_000


@settings(max_examples=60, deadline=None)
@given(VALUES, VALUES)
def test_merging_forgets_no_row_and_knows_the_ends(one: list[float], other: list[float]) -> None:
    both = merge_numbers(of_numbers(np.array(one)), of_numbers(np.array(other)))
    known = np.array([value for value in one + other if not np.isnan(value)])
    assert (both.rows, both.nulls) == (len(one) + len(other), len(one) + len(other) - len(known))
    assert sum(len(level) << index for index, level in enumerate(both.levels)) == len(known)
    if len(known):
        assert (both.low, both.high) == (known.min(), known.max())
        assert both.counts(np.array([0.0])).sum() == np.float64(len(known))


def test_few_numbers_are_kept_as_they_are() -> None:
    values = np.random.default_rng(1).normal(size=200)
    edges = np.array([-1.0, 0.0, 1.0])
    exact = np.bincount(np.searchsorted(edges, values), minlength=4)
    np.testing.assert_array_equal(of_numbers(values).counts(edges), exact)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*"abcdefgh", None]), max_size=300), st.lists(st.sampled_from("ghijkl"), max_size=300))
def test_counts_of_frequent_texts_are_too_low_by_what_was_lost_at_most(one: list, other: list) -> None:
    both = merge_texts(of_texts(one, 4), of_texts(other, 4), 4)
    assert both.rows == len(one) + len(other)
    for text in set(one + other) - {None}:
        true = (one + other).count(text)
        assert true - both.lost <= both.counts.get(text, 0) <= true


def test_a_sketch_goes_through_json() -> None:
    for sketch in (of_numbers(np.arange(1_000.0)), of_texts(["a", None, "b"])):
        assert msgspec.convert(json.loads(msgspec.json.encode(sketch)), type(sketch)) == sketch
    assert Texts().others == 0
