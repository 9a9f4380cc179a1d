"""Answers a second and latency of one worker on loopback: LightGBM on 14 numbers and 4 texts, one row a request.

The load comes from a process of its own (closed loop, keep-alive, every request another row), so that on two cores
server and client have one each. Absolute figures drift with the machine; compare runs made side by side.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import lightgbm
import msgspec
import numpy as np
import pandas as pd
import uvloop
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from rivals.build.bundle import write
from rivals.serve.reconcile import EndpointConfig, publish_endpoint, publish_lease, publish_table
from rivals.serve.runtimes import predictor
from rivals.serve.supervisor import WorkerConfig, spawn, stop
from rivals.statistics.assignment import slots
from rivals.values import Arm, Column, RoutingTable, Shadow, Signature

NUMBERS = [f"n{index}" for index in range(14)]
TEXTS = [f"t{index}" for index in range(4)]
SECONDS = 2.0
PORT = 18_477


def rows(count: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    made = pd.DataFrame(rng.normal(size=(count, len(NUMBERS))).astype(np.float32), columns=NUMBERS)
    for name in TEXTS:
        made[name] = pd.Series(rng.choice(np.array([f"v{i}" for i in range(12)], dtype=object), count), dtype=object)
    return made


def build(bundles: Path, leaves: int) -> str:
    """A bundle of a fresh LightGBM; its digest."""
    some = rows(4_000)
    target = (some["n0"] + some["n1"] * some["n2"] + (some["t0"] == "v1") > 0).astype(int)
    encode = ColumnTransformer(
        [("n", "passthrough", NUMBERS), ("t", OneHotEncoder(sparse_output=False, handle_unknown="ignore"), TEXTS)]
    )
    model = lightgbm.LGBMClassifier(n_estimators=100, num_leaves=leaves, verbose=-1, n_jobs=1)
    inputs = tuple([Column(name, "number") for name in NUMBERS] + [Column(name, "text") for name in TEXTS])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = make_pipeline(encode, model).fit(some, target)
        return write(bundles, pipeline, Signature(inputs, "binary", (0, 1)), some, runtime=predictor).digest


class Load(asyncio.Protocol):
    """One connection: sends a request, waits for its answer, sends the next one."""

    def __init__(self, requests: list[bytes], times: list[float]) -> None:
        self.requests, self.times, self.number = requests, times, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        self.number += 1
        self.sent = time.perf_counter()
        self.transport.write(self.requests[self.number % len(self.requests)])  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        assert data.startswith(b"HTTP/1.1 200 "), data
        self.times.append(time.perf_counter() - self.sent)
        self.send()


async def load(connections: int, batch: int, seconds: float) -> None:
    """Print answers a second, and the latency's p50 and p99 in milliseconds."""
    some, loop, requests = rows(512 * batch, seed=1), asyncio.get_running_loop(), []
    for start in range(0, len(some), batch):
        part = some.iloc[start : start + batch]
        inputs = [
            {
                "name": name,
                "shape": [batch],
                "datatype": "FP64" if name in NUMBERS else "BYTES",
                "data": part[name].tolist(),
            }
            for name in part.columns
        ]
        body = msgspec.json.encode({"inputs": inputs})
        head = f"POST /v2/models/bench/infer HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
        requests.append(head.encode() + body)
    times: list[float] = []
    clients = []
    for number in range(connections):
        turned = requests[number * 7 % len(requests) :] + requests[: number * 7 % len(requests)]
        clients.append(await loop.create_connection(lambda turned=turned: Load(turned, times), "127.0.0.1", PORT))
    await asyncio.sleep(seconds / 4)  # warm
    times.clear()
    started = time.perf_counter()
    await asyncio.sleep(seconds)
    spent, measured = time.perf_counter() - started, np.array(times) * 1e3
    for transport, _ in clients:
        transport.abort()
    p50, p99 = np.percentile(measured, [50, 99])
    print(f"{len(measured) / spent:>9,.0f}/s   p50 {p50:>7.2f} ms   p99 {p99:>7.2f} ms", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--load", nargs=3, metavar=("CONNECTIONS", "ROWS", "SECONDS"), help="be the client")
    chosen = options.parse_args()
    if chosen.load:
        connections, batch, seconds = chosen.load
        uvloop.run(load(int(connections), int(batch), float(seconds)))
        return
    with tempfile.TemporaryDirectory() as folder:
        run_dir, bundles = Path(folder, "run"), Path(folder, "bundles")
        run_dir.mkdir()
        bundles.mkdir()
        one, other = Arm("one", build(bundles, 15), 0.5), Arm("other", build(bundles, 31), 0.5)
        publish_endpoint(run_dir, EndpointConfig("bench", "binary"))
        publish_lease(run_dir, 3_600.0)
        alone = RoutingTable("bench", 1, "one", (one,), "salt", slots([1.0]))
        split = RoutingTable("bench", 2, "one", (one, other), "salt", slots([0.5, 0.5]))
        paired = RoutingTable("bench", 3, "one", (one,), "salt", slots([1.0]), (Shadow("other", other.digest),))
        publish_table(run_dir, alone)
        worker = spawn(WorkerConfig(str(run_dir), str(bundles), 0, "127.0.0.1", PORT))
        try:
            time.sleep(2.0)
            for title, table in (("one variant", alone), ("50/50 split", split), ("paired shadow", paired)):
                publish_table(run_dir, table)
                time.sleep(0.5)
                for connections, batch in ((1, 1), (16, 1), (64, 1), (16, 32)):
                    print(f"{title:<14} {connections:>3} connections {batch:>3} rows: ", end="", flush=True)
                    client = [sys.executable, __file__, "--load", str(connections), str(batch), str(SECONDS)]
                    subprocess.run(client, check=True)
        finally:
            stop([worker])


if __name__ == "__main__":
    main()
