from __future__ import annotations

import numpy as np
import pytest

from rivals.build.families.lightgbm import LightGBM
from rivals.errors import SpecError
from rivals.plugins import make
from rivals.protocols import Family
from rivals.values import Use


def test_the_task_chooses_the_estimator() -> None:
    made = make(Family, Use("lightgbm", {"n_estimators": 5}))
    assert type(made.estimator("binary", 0)).__name__ == "LGBMClassifier"
    assert type(made.estimator("regression", 0)).__name__ == "LGBMRegressor"


def test_the_same_rows_give_the_same_model() -> None:
    rng = np.random.default_rng(0)
    rows, target = rng.normal(size=(300, 5)).astype(np.float32), rng.integers(0, 2, 300)
    said = [
        LightGBM(n_estimators=9, subsample=0.5, subsample_freq=1).estimator("binary", 3).fit(rows, target) for _ in "ab"
    ]
    assert (said[0].predict_proba(rows) == said[1].predict_proba(rows)).all()


def test_a_misspelt_parameter_is_refused() -> None:
    with pytest.raises(SpecError, match=r"'n_estimator'\. Did you mean 'n_estimators'"):
        LightGBM(n_estimator=5)
