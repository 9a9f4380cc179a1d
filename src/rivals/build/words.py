"""Transformers of free texts: words counted as the served graph counts them, and vectors of the project's own model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from rivals.build.named import named
from rivals.bundles import NULL, is_gap
from rivals.errors import BuildError


class Words(TfidfVectorizer):  # type: ignore[misc]  # scikit-learn has no types
    """TF-IDF in which a missing text is one of the single word ``null``, as it is in a graph."""

    def decode(self, doc: Any) -> Any:
        """The text that is counted."""
        return super().decode(NULL if is_gap(doc) else doc)


class Shortened(TruncatedSVD):  # type: ignore[misc]  # scikit-learn has no types
    """Latent semantic analysis that takes as many columns as there are, where fewer come than were asked for."""

    n_components: int

    def fit_transform(self, X: Any, y: Any = None) -> NDArray[Any]:  # noqa: N803 -- scikit-learn's signature
        """(rows, columns)."""
        asked, self.n_components = self.n_components, min(self.n_components, X.shape[1])
        try:
            return np.asarray(super().fit_transform(X, y))
        finally:
            self.n_components = asked


class Embedded(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Each different text is asked for once per call; a missing one is the empty text."""

    def __init__(self, function: str, options: Mapping[str, Any]) -> None:
        self.function, self.options = function, options

    def fit(self, rows: Any, labels: Any = None) -> Embedded:  # noqa: ARG002 -- scikit-learn's signature
        """Learn how wide the vectors are."""
        self.width_ = self._vectors([""]).shape[1]
        return self

    def transform(self, rows: Any) -> NDArray[np.float32]:
        """(rows, columns x width) float32."""
        table = pd.DataFrame(rows)
        parts = []
        for name in table.columns:
            texts = ["" if is_gap(value) else str(value) for value in table[name]]
            different = list(dict.fromkeys(texts))
            vectors = dict(zip(different, self._vectors(different), strict=True)) if different else {}
            parts.append(np.stack([vectors[text] for text in texts]) if texts else np.zeros((0, self.width_)))
        return np.concatenate(parts, axis=1).astype(np.float32)

    def _vectors(self, texts: list[str]) -> NDArray[Any]:
        found = np.asarray(named(self.function)(texts, **self.options))
        if found.ndim != 2 or len(found) != len(texts):  # noqa: PLR2004 -- a table
            raise BuildError(
                f"{self.function} answered {len(texts)} texts with an array of shape {found.shape}; "
                "it returns one row of numbers per text."
            )
        return found
