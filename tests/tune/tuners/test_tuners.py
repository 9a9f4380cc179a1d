"""Every tuner: the same claims."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rivals.errors import SpecError
from rivals.plugins import make, names
from rivals.protocols import Tuner
from rivals.tune.search import Search, Tried
from rivals.tune.space import Space, named, parse
from rivals.values import Use

SPACE = parse(
    {
        "x": {"float": [-5, 5]},
        "n": {"int": [1, 100], "log": True},
        "kind": ["a", "b"],
        "deep": {"float": [0.01, 1], "log": True, "when": {"kind": "a"}},
    }
)
ALL = [Use(name) for name in names(Tuner)]
ALL += [Use("optuna", {"sampler": name}) for name in ("random", "cmaes")]


def tuner(use: Use, space: Space = SPACE, **more: Any) -> Tuner:
    return make(Tuner, Use(use.name, {"space": space, "seed": 3, **use.options, **more}))


def loss(params: Mapping[str, Any]) -> float:
    return (params["x"] - 2) ** 2 + math.log(params["n"]) ** 2 / 10 + (0 if params["kind"] == "a" else 1)


@pytest.mark.parametrize("use", ALL, ids=str)
def test_what_is_asked_lies_in_the_space(use: Use) -> None:
    one = tuner(use)
    for _ in range(25):
        params = one.ask()
        assert params is not None
        assert SPACE.holds(params), params
        one.tell(params, loss(params))


@pytest.mark.parametrize("use", ALL, ids=str)
def test_the_same_seed_asks_the_same_points(use: Use) -> None:
    def asked() -> list[str]:
        one, found = tuner(use), []
        for _ in range(15):
            params = one.ask()
            assert params is not None
            found.append(named(params))
            one.tell(params, loss(params))
        return found

    assert asked() == asked()


@pytest.mark.parametrize("use", ALL, ids=str)
def test_failures_and_points_nobody_asked_for_may_be_told(use: Use) -> None:
    one = tuner(use)
    params = one.ask()
    assert params is not None
    one.tell(params, math.nan)
    one.tell({"x": 2.0, "n": 1, "kind": "a", "deep": 0.5}, 0.0)
    one.tell({"x": 2.0, "n": 1, "kind": "b"}, 1.0)
    for _ in range(12):
        params = one.ask()
        assert params is not None
        one.tell(params, loss(params))


@pytest.mark.parametrize("name", ["optuna", "hyperopt"])
def test_one_that_learns_ends_lower_than_chance(name: str) -> None:
    """Twenty seeds, forty points each: the learner's mean best is the lower one."""

    def mean(use: str) -> float:
        found = []
        for seed in range(20):
            one = make(Tuner, Use(use, {"space": SPACE, "seed": seed}))
            best = math.inf
            for _ in range(40):
                params = one.ask()
                assert params is not None
                one.tell(params, loss(params))
                best = min(best, loss(params))
            found.append(best)
        return sum(found) / len(found)

    assert mean(name) < mean("random")


@pytest.mark.parametrize("name", ["optuna", "hyperopt"])
def test_what_was_told_before_a_restart_is_learnt(name: str) -> None:
    """Told of two hundred points, it begins near the best of them: where it was told nothing, it begins anywhere."""
    known, chance = tuner(Use(name)), tuner(Use("random"))
    for _ in range(200):
        params = chance.ask()
        assert params is not None
        known.tell(params, loss(params))
    asked = [params for _ in range(20) if (params := known.ask()) is not None]
    assert sum(loss(params) for params in asked) / 20 < 4.0  # of points at random: about 9.9


def test_grid_ends_and_asks_everything_once() -> None:
    one, found = tuner(Use("grid"), points=3), []
    while (params := one.ask()) is not None:
        found.append(named(params))
    assert len(found) == len(set(found)) == 3 * 3 * (3 + 1)
    assert found != sorted(found)


@pytest.mark.parametrize(
    ("use", "sentence"),
    [
        (Use("grid", {"points": 0}), "points is a whole number"),
        (Use("optuna", {"sampler": "tep"}), "no sampler is called 'tep'. Did you mean 'tpe'"),
        (Use("random", {"points": 3}), "Tuner 'random': got an unexpected keyword argument 'points'"),
    ],
)
def test_a_bad_option_is_refused(use: Use, sentence: str) -> None:
    with pytest.raises(SpecError, match=sentence):
        tuner(use)


@pytest.mark.parametrize("every", [0.0, 1000.0])  # how often the file is written; what it lacks is told anew
def test_an_optuna_study_in_a_file_goes_on_and_forgets_who_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: float
) -> None:
    monkeypatch.setattr("rivals.tune.tuners.optuna.EVERY", every)
    storage = str(tmp_path / "study.journal")
    first = tuner(Use("optuna"), storage=storage)
    done, orphan = first.ask(), first.ask()
    assert done is not None
    assert orphan is not None
    first.tell(done, 1.0)
    again = tuner(Use("optuna"), storage=storage)
    again.tell(done, 1.0)  # written down on both sides: told twice, learnt once
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    study = optuna.load_study(study_name="study", storage=JournalStorage(JournalFileBackend(storage)))
    assert [trial.state.name for trial in study.trials] == (["COMPLETE", "FAIL"] if every == 0 else ["COMPLETE"])


def test_two_optuna_studies_in_one_database_do_not_mix(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'studies.db'}"
    other = parse({"C": {"float": [0.1, 10], "log": True}})
    one = tuner(Use("optuna"), storage=storage, study="one")
    two = make(Tuner, Use("optuna", {"space": other, "storage": storage, "study": "two", "seed": 1}))
    for made in (one, two):
        params = made.ask()
        assert params is not None
        made.tell(params, 1.0)
    import optuna

    assert sorted(optuna.get_all_study_names(storage)) == ["one", "two"]
    assert [len(optuna.load_study(study_name=name, storage=storage).trials) for name in ("one", "two")] == [1, 1]


def test_a_search_tries_no_point_twice() -> None:
    small = parse({"n": {"int": [1, 5]}})
    search = Search("v", Use("optuna", {"seed": 1}), small)
    asked = []
    while (point := search.ask()) is not None:
        number, params = point
        asked.append(named(params))
        search.tell(Tried(params, float(params.get("n", 9)), 0.1, 3, number=number))
    assert len(asked) == len(set(asked))
    assert asked[0] == "{}"  # the variant as it is comes first
    assert set(asked) == {"{}", *(named({"n": n}) for n in range(1, 6))}
    assert search.best is not None
    assert search.best.params == {"n": 1}


def test_a_search_that_begins_again_knows_what_was_tried() -> None:
    tried = [Tried({"x": float(k), "n": 1, "kind": "b"}, float(k), 0.1, 3, number=k + 1) for k in range(4)]
    tried.append(Tried({"gone": 1}, 0.5, 0.1, 3, number=9))  # of a space that was another one then
    search = Search("v", Use("random", {"seed": 1}), SPACE, tried)
    assert search.best is not None
    assert search.best.loss == 0.0
    number, params = search.ask() or (0, {})
    assert number == 10
    assert params != {}
