"""BentoML with adaptive batching."""

import os
from typing import Any

import bentoml
import joblib
import pandas as pd

BATCH, WAIT = int(os.environ.get("BATCH", "64")), int(os.environ.get("WAIT_MS", "10000"))


@bentoml.service(workers=1, metrics={"enabled": True})
class Bench:
    def __init__(self) -> None:
        self.model = joblib.load(os.environ["MODEL"])

    @bentoml.api(batchable=BATCH > 1, max_batch_size=max(BATCH, 2), max_latency_ms=WAIT)
    def predict(self, dataframe_records: list[dict[str, Any]]) -> list[list[float]]:
        return self.model.predict_proba(pd.DataFrame(dataframe_records)).tolist()
