"""A whole scikit-learn pipeline, with steps of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sklearn.base import is_classifier, is_regressor

from rivals.build.describe import recreate
from rivals.errors import SpecError


class Pipeline:
    """``estimator`` as ``rivals.compare`` writes it: ``{use: module:Class, with: {parameter: value}}``, part by part.

    It takes the columns as they are, by name: float32 numbers with NaN for gaps, texts with None; so it names no
    feature set. Where a ``random_state`` is None it is the project's seed, and ``n_jobs`` is 1.
    """

    whole = True  # rows, not a block of numbers, and its own steps

    def __init__(self, estimator: Mapping[str, Any]) -> None:
        self._description = estimator

    def estimator(self, task: str, seed: int) -> Any:
        """Unfitted. Raises ``SpecError`` where it is of another kind than the task."""
        made = recreate(self._description)
        if not hasattr(made, "get_params"):
            raise SpecError(f"family pipeline: {type(made).__name__} is no estimator.")
        name = type(made).__name__
        if task == "regression" and not is_regressor(made):
            raise SpecError(f"{name} is no regressor, and the task is regression.")
        if task != "regression" and not is_classifier(made):
            raise SpecError(f"{name} is no classifier, and the task is {task}.")
        if task != "regression" and not hasattr(made, "predict_proba"):
            raise SpecError(
                f"{name} gives no probabilities (predict_proba); choose another estimator, or calibrate it."
            )
        params = made.get_params(deep=True)
        for key, value in params.items():
            last = key.rpartition("__")[2]
            if last == "random_state" and value is None:
                made.set_params(**{key: seed})
            if last == "n_jobs":  # variants run side by side; threads inside one only get in each other's way
                made.set_params(**{key: 1})
        return made
