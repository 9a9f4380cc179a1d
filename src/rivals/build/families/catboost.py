"""Gradient-boosted symmetric trees by CatBoost."""

from __future__ import annotations

from typing import Any

from catboost import CatBoostClassifier, CatBoostRegressor

from rivals.errors import SpecError

# One thread and nothing on the disk; its folder of logs would be shared by all variants.
SETTLED = {"thread_count": 1, "verbose": False, "allow_writing_files": False}
REFUSED = ("train_dir", "task_type", "devices", "cat_features", "text_features", "embedding_features", "callback")


class CatBoost:
    """CatBoost's scikit-learn estimator for the task; options are its parameters: ``CatBoost(iterations=200)``.

    It takes gaps as they are; texts come to it through steps, so that every family sees the same inputs. Extra
    ``rivals[boosting]``. Prokhorenkova et al., CatBoost: unbiased boosting with categorical features, NeurIPS 2018.
    """

    def __init__(self, **params: Any) -> None:
        for name in params:
            if name in REFUSED:
                raise SpecError(f"CatBoost's {name!r} is not for a variant to choose; leave it out.")
        self._params = params

    def estimator(self, task: str, seed: int) -> Any:
        """Unfitted, by task. Raises ``SpecError`` on a parameter that CatBoost does not have."""
        made = CatBoostRegressor if task == "regression" else CatBoostClassifier
        try:
            return made(**{**SETTLED, "random_seed": seed, **self._params})
        except TypeError as error:
            raise SpecError(f"CatBoost: {error}") from None
