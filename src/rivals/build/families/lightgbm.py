"""Gradient-boosted trees by LightGBM."""

from __future__ import annotations

from typing import Any

import numpy as np
from lightgbm import LGBMClassifier, LGBMModel, LGBMRanker, LGBMRegressor

from rivals.build.lists import graded, in_lists
from rivals.errors import SpecError
from rivals.plugins import nearest

# The same rows give the same trees: one thread, one order of sums.
SETTLED = {"n_jobs": 1, "verbosity": -1, "deterministic": True, "force_row_wise": True}
MORE = ("deterministic", "force_row_wise", "force_col_wise", "verbosity", "seed", "max_bin", "min_data_in_leaf",
        "lambda_l1", "lambda_l2", "feature_fraction", "bagging_fraction", "bagging_freq", "path_smooth", "extra_trees",
        "cat_smooth", "min_gain_to_split", "max_delta_step", "monotone_constraints", "scale_pos_weight",
        "is_unbalance", "linear_tree", "drop_rate", "max_drop", "skip_drop", "top_rate", "other_rate")  # fmt: skip


class LightGBM:
    """LightGBM's scikit-learn estimator for the task; options are its parameters: ``LightGBM(n_estimators=200)``.

    It takes gaps as they are. Put no scaler in front of it (see the step ``scale``).
    Ke et al., LightGBM: A highly efficient gradient boosting decision tree, NeurIPS 2017.
    """

    tasks = ("binary", "multiclass", "regression", "ranking")

    def __init__(self, **params: Any) -> None:
        known = [*LGBMModel().get_params(), *MORE]
        for name in params:
            if name not in known:
                raise SpecError(f"LightGBM has no parameter {name!r}.{nearest(name, known)}")
        self._params = params

    def estimator(self, task: str, seed: int) -> Any:
        """Unfitted, by task."""
        made = {"ranking": Ranked, "regression": LGBMRegressor}.get(task, LGBMClassifier)
        return made(**{**SETTLED, "random_state": seed, **self._params})


class Ranked(LGBMRanker):  # type: ignore[misc]  # LightGBM has no types
    """LightGBM's ranker (LambdaMART, Burges 2010), told which rows are one list in whatever order they come."""

    def fit(self, inputs: Any, values: Any, groups: Any, sample_weight: Any = None) -> Ranked:
        """Fit on grades 0, 1, 2, ...; a row's weight is its own."""
        order, index = in_lists(groups)
        weight = None if sample_weight is None else sample_weight[order]
        super().fit(inputs[order], graded(values)[order], sample_weight=weight, group=np.bincount(index))
        return self
