from __future__ import annotations

import numpy as np
import pytest

from rivals.ensemble.combiners.vote import Vote
from rivals.errors import SpecError
from tests.ensemble.banked import banked, values

SAID = {
    "a": np.array([[0.9, 0.1], [0.4, 0.6]]),
    "b": np.array([[0.4, 0.6], [0.4, 0.6]]),
    "c": np.array([[0.3, 0.7], [0.2, 0.8]]),
}


def test_a_soft_vote_is_the_mean_and_a_hard_one_counts() -> None:
    assert np.allclose(Vote().combine(SAID), [[1.6 / 3, 1.4 / 3], [1 / 3, 2 / 3]])
    assert np.allclose(Vote("hard").combine(SAID), [[1 / 3, 2 / 3], [0, 1]])
    assert np.allclose(Vote("hard", {"a": 4, "b": 1, "c": 1}).combine(SAID), [[4 / 6, 2 / 6], [0, 1]])


def test_the_bank_weighs_votes_by_what_they_are_worth() -> None:
    lesson, _ = banked(4_000)
    for kind in ("soft", "hard"):
        weights = Vote(kind, "bank").learn(lesson)["weights"]  # type: ignore[arg-type]
        assert weights["noise"] < min(weights["left"], weights["right"])
    right = {name: np.mean(said.argmax(axis=1) == lesson.target) for name, said in lesson.answers.items()}
    hard = Vote("hard", "bank").learn(lesson)["weights"]
    assert hard["left"] == pytest.approx(np.log(right["left"] / (1 - right["left"])))


def test_weights_that_are_given_are_not_learned() -> None:
    lesson, _ = banked(100)
    assert not Vote("soft", {"left": 1}).learn(lesson)


def test_mistakes_are_sentences() -> None:
    with pytest.raises(SpecError, match="soft or hard, not 'loud'"):
        Vote("loud")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="'bank' or a number by member, not 'best'"):
        Vote("soft", "best")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="Values cannot be voted on"):
        Vote("hard").combine(values(10).answers)
