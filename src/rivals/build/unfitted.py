"""What a family makes for a task, and how much each row counts when it is fitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from rivals.build.rows import Rows
from rivals.errors import BuildError, SpecError
from rivals.plugins import factory, make, nearest
from rivals.protocols import Family
from rivals.values import Learned, Use

CLASS_WEIGHT = "class_weight"
BALANCED = "balanced"

ClassWeight = str | Mapping[Any, float] | None


@dataclass(frozen=True, slots=True)
class Unfitted:
    """An estimator to be cloned, and ``class_weight`` where the rows' weights must tell it."""

    estimator: Any
    class_weight: ClassWeight = None

    def fit(self, block: Any, rows: Rows, which: NDArray[np.int64]) -> Any:
        """A clone, fitted on the block of these rows. Raises ``BuildError`` where it takes no weights."""
        model = clone(self.estimator)
        name, last = _prefix(model), _last(model)
        given: dict[str, Any] = {}
        weight = weights(rows, which, self.class_weight)
        if weight is not None:
            if not has_fit_parameter(last, "sample_weight"):
                asks = "data.weight" if self.class_weight is None else f"data.weight or {CLASS_WEIGHT}"
                raise BuildError(f"{type(last).__name__} takes no weights; choose another estimator, or remove {asks}.")
            given[f"{name}sample_weight"] = weight
        if rows.group is not None and has_fit_parameter(last, "groups"):
            given[f"{name}groups"] = rows.group[which]
        return model.fit(block, rows.labels[which], **given)


def unfitted(use: Use, task: Learned, seed: int) -> Unfitted:
    """What ``use`` asks for. Any family takes ``class_weight``: ``balanced``, or a weight for each label.

    A family that does not name ``task`` among its ``tasks`` learns the values themselves: a list is then ranked by what
    each row is expected to be worth. Raises ``SpecError``.
    """
    bare, wanted = parted(use)
    labelled = task in {"binary", "multiclass"}
    if wanted is not None:
        _check(wanted, use.name, labelled)
    known = getattr(factory(Family, use.name), "tasks", ())
    made = make(Family, bare).estimator(task if labelled or task in known else "regression", seed)
    if wanted is None:
        return Unfitted(made)
    by_rows = wanted == BALANCED and has_fit_parameter(_last(made), "sample_weight")
    own = hasattr(made, "get_params") and CLASS_WEIGHT in made.get_params(deep=False)
    if isinstance(wanted, str) and own and not by_rows:  # its own word, or no other way
        return Unfitted(made.set_params(**{CLASS_WEIGHT: wanted}))
    if isinstance(wanted, str) and wanted != BALANCED:
        raise SpecError(f"{type(made).__name__} knows no {CLASS_WEIGHT} {wanted!r}; say {BALANCED}.")
    return Unfitted(made, wanted)


def parted(use: Use) -> tuple[Use, ClassWeight]:
    """A family with the options it takes itself, and ``class_weight``, which all of them have."""
    options = dict(use.options)
    wanted = options.pop(CLASS_WEIGHT, None)
    return Use(use.name, options), wanted


def weights(rows: Rows, which: NDArray[np.int64], wanted: ClassWeight = None) -> NDArray[np.float64] | None:
    """How much each of these rows counts; None: all the same.

    ``balanced``: each label weighs the same in sum, and all rows together what they weighed before (King & Zeng,
    Logistic regression in rare events data, 2001).
    """
    given = None if rows.weight is None else rows.weight[which]
    if wanted is None:
        return given
    each, target, labels = np.ones(len(which)) if given is None else given, rows.target[which], rows.signature.labels
    if isinstance(wanted, str):
        sums = np.bincount(target, each, len(labels))
        there = int((sums > 0).sum())
        factors = np.divide(each.sum(), there * sums, out=np.zeros(len(labels)), where=sums > 0)
    else:
        names = [str(label) for label in labels]
        for label in wanted:
            if str(label) not in names:
                raise SpecError(f"{CLASS_WEIGHT}: there is no label {label!r}.{nearest(str(label), names)}")
        by_name = {str(label): float(value) for label, value in wanted.items()}
        factors = np.array([by_name.get(name, 1.0) for name in names])
    counted: NDArray[np.float64] = each * factors[target]
    return counted


def _last(model: Any) -> Any:
    return _last(model.steps[-1][1]) if isinstance(model, Pipeline) else model


def _prefix(model: Any) -> str:
    return f"{model.steps[-1][0]}__{_prefix(model.steps[-1][1])}" if isinstance(model, Pipeline) else ""


def _check(wanted: Any, family: str, labelled: bool) -> None:
    if not labelled:
        raise SpecError(f"family {family}: {CLASS_WEIGHT} goes with labels; weigh rows by data.weight instead.")
    if isinstance(wanted, Mapping):
        values = list(wanted.values())
        if any(isinstance(one, bool) or not isinstance(one, (int, float)) or not one >= 0 for one in values):
            raise SpecError(f"family {family}: {CLASS_WEIGHT} has a number from 0 up for each label, not {values}.")
    elif not isinstance(wanted, str):
        raise SpecError(f"family {family}: {CLASS_WEIGHT} is {BALANCED}, or a number for each label, not {wanted!r}.")
