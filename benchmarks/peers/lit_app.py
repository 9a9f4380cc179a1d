"""LitServe with batching."""

import os
from itertools import chain
from typing import Any

import joblib
import litserve
import pandas as pd

BATCH, WAIT = int(os.environ.get("BATCH", "64")), float(os.environ.get("WAIT_MS", "20")) / 1e3


class Api(litserve.LitAPI):
    def setup(self, device: str) -> None:  # noqa: ARG002 -- its signature
        self.model = joblib.load(os.environ["MODEL"])

    def decode_request(self, request):  # noqa: ANN001, ANN201 -- with a type LitServe takes it for a query's
        return request["dataframe_records"]

    def batch(self, inputs: list[Any]) -> Any:
        return inputs

    def predict(self, x: list[Any], **_: Any) -> Any:
        parts = x if BATCH > 1 else [x]
        told = self.model.predict_proba(pd.DataFrame(list(chain.from_iterable(parts)))).tolist()
        found, place = [], 0
        for part in parts:
            found.append(told[place : place + len(part)])
            place += len(part)
        return found if BATCH > 1 else found[0]

    def unbatch(self, output: Any) -> Any:
        return output

    def encode_response(self, output: Any, **_: Any) -> Any:
        return {"predictions": output}


if __name__ == "__main__":
    api = Api(max_batch_size=BATCH, batch_timeout=WAIT)
    litserve.LitServer(api, accelerator="cpu").run(
        host="127.0.0.1", port=int(os.environ["PORT"]), generate_client_file=False, log_level="warning"
    )
