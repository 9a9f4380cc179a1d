"""Any estimator of scikit-learn, or of a package that follows it."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from sklearn.base import is_classifier, is_regressor

from rivals.errors import SpecError
from rivals.plugins import extra_for, nearest

# Where scikit-learn keeps its estimators, the usual places first: looking stops at the first that has the name.
PLACES = (
    "linear_model", "ensemble", "neural_network", "tree", "svm", "neighbors", "naive_bayes", "discriminant_analysis",
    "gaussian_process", "kernel_ridge", "calibration", "dummy", "multiclass", "isotonic", "cross_decomposition",
    "semi_supervised", "compose", "model_selection",
)  # fmt: skip
SETTLED = {"n_jobs": 1}  # variants run side by side; threads inside one only get in each other's way


class Sklearn:
    """``estimator`` by its name (LogisticRegression) or import path (package.module.Class); the rest are parameters.

    The project's seed becomes ``random_state`` where the estimator has one.
    """

    def __init__(self, estimator: str, **params: Any) -> None:
        self._class = _find(estimator)
        self._params = params
        known = list(inspect.signature(self._class).parameters)
        for name in params:
            if name not in known:
                raise SpecError(f"{self._class.__name__} has no parameter {name!r}.{nearest(name, known)}")

    def estimator(self, task: str, seed: int) -> Any:
        """Unfitted. Raises ``SpecError`` where it is of another kind than the task."""
        known = inspect.signature(self._class).parameters
        given = {name: value for name, value in {**SETTLED, "random_state": seed}.items() if name in known}
        name = self._class.__name__
        try:
            made = self._class(**{**given, **self._params})
        except TypeError as error:
            raise SpecError(f"{name}: {error}.") from error
        if task == "regression" and not is_regressor(made):
            raise SpecError(f"{name} is no regressor, and the task is regression.")
        if task != "regression" and not is_classifier(made):
            raise SpecError(f"{name} is no classifier, and the task is {task}.")
        if task != "regression" and not hasattr(made, "predict_proba"):
            raise SpecError(f"{name} gives no probabilities (predict_proba) with these parameters; choose another one.")
        return made


def _find(name: str) -> Any:
    if "." in name:
        module_name, _, last = name.rpartition(".")
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            raise SpecError(f"There is no module {error.name!r} for {name}; {extra_for(error.name)}?") from error
        if not inspect.isclass(getattr(module, last, None)):
            raise SpecError(f"{module_name} has no class {last!r}.{nearest(last, _estimators(module))}")
        return getattr(module, last)
    known: list[str] = []
    for place in PLACES:
        module = importlib.import_module(f"sklearn.{place}")
        if name in (here := _estimators(module)):
            return getattr(module, name)
        known += here
    raise SpecError(f"scikit-learn has no estimator {name!r}.{nearest(name, known)}")


def _estimators(module: Any) -> list[str]:
    return [name for name, found in vars(module).items() if inspect.isclass(found) and hasattr(found, "predict")]
