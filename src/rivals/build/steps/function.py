"""The user's own step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn.preprocessing import FunctionTransformer

from rivals.build.named import named


class Function:
    """Call ``module:function`` with a DataFrame of its ``columns`` (numeric, text, all or names); it returns numbers.

    It must treat every row by itself. No graph is made of it, so a variant with it is served from a process of its own.
    """

    columnwise = False

    def __init__(self, function: str, columns: str | Sequence[str] = "all", **options: Any) -> None:
        self.function, self.columns, self.options = function, columns, options

    def transformer(self, numeric: Sequence[str], text: Sequence[str]) -> Any:  # noqa: ARG002 -- the door's signature
        """The function as a transformer that learns nothing."""
        return FunctionTransformer(named(self.function), kw_args=self.options or None, validate=False)
