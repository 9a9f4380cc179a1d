"""A whole pipeline as an ONNX graph: the default runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from rivals.bundles import NULL, NUMBERS, ONNX, TEXTS
from rivals.errors import BundleError
from rivals.serve.runtimes.blocks import finite, numbers
from rivals.values import Columns, Signature

MANY = 256  # rows from which texts are gathered by column


class OnnxPredictor:
    """Answers from ``model.onnx`` on one thread. May be asked by several threads at once."""

    def __init__(self, folder: Path, signature: Signature) -> None:
        self.signature, self.digest = signature, folder.name
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # scale by workers, not by threads
        options.log_severity_level = 3  # errors; they are raised, too
        try:
            # From bytes, so that a graph cannot name files beside it.
            session = ort.InferenceSession((folder / ONNX).read_bytes(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a dozen classes of its own
            msg = f"Bundle {folder.name[:12]}: {ONNX} cannot be loaded ({error}). Build the variant again."
            raise BundleError(msg) from error
        self._run = session.run
        self._output = [session.get_outputs()[0].name]
        taken = {node.name for node in session.get_inputs()}
        self._numbers = [c.name for c in signature.inputs if c.kind == "number"] if NUMBERS in taken else []
        self._texts = [c.name for c in signature.inputs if c.kind == "text"] if TEXTS in taken else []
        self._width = len(signature.labels) or 1

    def predict(self, columns: Columns) -> NDArray[np.float64]:
        """Probabilities (rows, labels) or values (rows, 1). Raises ``BundleError`` on an answer that is not finite."""
        feed: dict[str, NDArray[Any]] = {}
        if self._numbers:
            feed[NUMBERS] = numbers(columns, self._numbers)
        if self._texts:
            feed[TEXTS] = self._text_block(columns)
        output = self._run(self._output, feed)[0].astype(np.float64)
        return finite(output, columns.rows, self._width, self.digest)

    def _text_block(self, columns: Columns) -> NDArray[np.object_]:
        if columns.rows > MANY:
            block = np.empty((columns.rows, len(self._texts)), object)
            for place, name in enumerate(self._texts):
                block[:, place] = columns.values[name]
            block[np.equal(block, np.array(None, object))] = NULL
            return block
        rows = zip(*[columns.values[name] for name in self._texts], strict=True)
        return np.array([[NULL if value is None else value for value in row] for row in rows], object)
