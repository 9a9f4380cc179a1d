"""Free texts: words counted, vectors asked for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import issparse
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from rivals.build.steps.text import Embed, Text
from rivals.errors import BuildError, SpecError
from rivals.testing import prepared
from rivals.testing.rows import check_bundle, stepped

TEXTS = pd.DataFrame({"words": ["late rain", "late snow", None, "sun", "late rain"]})


def lengths(texts: list[str], scale: float = 1.0) -> list[list[float]]:
    """A model of texts, for tests."""
    assert len(set(texts)) == len(texts), "each different text is asked for once"
    return [[len(text) * scale, 1.0] for text in texts]


def flat(texts: list[str]) -> list[float]:
    """A model that answers in the wrong shape."""
    return [0.0 for _ in texts]


def test_rare_words_and_unknown_ones_count_for_nothing() -> None:
    fitted = Text(min_rows=2).transformer([], ["words"]).fit(TEXTS)
    assert fitted.transform(TEXTS).shape == (5, 2)  # late, rain
    assert fitted.transform(pd.DataFrame({"words": ["never seen", ""]})).tolist() == [[0, 0], [0, 0]]


def test_a_missing_text_is_the_word_null() -> None:
    fitted = Text(min_rows=1).transformer([], ["words"]).fit(TEXTS)
    np.testing.assert_array_equal(fitted.transform(TEXTS)[2], fitted.transform(pd.DataFrame({"words": ["null"]}))[0])


def test_the_projects_own_model_makes_vectors_of_every_column() -> None:
    step = Embed(function=f"{__name__}:lengths", scale=2.0)
    table = TEXTS.assign(more=["a", "b", "a", None, "c"])
    block = step.transformer([], ["words", "more"]).fit_transform(table)
    assert block.dtype == np.float32
    assert block.tolist()[:3] == [[18, 1, 2, 1], [18, 1, 2, 1], [0, 1, 2, 1]]


def test_few_words_make_a_shorter_vector_and_it_is_served() -> None:
    rows = prepared(("words",))  # five words, and 32 columns by default
    steps = stepped(Embed(), rows)
    check_bundle(Pipeline([("features", steps), ("model", LogisticRegression())]), rows, served=True)
    assert steps.transform(rows.inputs).shape == (len(rows), 5)
    assert Embed().transformer([], ["words"]).steps[-1][1].get_params()["n_components"] == 32


def test_many_words_stay_sparse_until_they_are_shortened() -> None:
    texts = pd.DataFrame({"words": [f"one{i} two{i}" for i in range(60)]})
    embedded = Embed(size=4).transformer([], ["words"]).fit(texts)
    assert issparse(embedded[:-1].transform(texts))
    assert embedded.transform(texts).shape == (60, 4)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(BuildError, match="one row of numbers per text"):
        Embed(function=f"{__name__}:flat").transformer([], ["words"]).fit(TEXTS)
    for make, said in (
        (lambda: Text(most=0), "most is a whole number"),
        (lambda: Embed(size=0), "size is a whole number"),
        (lambda: Embed(scale=1), "none is named"),
        (lambda: Text().transformer(["a"], []), "'a' holds numbers"),
        (lambda: Embed(function="x:y").transformer(["a"], []), "'a' holds numbers"),
    ):
        with pytest.raises(SpecError, match=said):
            make()
