"""Ray Serve with ``@serve.batch``."""

import os
import signal
from itertools import chain
from typing import Any

import joblib
import pandas as pd
import ray
from ray import serve
from starlette.requests import Request

BATCH, WAIT = int(os.environ.get("BATCH", "64")), float(os.environ.get("WAIT_MS", "20")) / 1e3


@serve.deployment(num_replicas=1, max_ongoing_requests=256, ray_actor_options={"num_cpus": 0.5})
class Bench:
    def __init__(self, model: str) -> None:
        self.model = joblib.load(model)

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=WAIT)
    async def many(self, parts: list[list[dict[str, Any]]]) -> list[Any]:
        told = self.model.predict_proba(pd.DataFrame(list(chain.from_iterable(parts)))).tolist()
        found, place = [], 0
        for part in parts:
            found.append(told[place : place + len(part)])
            place += len(part)
        return found

    async def __call__(self, request: Request) -> Any:
        return {"predictions": await self.many((await request.json())["dataframe_records"])}


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _temp_dir=os.environ["RAY_FOLDER"])
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
    serve.run(Bench.bind(os.environ["MODEL"]), route_prefix="/predict")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
