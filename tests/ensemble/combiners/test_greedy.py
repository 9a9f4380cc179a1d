from __future__ import annotations

from dataclasses import replace
from itertools import combinations_with_replacement

import numpy as np
import pytest

from rivals.ensemble.combiners.greedy import Greedy
from rivals.errors import SpecError
from rivals.protocols import Lesson
from rivals.statistics.losses import absolute, brier, log_loss, squared
from tests.ensemble.banked import banked, values


@pytest.mark.parametrize("metric", ["log_loss", "brier"])
def test_of_labels_it_is_near_the_best_blend_there_is(metric: str) -> None:
    lesson, _ = banked(2_000)
    loss = log_loss if metric == "log_loss" else brier
    weights = Greedy().learn(replace(lesson, metric=metric))["weights"]
    got = loss(lesson.target, sum(weights[name] * lesson.answers[name] for name in weights)).mean()
    names = list(lesson.answers)
    tried = (
        loss(lesson.target, np.mean([lesson.answers[name] for name in some], axis=0)).mean()
        for many in range(1, 9)
        for some in combinations_with_replacement(names, many)
    )
    assert got <= min(tried) + 1e-5
    assert sum(weights.values()) == pytest.approx(1)


@pytest.mark.parametrize(("metric", "loss"), [("rmse", squared), ("mae", absolute)])
def test_of_values_it_is_near_the_best_blend_there_is(metric: str, loss: object) -> None:
    lesson = replace(values(2_000), metric=metric)
    weights = Greedy().learn(lesson)["weights"]
    assert set(weights) == {"left", "right"}
    assert weights["left"] == pytest.approx(0.5, abs=0.05)


def test_rows_count_as_they_weigh() -> None:
    lesson, _ = banked(2_000)
    weight = np.where(np.arange(2_000) < 1_000, 1.0, 0.0)
    half = {name: said[:1_000] for name, said in lesson.answers.items()}
    apart = Greedy().learn(Lesson(half, lesson.target[:1_000], "binary", "log_loss"))
    assert Greedy().learn(replace(lesson, weight=weight)) == apart


def test_many_labels_and_many_members() -> None:
    rng = np.random.default_rng(1)
    target = rng.integers(0, 5, 3_000)
    answers = {}
    for number in range(40):
        scores = rng.normal(size=(3_000, 5)) + 0.3 * np.eye(5)[target]
        answers[f"m{number}"] = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    lesson = Lesson(answers, target, "multiclass", "accuracy")
    weights = Greedy().learn(lesson)["weights"]
    blended = sum(weight * answers[name] for name, weight in weights.items())
    assert log_loss(target, blended).mean() < min(log_loss(target, said).mean() for said in answers.values()) - 0.05


def test_limits_are_kept_together() -> None:
    lesson, _ = banked(1_000)
    dear = replace(lesson, cost={"left": (1.0, 5.0), "right": (2.0, 1.0), "noise": (0.1, 0.1)})
    assert set(Greedy().learn(dear)["weights"]) == {"left", "right"}
    assert "right" not in Greedy(latency_ms=1.5).learn(dear)["weights"]
    assert "left" not in Greedy(size_mb=4.0).learn(dear)["weights"]
    with pytest.raises(SpecError, match=r"No member keeps the limits: 0.05 ms"):
        Greedy(latency_ms=0.05).learn(dear)


def test_mistakes_are_sentences() -> None:
    with pytest.raises(SpecError, match="rounds of 1 or more, not 0"):
        Greedy(rounds=0)
    with pytest.raises(SpecError, match="in a ranking task, use mean"):
        Greedy().learn(replace(values(10), task="ranking"))
