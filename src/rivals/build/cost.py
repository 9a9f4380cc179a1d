"""What a fitted model would cost when it answers, told before there is a bundle of it."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
import onnxruntime as ort
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType

from rivals.build.boosters import register
from rivals.build.convert import OPSET, modules_of

CALLS = 60
MB = 1e6


def cost(model: Any, width: int, *, labelled: bool) -> tuple[float, float] | None:
    """Milliseconds of a row at its quickest, and MB, of the model as a graph of ``width`` float32 inputs.

    Steps before it are left out: they cost every trial about the same. None: no graph can be made of it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as when a bundle is made
            register(modules_of(model))
            given = [("x", FloatTensorType([None, width]))]
            options = {id(model): {"zipmap": False}} if labelled else None
            graph = convert_sklearn(model, initial_types=given, options=options, target_opset=OPSET).SerializeToString()
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = settings.inter_op_num_threads = 1
        settings.log_severity_level = 4
        session = ort.InferenceSession(graph, settings, providers=["CPUExecutionProvider"])
        row, took = {"x": np.zeros((1, width), np.float32)}, []
        for _ in range(CALLS):
            started = time.perf_counter()
            session.run(None, row)
            took.append(time.perf_counter() - started)
    except Exception:  # noqa: BLE001 -- converters raise what they like, and the build will say what it makes of it
        return None
    return min(took) * 1e3, len(graph) / MB
