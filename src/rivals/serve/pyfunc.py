"""The bundle as an MLflow model: ``mlflow.pyfunc.load_model(folder)`` finds ``_load_pyfunc`` here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rivals.bundles import columns_of
from rivals.errors import BundleError, DataError
from rivals.protocols import Predictor
from rivals.serve.runtimes.opening import open_unnamed


class PyfuncModel:
    """Takes a pandas DataFrame with the signature's columns; gives probabilities (rows, labels) or values (rows, 1)."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def predict(self, rows: Any, params: dict[str, Any] | None = None) -> NDArray[np.float64]:  # noqa: ARG002 -- MLflow's
        """Answer as the endpoint does. Raises ``DataError`` where a column is missing."""
        missing = [c.name for c in self._predictor.signature.inputs if c.name not in rows.columns]
        if missing:
            taken = ", ".join(c.name for c in self._predictor.signature.inputs)
            msg = f"The rows have no column {missing[0]!r}: the model takes {taken}."
            raise DataError(msg)
        return self._predictor.predict(columns_of(rows, self._predictor.signature))


def _load_pyfunc(path: str) -> PyfuncModel:
    folder = Path(path)

    def beside(digest: str) -> Path:
        # As the registry uploads an ensemble, and as bundles lie beside one another.
        for member in (folder / "members" / digest, folder.parent / digest):
            if member.is_dir():
                return member
        msg = f"This is an ensemble and its member {digest[:12]} is not beside it: load it from .rivals/bundles."
        raise BundleError(msg)

    return PyfuncModel(open_unnamed(folder, beside))
