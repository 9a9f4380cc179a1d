"""Fill gaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from sklearn.impute import SimpleImputer

from rivals.errors import SpecError

STRATEGIES = ("mean", "median", "constant", "most_frequent")


class Impute:
    """Fill missing values with what was usual in training: ``median`` (default), ``mean``, or a ``constant``.

    ``columns`` is numeric (default), text, or names. Texts are filled with ``value`` ("missing" if not said) or, by
    ``most_frequent``, with the commonest one.
    """

    columnwise = True

    def __init__(
        self,
        columns: str | Sequence[str] = "numeric",
        strategy: Literal["mean", "median", "constant", "most_frequent"] = "median",
        value: Any = None,
    ) -> None:
        if strategy not in STRATEGIES:
            raise SpecError(f"step impute: strategy is one of {', '.join(STRATEGIES)}, not {strategy!r}.")
        self.columns, self.strategy, self.value = columns, strategy, value

    def transformer(self, numeric: Sequence[str], text: Sequence[str]) -> Any:  # noqa: ARG002 -- the door's signature
        """An imputer for columns of one kind."""
        if text and self.strategy in {"mean", "median"}:
            raise SpecError(f"step impute: texts have no {self.strategy}; use strategy constant or most_frequent.")
        fill = {"fill_value": self._value(text)} if self.strategy == "constant" else {}
        gap = None if text else np.nan
        return SimpleImputer(missing_values=gap, strategy=self.strategy, keep_empty_features=True, **fill)

    def _value(self, text: Sequence[str]) -> Any:
        if self.value is not None:
            return self.value
        return "missing" if text else 0.0
