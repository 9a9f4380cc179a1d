"""What most teams write first: FastAPI around a pipeline from joblib. ``MODEL`` and ``OTHER`` are files."""

import os
import random
from typing import Any

import joblib
import pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel

models = [joblib.load(os.environ[name]) for name in ("MODEL", "OTHER")]
split = os.environ.get("SPLIT") == "1"
app = FastAPI()


class Body(BaseModel):
    dataframe_records: list[dict[str, Any]]


def answer(body: Body) -> dict[str, Any]:
    model = models[random.random() < 0.5] if split else models[0]
    return {"predictions": model.predict_proba(pd.DataFrame(body.dataframe_records)).tolist()}


async def answer_in_the_loop(body: Body) -> dict[str, Any]:
    return answer(body)


app.post("/predict")(answer_in_the_loop if os.environ.get("IN_LOOP") == "1" else answer)
