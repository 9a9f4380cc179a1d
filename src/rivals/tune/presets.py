"""``space: auto``: where good options of common estimators are usually found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rivals.errors import SpecError

TREES = {
    "n_estimators": {"int": [50, 800], "log": True},
    "max_depth": [None, 4, 6, 8, 12, 16, 24],
    "min_samples_leaf": {"int": [1, 64], "log": True},
    "max_features": {"float": [0.1, 1.0]},
}
BOOSTED = {"learning_rate": {"float": [0.01, 0.3], "log": True}, "n_estimators": {"int": [30, 800], "log": True}}

FAMILIES: Mapping[str, Mapping[str, Any]] = {
    "lightgbm": BOOSTED | {
        "num_leaves": {"int": [4, 256], "log": True},
        "min_child_samples": {"int": [5, 200], "log": True},
        "feature_fraction": {"float": [0.4, 1.0]},
        "reg_lambda": {"float": [0.001, 100], "log": True},
    },
    "xgboost": BOOSTED | {
        "max_depth": {"int": [2, 12]},
        "min_child_weight": {"float": [0.5, 64], "log": True},
        "subsample": {"float": [0.5, 1.0]},
        "colsample_bytree": {"float": [0.4, 1.0]},
        "reg_lambda": {"float": [0.001, 100], "log": True},
    },
    "catboost": {
        "learning_rate": {"float": [0.01, 0.3], "log": True},
        "iterations": {"int": [30, 800], "log": True},
        "depth": {"int": [3, 10]},
        "l2_leaf_reg": {"float": [0.5, 50], "log": True},
    },
}  # fmt: skip
ESTIMATORS: Mapping[str, Mapping[str, Any]] = {
    "LogisticRegression": {"C": {"float": [0.001, 1000], "log": True}},
    "Ridge": {"alpha": {"float": [0.001, 10_000], "log": True}},
    "Lasso": {"alpha": {"float": [0.0001, 100], "log": True}},
    "ElasticNet": {"alpha": {"float": [0.0001, 100], "log": True}, "l1_ratio": {"float": [0, 1]}},
    "RandomForestClassifier": TREES,
    "RandomForestRegressor": TREES,
    "ExtraTreesClassifier": TREES,
    "ExtraTreesRegressor": TREES,
    "HistGradientBoostingClassifier": {
        "learning_rate": {"float": [0.01, 0.3], "log": True},
        "max_iter": {"int": [30, 800], "log": True},
        "max_leaf_nodes": {"int": [4, 256], "log": True},
        "min_samples_leaf": {"int": [5, 200], "log": True},
        "l2_regularization": {"float": [0.001, 100], "log": True},
    },
    "DecisionTreeClassifier": {"max_depth": {"int": [2, 20]}, "min_samples_leaf": {"int": [1, 200], "log": True}},
    "DecisionTreeRegressor": {"max_depth": {"int": [2, 20]}, "min_samples_leaf": {"int": [1, 200], "log": True}},
    "MLPClassifier": {
        "hidden_layer_sizes": {"int": [8, 256], "log": True},
        "alpha": {"float": [0.00001, 1], "log": True},
        "learning_rate_init": {"float": [0.0003, 0.03], "log": True},
    },
    "SVC": {"C": {"float": [0.01, 1000], "log": True}, "gamma": {"float": [0.0001, 1], "log": True}},
    "KNeighborsClassifier": {"n_neighbors": {"int": [1, 200], "log": True}, "weights": ["uniform", "distance"]},
    "KNeighborsRegressor": {"n_neighbors": {"int": [1, 200], "log": True}, "weights": ["uniform", "distance"]},
}
ESTIMATORS = {
    **ESTIMATORS,
    "HistGradientBoostingRegressor": ESTIMATORS["HistGradientBoostingClassifier"],
    "MLPRegressor": ESTIMATORS["MLPClassifier"],
    "SVR": ESTIMATORS["SVC"],
}


def auto(family: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The usual space of a family, without what its ``options`` settle. Raises ``SpecError`` where none is known."""
    estimator = str(options.get("estimator", "")).rpartition(".")[2]
    known = FAMILIES.get(family) or ESTIMATORS.get(estimator)
    if known is None:
        what = f"{family} {estimator}".strip()
        raise SpecError(f"no usual space is known for {what}; write one, as space: {{alpha: {{float: [0.01, 1]}}}}.")
    if not (found := {name: domain for name, domain in known.items() if name not in options}):
        raise SpecError(
            f"'with' settles all that space: auto would vary ({', '.join(known)}); name a space, or settle less."
        )
    return found
