from __future__ import annotations

from typing import Any

import pytest

from rivals.build.families.sklearn import Sklearn
from rivals.errors import SpecError
from rivals.plugins import make
from rivals.protocols import Family
from rivals.values import Use


@pytest.mark.parametrize(
    "name",
    [
        "LogisticRegression", "RandomForestClassifier", "HistGradientBoostingClassifier", "MLPClassifier",
        "DecisionTreeClassifier", "GaussianNB", "KNeighborsClassifier", "CalibratedClassifierCV", "DummyClassifier",
        "sklearn.ensemble.ExtraTreesClassifier", "lightgbm.LGBMClassifier",
    ],
)  # fmt: skip
def test_an_estimator_is_found_by_its_name_or_path(name: str) -> None:
    made = make(Family, Use("sklearn", {"estimator": name})).estimator("binary", 7)
    assert type(made).__name__ == name.rpartition(".")[2]
    params = made.get_params(deep=False)
    assert params.get("random_state", 7) == 7
    assert params.get("n_jobs", 1) in {1, None}


def test_parameters_are_handed_over_and_win() -> None:
    made = Sklearn("RandomForestClassifier", n_estimators=3, random_state=1, n_jobs=2).estimator("binary", 7)
    assert (made.n_estimators, made.random_state, made.n_jobs) == (3, 1, 2)


@pytest.mark.parametrize(
    ("options", "task", "says"),
    [
        ({"estimator": "LogisticRegresion"}, "binary", "Did you mean 'LogisticRegression'"),
        ({"estimator": "LogisticRegression", "c": 1}, "binary", "no parameter 'c'"),
        ({"estimator": "RandomForestClassifier", "n_estimator": 1}, "binary", "Did you mean 'n_estimators'"),
        ({"estimator": "sklearn.ensemble.Forest"}, "binary", "has no class 'Forest'"),
        ({"estimator": "no.such.Model"}, "binary", "no module 'no'"),
        ({"estimator": "Ridge"}, "binary", "Ridge is no classifier"),
        ({"estimator": "LogisticRegression"}, "regression", "LogisticRegression is no regressor"),
        ({"estimator": "LinearSVC"}, "binary", "gives no probabilities"),
        ({"estimator": "VotingClassifier"}, "binary", "estimators"),
    ],
)
def test_mistakes_are_sentences(options: dict[str, Any], task: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        make(Family, Use("sklearn", options)).estimator(task, 0)
    assert says in str(caught.value)
