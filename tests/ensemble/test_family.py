from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from rivals.ensemble.combiners.mean import Mean
from rivals.ensemble.family import Ensemble
from rivals.ensemble.together import together
from rivals.errors import DataError

Answers = Mapping[str, NDArray[np.float64]]


class FirstSure:
    """Ask one after the other until one is sure."""

    def ask(self, members: Sequence[str], answers: Answers) -> Sequence[str]:
        if any(said.max() > 0.9 for said in answers.values()):
            return []
        return [name for name in members if name not in answers][:1]

    def combine(self, answers: Answers) -> NDArray[np.float64]:
        return list(answers.values())[-1]


def test_nobody_is_asked_who_is_not_needed() -> None:
    asked: list[str] = []

    def member(name: str, said: float) -> tuple[str, object]:
        def ask() -> NDArray[np.float64]:
            asked.append(name)
            return np.array([[1 - said, said]])

        return name, ask

    answer = together(FirstSure(), dict([member("a", 0.6), member("b", 0.95), member("c", 0.5)]))  # type: ignore[arg-type]
    assert asked == ["a", "b"]
    assert answer[0, 1] == 0.95


def test_an_ensemble_of_banked_answers_is_their_mean() -> None:
    banked = {"a": np.array([[0.2, 0.8]]), "b": np.array([[0.4, 0.6]]), "other": np.array([[1.0, 0.0]])}
    assert np.allclose(Ensemble(("a", "b"), Mean()).outputs(banked), [[0.3, 0.7]])


def test_a_member_without_predictions_is_named() -> None:
    with pytest.raises(DataError, match="'b' has no predictions"):
        Ensemble(("a", "b"), Mean()).outputs({"a": np.zeros((1, 2))})


def test_members_of_other_rows_are_refused() -> None:
    with pytest.raises(DataError, match="different rows"):
        Ensemble(("a", "b"), Mean()).outputs({"a": np.zeros((1, 2)), "b": np.zeros((2, 2))})
