"""What the router adds in front of another server: p50 and p99 of asking it directly and through rivals, in turn.

The other server speaks the Open Inference Protocol (here one more worker of rivals, which answers in a fraction of a
millisecond, so that little hides what is added). Both workers have one core, the client the other; single rows, an open
loop. Asked: less than 2 ms are added to the p99.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from client import Client, write
from serving import NUMBERS, TEXTS, build, rows
from shadow import bodies

from rivals.build.bundle import write_remote
from rivals.remote import Remote
from rivals.serve.reconcile import EndpointConfig, publish_endpoint, publish_table
from rivals.serve.supervisor import WorkerConfig, spawn, stop
from rivals.statistics.assignment import slots
from rivals.values import Arm, Column, RoutingTable, Signature

DIRECT, ROUTED = 18_482, 18_483
SERVER_CORE, CLIENT_CORE = 0, 1
ASKED = 2.0  # milliseconds


def start(folder: Path, digest: str, bundles: Path, port: int) -> subprocess.Popen[bytes]:
    run_dir = folder / str(port)
    run_dir.mkdir()
    publish_endpoint(run_dir, EndpointConfig("bench", "binary"))
    publish_table(run_dir, RoutingTable("bench", 1, "one", (Arm("one", digest, 1.0),), "salt", slots([1.0])))
    worker = spawn(WorkerConfig(str(run_dir), str(bundles), 0, "127.0.0.1", port))
    os.sched_setaffinity(worker.pid, {SERVER_CORE})
    time.sleep(3.0)
    return worker


def times(client: Client, seconds: float, rate: float) -> np.ndarray:
    told = client.run(seconds, rate)
    if not all(one.good for one in told):
        raise SystemExit("a request failed")
    since = min(one.due for one in told) + seconds / 3
    return np.array([(one.came - one.due) * 1e3 for one in told if one.due >= since])


def measure(folder: Path, rounds: int, seconds: float, rates: list[float]) -> int:
    bundles = folder / "bundles"
    bundles.mkdir()
    workers, missed = [start(folder, build(bundles, 15), bundles, DIRECT)], 0
    inputs = tuple([Column(name, "number") for name in NUMBERS] + [Column(name, "text") for name in TEXTS])
    remote = Remote(f"oip+http://127.0.0.1:{DIRECT}/bench", Signature(inputs, "binary", (0, 1)))
    try:
        workers.append(start(folder, write_remote(bundles, remote, rows(300)).digest, bundles, ROUTED))
        os.sched_setaffinity(0, {CLIENT_CORE})
        requests = write(folder / "requests", "/v2/models/bench/infer", bodies())
        with Client(requests, DIRECT) as direct, Client(requests, ROUTED) as routed:
            for rate in rates:
                added, found = [], {"directly": [], "through rivals": []}
                for _ in range(rounds):
                    plain, more = (np.percentile(times(one, seconds, rate), (50, 99)) for one in (direct, routed))
                    found["directly"].append(plain)
                    found["through rivals"].append(more)
                    added.append(more[1] - plain[1])
                median = statistics.median(added)
                missed += median >= ASKED
                for way, some in found.items():
                    p50, p99 = np.median(some, axis=0)
                    print(f"{rate:>6,.0f}/s {way:<15} p50 {p50:6.2f} ms  p99 {p99:6.2f} ms")
                held = "held" if median < ASKED else "NOT HELD"
                print(
                    f"{rate:>6,.0f}/s added p99 {median:.2f} ms ({min(added):.2f} to {max(added):.2f}; asked: below 2)  {held}"
                )
    finally:
        stop(workers)
    return missed


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--seconds", type=float, default=3.0)
    options.add_argument("--rates", type=float, nargs="*", default=[100.0, 500.0])
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        return int(bool(measure(Path(name), chosen.rounds, chosen.seconds, chosen.rates)))


if __name__ == "__main__":
    sys.exit(main())
