from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from rivals.ensemble.combiners.cascade import Cascade
from rivals.ensemble.family import blend
from rivals.ensemble.together import together
from rivals.errors import SpecError
from rivals.protocols import Lesson
from rivals.values import Use
from tests.ensemble.banked import banked, chances, values


def similar(rows: int, seed: int) -> Lesson:
    """A cheap member that says roughly what the dear one says."""
    rng = np.random.default_rng(seed)
    seen = 2 * rng.normal(size=rows)
    target = (rng.random(rows) < 1 / (1 + np.exp(-seen))).astype(np.int64)
    answers = {"dear": chances(seen), "cheap": chances(seen + rng.normal(size=rows) * 0.7)}
    return Lesson(answers, target, "binary", "log_loss", cost={"dear": (5.0, 1.0), "cheap": (0.1, 1.0)})


def test_the_cheap_one_is_first_and_the_dear_one_asked_where_it_is_unsure() -> None:
    cascade = Cascade(order=["cheap", "dear"], thresholds=[0.9])
    cheap = np.array([[0.95, 0.05], [0.6, 0.4], [0.2, 0.8]])
    dear = np.array([[0.1, 0.9], [0.3, 0.7], [0.25, 0.75]])
    assert list(cascade.ask(["dear", "cheap"], {})) == ["cheap"]
    asked = cascade.ask(["dear", "cheap"], {"cheap": cheap})
    assert isinstance(asked, dict)
    assert asked["dear"].tolist() == [False, True, True]
    said = together(cascade, {"dear": lambda: dear, "cheap": lambda: cheap})
    assert said.tolist() == [cheap[0].tolist(), *dear[1:].tolist()]
    assert not cascade.ask(["dear", "cheap"], {"cheap": cheap[:1]})


def test_labels_differ_from_the_last_members_as_seldom_as_was_asked() -> None:
    """200 repetitions at alpha = .05; the bound is on the mean, whose standard error here is below .001."""
    differing, asked = [], []
    for seed in range(200):
        lesson = similar(800, seed)
        learned = Cascade(alpha=0.05).learn(replace(lesson.where(np.arange(800) < 400), cost=lesson.cost))
        assert learned["order"] == ["cheap", "dear"]
        rest = lesson.where(np.arange(800) >= 400)
        said = together(Cascade(**learned), {name: partial(rest.answers.__getitem__, name) for name in rest.answers})
        differing.append(np.mean(said.argmax(axis=1) != rest.answers["dear"].argmax(axis=1)))
        asked.append(np.mean(rest.answers["cheap"].max(axis=1) < learned["thresholds"][0]))
    assert 0.03 < np.mean(differing) <= 0.05 + 0.002
    assert np.mean(asked) < 0.7, "it saves questions"


def test_three_stages_share_what_may_differ() -> None:
    lesson, fold = banked(2_000)
    found = blend(Use("cascade", {"alpha": 0.1, "order": ["noise", "left", "right"]}), lesson, fold)
    held = fold == -1
    differing = np.mean(found.outputs[held].argmax(axis=1) != lesson.answers["right"][held].argmax(axis=1))
    assert differing <= 0.13
    assert len(found.combiner.options["thresholds"]) == 2


def test_mistakes_are_sentences() -> None:
    with pytest.raises(SpecError, match="alpha between 0 and 1, not 1"):
        Cascade(alpha=1)
    with pytest.raises(SpecError, match="values have none: use mean, greedy or stack"):
        Cascade().learn(values(50))
    with pytest.raises(SpecError, match="leaves out its member 'b': a"):
        Cascade(order=["a"]).ask(["a", "b"], {})


def test_with_three_members_the_bound_holds_of_rows_that_were_not_learned_from() -> None:
    """200 repetitions at alpha = .1; the mean's standard error is below .002."""
    differing = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        seen = 2 * rng.normal(size=600)
        spread = {"first": 1.0, "second": 0.6, "last": 0.0}
        answers = {name: chances(seen + rng.normal(size=600) * noise) for name, noise in spread.items()}
        target = (rng.random(600) < 1 / (1 + np.exp(-seen))).astype(np.int64)
        lesson = Lesson(answers, target, "binary", "log_loss")
        taught = lesson.where(np.arange(600) < 300)
        learned = Cascade(alpha=0.1, order=list(spread)).learn(taught)
        rest = lesson.where(np.arange(600) >= 300)
        members = {name: partial(rest.answers.__getitem__, name) for name in rest.answers}
        said = together(Cascade(**learned), members)
        differing.append(np.mean(said.argmax(axis=1) != rest.answers["last"].argmax(axis=1)))
    assert np.mean(differing) <= 0.1 + 0.004


def test_where_a_member_cannot_be_asked_the_others_thresholds_stay_theirs() -> None:
    cascade = Cascade(order=["a", "b", "c"], thresholds=[0.9, 0.6])
    assert cascade.ask(["b", "c"], {}) == ["b"]
    said = np.array([[0.7, 0.3], [0.55, 0.45]])
    assert cascade.ask(["b", "c"], {"b": said})["c"].tolist() == [False, True]  # type: ignore[index,call-overload]
