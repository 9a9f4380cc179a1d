from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from rivals.ensemble.combiners.stack import Stack
from rivals.ensemble.family import blend
from rivals.errors import SpecError
from rivals.protocols import Lesson
from rivals.statistics.losses import log_loss, squared
from rivals.values import Use
from tests.ensemble.banked import banked, values

BOOSTED = {"estimator": "sklearn.ensemble.GradientBoostingClassifier", "options": {"n_estimators": 5}}


def test_a_pool_of_chances_is_the_logistic_regression_it_should_be() -> None:
    lesson, _ = banked(20_000)
    learned = Stack().learn(lesson)
    logits = np.column_stack([np.log(said[:, 1] / said[:, 0]) for said in lesson.answers.values()])
    truth = LogisticRegression(C=1e6).fit(logits, lesson.target).coef_[0]
    for name, weight in zip(lesson.answers, truth, strict=True):
        assert learned["weights"].get(name, 0.0) == pytest.approx(max(weight, 0.0), abs=0.05)


def test_it_mends_members_that_are_too_sure() -> None:
    rng = np.random.default_rng(3)
    seen = rng.normal(size=6_000)
    target = (rng.random(6_000) < 1 / (1 + np.exp(-seen))).astype(np.int64)
    sure = 1 / (1 + np.exp(-4 * seen))
    lesson = Lesson({"sure": np.column_stack([1 - sure, sure])}, target, "binary", "log_loss")
    learned = Stack(**Stack().learn(lesson))
    assert (
        log_loss(target, learned.combine(lesson.answers)).mean() < log_loss(target, lesson.answers["sure"]).mean() - 0.2
    )


def test_values_are_pooled_by_least_squares_from_nothing_up() -> None:
    lesson = values(5_000)
    learned = Stack().learn(lesson)
    assert learned["weights"]["left"] == pytest.approx(1, abs=0.02)
    assert learned["weights"].get("noise", 0.0) < 0.01
    stack = Stack(**learned)
    kept = {name: lesson.answers[name] for name in stack.ask(list(lesson.answers), {})}
    assert squared(lesson.target, stack.combine(kept)).mean() == pytest.approx(0.01, abs=0.002)


def test_members_that_say_the_same_share_what_they_earn() -> None:
    lesson, _ = banked(2_000)
    twins = replace(lesson, answers={"one": lesson.answers["left"], "two": lesson.answers["left"]})
    weights = Stack().learn(twins)["weights"]
    assert weights["one"] == pytest.approx(weights["two"], rel=1e-3)


def test_any_meta_learner_stacks_and_is_kept_as_a_graph() -> None:
    lesson, fold = banked(1_000)
    found = blend(Use("stack", BOOSTED), lesson, fold)
    options = json.loads(json.dumps(dict(found.combiner.options)))  # as a bundle keeps it
    held = {name: said[fold == -1] for name, said in lesson.answers.items()}
    np.testing.assert_allclose(Stack(**options).combine(held), found.outputs[fold == -1], atol=1e-6)
    assert log_loss(lesson.target, found.outputs).mean() < 0.6


def test_without_having_learned_it_pools_alike() -> None:
    lesson, _ = banked(50)
    said = Stack().combine(lesson.answers)
    np.testing.assert_allclose(said.sum(axis=1), 1)
    assert np.allclose(Stack().combine(values(5).answers), np.mean(list(values(5).answers.values()), axis=0))


def test_mistakes_are_sentences() -> None:
    lesson, _ = banked(100)
    with pytest.raises(SpecError, match=r"is scikit-learn's, as sklearn.linear_model"):
        Stack("os.system").learn(lesson)
    with pytest.raises(SpecError, match="gives no probabilities"):
        Stack("sklearn.svm.LinearSVC").learn(lesson)
    with pytest.raises(SpecError, match="cannot be made"):
        Stack("sklearn.linear_model.LogisticRegresion").learn(lesson)
