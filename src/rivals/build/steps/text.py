"""Make numbers of free texts, by the words in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from rivals.build.words import Embedded, Shortened, Words
from rivals.errors import SpecError

# What counts as a word, written as both scikit-learn and the served graph understand it.
WORD = r"[a-zA-Z0-9_]+"


class Text:
    """One column per word, by how telling it is (TF-IDF); at most ``most`` words of each column of texts.

    ``ngrams: 2`` counts pairs of words too; ``min_rows`` leaves rarer words out. A word is of letters without accents,
    digits and underscores; a missing text is the word ``null``. ``columns`` is text (default) or names.
    """

    columnwise = False

    def __init__(
        self, columns: str | Sequence[str] = "text", most: int = 1_000, ngrams: int = 1, min_rows: int = 2
    ) -> None:
        for name, value in (("most", most), ("ngrams", ngrams), ("min_rows", min_rows)):
            if not (isinstance(value, int) and value >= 1):
                raise SpecError(f"step text: {name} is a whole number from 1 up, not {value!r}.")
        self.columns, self.most, self.ngrams, self.min_rows = columns, most, ngrams, min_rows

    def transformer(self, numeric: Sequence[str], text: Sequence[str]) -> Any:
        """A vectoriser for each column. Raises ``SpecError`` where numbers come to it."""
        if numeric:
            raise SpecError(f"step text: {numeric[0]!r} holds numbers; name columns of texts.")
        words = [
            (
                f"words{index}",
                Words(
                    max_features=self.most,
                    ngram_range=(1, self.ngrams),
                    min_df=self.min_rows,
                    token_pattern=WORD,
                    dtype=np.float32,
                ),
                index,
            )
            for index in range(len(text))
        ]
        return ColumnTransformer(words, sparse_threshold=0.0)


class Embed:
    """A short vector per row instead of a text: of its words (latent semantic analysis), or by a model of yours.

    Without ``function``, TF-IDF as step ``text`` has it, brought to ``size`` columns, or to as many as there are words;
    it is served in process. With
    ``function: module:function``, that is called with a list of texts and returns an array (texts, any width): the
    place for a sentence model. It must treat every text by itself, and no graph is made of it.
    Deerwester et al., "Indexing by Latent Semantic Analysis", JASIS 1990.
    """

    columnwise = False

    def __init__(
        self, columns: str | Sequence[str] = "text", size: int = 32, function: str | None = None, **options: Any
    ) -> None:
        if not (isinstance(size, int) and size >= 1):
            raise SpecError(f"step embed: size is a whole number from 1 up, not {size!r}.")
        if options and function is None:
            raise SpecError(f"step embed: {next(iter(options))!r} is an option of a function, and none is named.")
        self.columns, self.size, self.function, self.options = columns, size, function, options

    def transformer(self, numeric: Sequence[str], text: Sequence[str]) -> Any:
        """The vectors of all columns, side by side. Raises ``SpecError`` where numbers come to it."""
        if self.function is None:
            words = Text(most=20_000, min_rows=1).transformer(numeric, text)
            words.sparse_threshold = 1.0  # 20,000 columns, nearly all of them zero
            return Pipeline([("words", words), ("size", Shortened(self.size, random_state=0))])
        if numeric:
            raise SpecError(f"step embed: {numeric[0]!r} holds numbers; name columns of texts.")
        return Embedded(self.function, self.options)
