"""Each step by itself; what they make together is in test_pipeline."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from rivals.build.steps.encode import Encode
from rivals.build.steps.impute import Impute
from rivals.build.steps.scale import Scale
from rivals.errors import SpecError
from rivals.plugins import make, names
from rivals.protocols import Step
from rivals.values import Use

NUMBERS = np.array([[1.0], [np.nan], [3.0], [8.0]], np.float32)
TEXTS = np.array([["x"], [None], ["x"], ["y"]], dtype=object)


@pytest.mark.parametrize("name", ["impute", "scale", "encode"])
def test_each_is_found_by_its_name_and_works_column_by_column(name: str) -> None:
    assert name in names(Step)
    assert make(Step, Use(name, {"columns": ["a"]})).columnwise  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "filled"),
    [
        ({}, 3.0),
        ({"strategy": "mean"}, 4.0),
        ({"strategy": "constant"}, 0.0),
        ({"strategy": "constant", "value": -1}, -1),
    ],
)
def test_gaps_in_numbers_are_filled(options: dict[str, Any], filled: float) -> None:
    out = Impute(**options).transformer(["a"], []).fit_transform(NUMBERS)
    assert out[1, 0] == filled
    assert out.dtype == np.float32


@pytest.mark.parametrize(
    ("options", "filled"),
    [
        ({"strategy": "constant"}, "missing"),
        ({"strategy": "constant", "value": "?"}, "?"),
        ({"strategy": "most_frequent"}, "x"),
    ],
)
def test_gaps_in_texts_are_filled(options: dict[str, Any], filled: str) -> None:
    assert Impute(**options).transformer([], ["t"]).fit_transform(TEXTS)[1, 0] == filled


def test_texts_have_no_median() -> None:
    with pytest.raises(SpecError, match="texts have no median"):
        Impute("text").transformer([], ["t"])


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(SpecError, match="'middle'"):
        Impute(strategy="middle")  # type: ignore[arg-type]


def test_texts_are_not_scaled() -> None:
    with pytest.raises(SpecError, match="t holds texts"):
        Scale("all").transformer([], ["t"])


def test_unseen_texts_are_all_zeros_and_a_gap_is_a_text_of_its_own() -> None:
    encoder = Encode().transformer([], ["t"]).fit(TEXTS)
    out = encoder.transform(np.array([["x"], ["new"], [None]], dtype=object))
    assert out.dtype == np.float32
    assert out.sum(axis=1).tolist() == [1, 0, 1]
    assert (out[0] != out[2]).any()


def test_rare_texts_share_a_column_with_unseen_ones() -> None:
    encoder = Encode(min_frequency=2).transformer([], ["t"]).fit(pd.DataFrame({"t": list("xxxyyz")}, dtype=object))
    out = encoder.transform(pd.DataFrame({"t": ["z", "new", "x"]}, dtype=object))
    assert (out[0] == out[1]).all()
    assert (out[0] != out[2]).any()
