"""A pipeline that no other runtime answers exactly, asked as scikit-learn asks it. For processes of its own only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import skops.io
from numpy.typing import NDArray

from rivals.build.bundle import outputs
from rivals.bundles import SKOPS, BundleManifest
from rivals.values import Columns


class PipelinePredictor:
    """Answers from ``model.skops``; the project's own modules must be importable.

    The file may name any type: it is our own build's, its digest was checked, and this is not the worker's process.
    """

    def __init__(self, folder: Path, manifest: BundleManifest) -> None:
        self.signature = manifest.signature
        file = folder / SKOPS
        self._pipeline = skops.io.load(file, trusted=skops.io.get_untrusted_types(file=file))
        names = [column.name for column in self.signature.inputs]
        self._order = [str(name) for name in getattr(self._pipeline, "feature_names_in_", names)]

    def predict(self, columns: Columns) -> NDArray[np.float64]:
        """Probabilities (rows, labels) or values (rows, 1)."""
        given = columns.values  # noqa: PD011 -- not a frame's
        frame = pd.DataFrame(
            {column.name: pd.Series(given[column.name], dtype=object) for column in self.signature.inputs}
        )
        numbers = [column.name for column in self.signature.inputs if column.kind == "number"]
        frame[numbers] = frame[numbers].astype(np.float32)
        return outputs(self._pipeline, frame[self._order], self.signature)
