"""The honest rival: FastAPI around the very same ``model.onnx``, with its two blocks filled by hand."""

import os
import random
from typing import Any

import numpy as np
import onnxruntime as ort
from fastapi import FastAPI
from pydantic import BaseModel

options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
models = [ort.InferenceSession(os.environ[name], options) for name in ("ONNX", "ONNX_OTHER")]
output = models[0].get_outputs()[0].name
numbers, texts = os.environ["NUMBERS"].split(","), os.environ["TEXTS"].split(",")
split = os.environ.get("SPLIT") == "1"
app = FastAPI()


class Body(BaseModel):
    dataframe_records: list[dict[str, Any]]


def answer(body: Body) -> dict[str, Any]:
    model = models[random.random() < 0.5] if split else models[0]
    rows = body.dataframe_records
    feed = {
        os.environ["NUMBERS_INPUT"]: np.array([[row[name] for name in numbers] for row in rows], np.float32),
        os.environ["TEXTS_INPUT"]: np.array([[row[name] for name in texts] for row in rows], object),
    }
    return {"predictions": model.run([output], feed)[0].tolist()}


async def answer_in_the_loop(body: Body) -> dict[str, Any]:
    return answer(body)


app.post("/predict")(answer if os.environ.get("IN_LOOP") == "0" else answer_in_the_loop)
