"""What a bad shadow costs the answers to clients: p99 with and without it, interleaved in one run.

One worker on loopback, LightGBM on 18 columns, an open loop of one-row requests at a part of the measured capacity.
Rounds alternate between no shadow and each kind of shadow, so that what drifts with the machine meets all alike; each
row of the table is the median over the rounds of a round's p99. Asked: up by at most 5 % or 1 ms, and no errors.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from client import Client, Told, write
from serving import NUMBERS, build, rows

from rivals.serve.reconcile import EndpointConfig, publish_endpoint, publish_lease, publish_table
from rivals.serve.supervisor import WorkerConfig
from rivals.statistics.assignment import slots
from rivals.values import Arm, RoutingTable, Shadow

PORT = 18_478
WARM = 0.3  # of a round, not counted
KINDS = ("healthy", "sleeps", "crashes", "rubbish", "floods", "dies", "python")


@dataclass
class Found:
    """What the rounds of one kind came to."""

    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    errors: int = 0
    shadow: Counter[str] = field(default_factory=Counter)

    def add(self, told: list[Told]) -> None:
        since = min(one.due for one in told)
        since += WARM * (max(one.due for one in told) - since)
        times = np.array([one.came - one.due for one in told if one.due >= since]) * 1e3
        self.p50.append(float(np.percentile(times, 50)))
        self.p99.append(float(np.percentile(times, 99)))
        self.errors += sum(not one.good for one in told)


@dataclass
class Bench:
    """A run directory, a champion, and a bundle for every kind of shadow."""

    run_dir: Path
    bundles: Path
    kinds: list[str]
    revision: int = 0

    def __post_init__(self) -> None:
        self.run_dir.mkdir()
        self.bundles.mkdir()
        self.champion = Arm("champion", build(self.bundles, 15), 1.0)
        self.digests = {kind: build(self.bundles, 20 + number) for number, kind in enumerate(self.kinds)}
        publish_endpoint(self.run_dir, EndpointConfig("bench", "binary"))
        publish_lease(self.run_dir, 36_000.0)
        self.publish("alone")

    def publish(self, kind: str) -> None:
        """From now on, this shadow or none."""
        self.revision += 1
        shadows = (Shadow(kind, self.digests[kind]),) if kind in self.digests else ()
        table = RoutingTable("bench", self.revision, "champion", (self.champion,), "s", slots([1.0]), shadows)
        publish_table(self.run_dir, table)
        time.sleep(0.4)

    def start(self) -> subprocess.Popen[bytes]:
        config = msgspec.json.encode(WorkerConfig(str(self.run_dir), str(self.bundles), 0, "127.0.0.1", PORT)).decode()
        bad = json.dumps({digest: kind for kind, digest in self.digests.items()})
        environment = {"OMP_NUM_THREADS": "1", **os.environ, "BAD": bad}
        words = [sys.executable, str(Path(__file__).with_name("bad_worker.py")), config]
        process = subprocess.Popen(words, env=environment)
        time.sleep(3.0)
        return process


def counters() -> Counter[str]:
    """The worker's shadow counters, by outcome."""
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics") as reply:
        lines = [line.rsplit(" ", 1) for line in reply.read().decode().splitlines()]
    return Counter({name.split('"')[5]: int(float(n)) for name, n in lines if name.startswith("rivals_shadow_total{")})


def bodies() -> list[object]:
    """Requests of one row each."""
    found: list[object] = []
    for row in rows(512, seed=1).to_dict("records"):
        kinds = [(name, "FP64" if name in NUMBERS else "BYTES", value) for name, value in row.items()]
        found.append({"inputs": [{"name": n, "shape": [1], "datatype": kind, "data": [v]} for n, kind, v in kinds]})
    return found


def measure(client: Client, bench: Bench, chosen: argparse.Namespace) -> dict[str, Found]:
    fast = client.capacity()
    print(f"capacity {fast:,.0f}/s, asked {chosen.part * fast:,.0f}/s", flush=True)
    found = {kind: Found() for kind in ("alone", *bench.kinds)}
    for number in range(chosen.rounds):
        turned = list(found)[number % len(found) :] + list(found)[: number % len(found)]
        for kind in turned:
            bench.publish(kind)
            before = counters()
            found[kind].add(client.run(chosen.seconds, chosen.part * fast))
            found[kind].shadow.update(counters() - before)
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    options.add_argument("--rounds", type=int, default=8)
    options.add_argument("--seconds", type=float, default=2.0)
    options.add_argument("--part", type=float, default=0.3, help="of the measured capacity")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder, "run"), Path(folder, "bundles"), chosen.kinds)
        requests = write(Path(folder, "requests"), "/v2/models/bench/infer", bodies())
        worker = bench.start()
        try:
            with Client(requests, PORT) as client:
                found = measure(client, bench, chosen)
        finally:
            started = time.monotonic()
            worker.terminate()
            worker.wait()
            print(f"the worker stopped in {time.monotonic() - started:.1f} s")
    base = float(np.median(found["alone"].p99))
    for kind, one in found.items():
        p50, p99 = float(np.median(one.p50)), float(np.median(one.p99))
        held = "held" if p99 <= max(base * 1.05, base + 1.0) else "NOT HELD"
        shadow = ", ".join(f"{name} {count:,}" for name, count in one.shadow.items())
        print(f"{kind:<8} p50 {p50:6.2f} ms  p99 {p99:6.2f} ms", end="  ")
        print(f"{p99 / base:5.2f}x {p99 - base:+6.2f} ms  {held:<8}  errors {one.errors}  shadow: {shadow}")


if __name__ == "__main__":
    main()
