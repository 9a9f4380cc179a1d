"""Every member has a vote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rivals.ensemble.weighing import Answers, asked, checked, emit_weighted, learnable, weighted
from rivals.errors import SpecError
from rivals.protocols import Graph, Lesson
from rivals.statistics.losses import log_loss, missed, squared

LEAST = 1e-3  # of a rate of errors


class Vote:
    """``soft``: the mean of probabilities or values. ``hard``: the share of members whose likeliest label it is.

    ``weights`` are equal, given by hand, or ``bank``: learned from banked predictions. A hard vote then weighs as the
    logarithm of its member's odds of being right, best where members err independently (Nitzan & Paroush 1982); a soft
    one as one over the member's loss.
    """

    def __init__(
        self, kind: Literal["soft", "hard"] = "soft", weights: Literal["bank"] | Mapping[str, float] | None = None
    ) -> None:
        if kind not in {"soft", "hard"}:
            raise SpecError(f"A vote is soft or hard, not {kind!r}.")
        if isinstance(weights, str) and weights != "bank":
            raise SpecError(f"Weights of a vote are 'bank' or a number by member, not {weights!r}.")
        self.kind, self.learns = kind, weights == "bank"
        self.weights = checked(weights) if isinstance(weights, Mapping) else None
        self.named = frozenset(self.weights or ())

    def learn(self, lesson: Lesson) -> Mapping[str, Any]:
        """Weights, where the bank is to give them."""
        if not self.learns:
            return {}
        learnable(lesson, "vote")
        loss = missed if self.kind == "hard" else squared if lesson.task == "regression" else log_loss
        wrong = {
            name: float(np.average(loss(lesson.target, said), weights=lesson.weight))
            for name, said in lesson.answers.items()
        }
        if self.kind == "soft":
            return {"weights": {name: 1 / max(value, LEAST * max(wrong.values())) for name, value in wrong.items()}}
        others = next(iter(lesson.answers.values())).shape[1] - 1
        odds = {name: np.clip(value, LEAST, 1 - LEAST) for name, value in wrong.items()}
        weights = {name: max(0.0, float(np.log((1 - value) / value * others))) for name, value in odds.items()}
        return {"weights": weights if any(weights.values()) else dict.fromkeys(weights, 1.0)}

    def ask(self, members: Sequence[str], answers: Answers) -> Sequence[str]:
        """Whoever has not answered yet."""
        return asked(members, answers, self.weights)

    def combine(self, answers: Answers) -> NDArray[np.float64]:
        """The share of votes by label. Raises ``SpecError`` where values, not labels, should be voted on."""
        if self.kind == "soft":
            return weighted(answers, self.weights)
        width = next(iter(answers.values())).shape[1]
        if width == 1:
            raise SpecError("Values cannot be voted on: say kind: soft.")
        return weighted({name: np.eye(width)[said.argmax(axis=1)] for name, said in answers.items()}, self.weights)

    def emit(self, graph: Graph, answers: Mapping[str, str], width: int) -> str:
        """A soft vote as operators."""
        return emit_weighted(graph, answers, self.weights, width) if self.kind == "soft" else ""
