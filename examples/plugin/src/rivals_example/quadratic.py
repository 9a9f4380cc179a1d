"""A linear model of numbers and of their products."""

from __future__ import annotations

from typing import Any

from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler


class Quadratic:
    """Logistic or ridge regression on all numbers and products of two; ``strength`` is what holds it back."""

    def __init__(self, strength: float = 1.0) -> None:
        self.strength = strength

    def estimator(self, task: str, seed: int) -> Any:
        """Unfitted, by task; parts of scikit-learn, so that it is served as a graph."""
        if task == "regression":
            model: Any = Ridge(alpha=self.strength, random_state=seed)
        else:
            model = LogisticRegression(C=1 / self.strength, max_iter=1000, random_state=seed)
        return make_pipeline(StandardScaler(), PolynomialFeatures(2, include_bias=False), model)
