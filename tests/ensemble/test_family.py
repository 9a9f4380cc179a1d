from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from rivals.ensemble.family import blend
from rivals.ensemble.together import together
from rivals.errors import DataError
from rivals.protocols import Lesson
from rivals.statistics.losses import log_loss
from rivals.values import Use
from tests.ensemble.banked import banked

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
    answers = {"a": np.array([[0.2, 0.8]]), "b": np.array([[0.4, 0.6]])}
    found = blend(Use("mean"), Lesson(answers, np.zeros(1), "binary"), np.zeros(1, np.int64))
    assert np.allclose(found.outputs, [[0.3, 0.7]])
    assert found.members == ("a", "b")


def test_members_of_other_rows_are_refused() -> None:
    answers = {"a": np.zeros((1, 2)), "b": np.zeros((2, 2))}
    with pytest.raises(DataError, match="different rows"):
        blend(Use("mean"), Lesson(answers, np.zeros(1), "binary"), np.zeros(1, np.int64))


@pytest.mark.parametrize("combiner", ["greedy", "stack", "cascade", "vote"])
def test_what_was_learned_is_asked_of_rows_it_did_not_learn_from(combiner: str) -> None:
    lesson, fold = banked(600)
    use = Use(combiner, {"weights": "bank"} if combiner == "vote" else {})
    found = blend(use, lesson, fold)
    for part in (0, 1, 2, -1):
        flipped = lesson.target.copy()
        flipped[fold == part] = 1 - flipped[fold == part]
        other = blend(use, Lesson(lesson.answers, flipped, "binary"), fold)
        mine = fold == part
        np.testing.assert_array_equal(other.outputs[mine], found.outputs[mine], err_msg="a row's own fold counts not")
    if combiner in {"greedy", "stack"}:
        assert not np.array_equal(
            other.outputs, blend(use, Lesson(lesson.answers, 1 - lesson.target, "binary"), fold).outputs
        )


def test_folds_in_time_learn_from_earlier_ones_only() -> None:
    lesson, fold = banked(600)
    found = blend(Use("greedy"), lesson, fold, ordered=True)
    flipped = np.where(fold == 2, 1 - lesson.target, lesson.target)
    other = blend(Use("greedy"), Lesson(lesson.answers, flipped, "binary"), fold, ordered=True)
    np.testing.assert_array_equal(other.outputs[fold >= 0], found.outputs[fold >= 0])
    first = fold == 0
    equal = np.mean([said[first] for said in lesson.answers.values()], axis=0)
    np.testing.assert_allclose(found.outputs[first], equal, atol=1e-12, err_msg="nothing was learned before it")


@pytest.mark.parametrize("combiner", ["greedy", "stack"])
def test_a_blend_of_good_and_useless_members_is_better_than_its_best_one(combiner: str) -> None:
    lesson, fold = banked(4_000)
    found = blend(Use(combiner), lesson, fold)
    alone = {name: log_loss(lesson.target, said).mean() for name, said in lesson.answers.items()}
    assert log_loss(lesson.target, found.outputs).mean() < min(alone.values()) - 0.01
    assert "noise" not in found.members or found.combiner.options["weights"]["noise"] < 0.1


def test_a_member_that_nobody_needs_is_left_out() -> None:
    lesson, fold = banked(4_000)
    found = blend(Use("greedy"), lesson, fold)
    assert set(found.members) == {name for name, weight in found.combiner.options["weights"].items() if weight}
    assert "noise" not in found.members
