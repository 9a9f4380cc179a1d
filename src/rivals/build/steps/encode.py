"""Make numbers of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.preprocessing import OneHotEncoder


class Encode:
    """One column of zeros and ones per text that training has seen (one-hot).

    A missing text is a text of its own, if training had gaps; one never seen is all zeros. With ``min_frequency``
    (rows, or a share of them) rarer texts share one column, and so do unseen ones. ``columns`` is text (default) or
    names.
    """

    columnwise = True

    def __init__(self, columns: str | Sequence[str] = "text", min_frequency: float | None = None) -> None:
        self.columns, self.min_frequency = columns, min_frequency

    def transformer(self, numeric: Sequence[str], text: Sequence[str]) -> Any:  # noqa: ARG002 -- the door's signature
        """An encoder; numbers are taken as texts are."""
        unseen = "ignore" if self.min_frequency is None else "infrequent_if_exist"
        return OneHotEncoder(
            handle_unknown=unseen, min_frequency=self.min_frequency, sparse_output=False, dtype=np.float32
        )
