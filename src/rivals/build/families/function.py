"""The project's own models."""

from __future__ import annotations

from typing import Any

from rivals.build.named import named
from rivals.errors import SpecError


class Function:
    """What ``module:function`` of the project returns: an unfitted estimator in scikit-learn's manner.

    It is called with ``task`` and ``seed`` and the further options: ``{use: function, with: {function: "mine:model",
    depth: 3}}`` calls ``mine.model(task="binary", seed=0, depth=3)``. It is fitted on one block of
    float32 numbers; where ``fit`` takes ``sample_weight`` or ``groups``, it gets them.
    """

    tasks = ("binary", "multiclass", "regression", "ranking", "custom")

    def __init__(self, function: str, **options: Any) -> None:
        self.function, self.options = function, options

    def estimator(self, task: str, seed: int) -> Any:
        """Unfitted. Raises ``SpecError`` where it is no estimator for the task."""
        made = named(self.function)(task=task, seed=seed, **self.options)
        wanted = ("fit", "predict", *(("predict_proba",) if task in {"binary", "multiclass"} else ()))
        if isinstance(made, type) or (lacks := [name for name in wanted if not hasattr(made, name)]):
            lacks = ["an instance"] if isinstance(made, type) else lacks
            raise SpecError(f"{self.function} returned {type(made).__name__}, which lacks {', '.join(lacks)}.")
        return made
