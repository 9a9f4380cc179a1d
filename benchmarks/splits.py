"""What a 50/50 split and a shadow cost: the peak at 64 connections, and p99 at half of one variant's peak.

One worker on one core, the client on another; the table is swapped between the runs, which take turns. The peak is
wrk's closed loop of single rows, the p99 that of an open loop of the same requests. Routing, journal and metrics are on.
Asked: a split costs at most 5 % of the peak, a shadow at most 45 % of it and 10 % of the p99.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np
from client import Client, write
from serving import build, rows

from rivals.serve.reconcile import EndpointConfig, publish_endpoint, publish_lease, publish_table
from rivals.serve.supervisor import WorkerConfig, spawn, stop
from rivals.statistics.assignment import slots
from rivals.values import Arm, RoutingTable, Shadow

PORT, CONNECTIONS = 18_479, 64
SERVER_CORE, CLIENT_CORE = 0, 1
KINDS = ("one", "split", "shadow")
PEAK_ASKED = {"split": 0.95, "shadow": 0.55}  # of one variant's
P99_ASKED = {"shadow": 1.10}


def table(kind: str, revision: int, one: Arm, other: Arm) -> RoutingTable:
    arms = (one, other) if kind == "split" else (one,)
    shadows = (Shadow(other.variant, other.digest),) if kind == "shadow" else ()
    return RoutingTable("bench", revision, "one", arms, "salt", slots([0.5] * len(arms)), shadows)


def peak(folder: Path, seconds: float) -> float:
    environment = {**os.environ, "BODIES": str(folder / "bodies"), "TARGET": "/invocations"}
    script = Path(__file__).with_name("load.lua")
    options = ["-t1", f"-c{CONNECTIONS}", f"-d{round(seconds)}s", "-s", str(script), f"http://127.0.0.1:{PORT}"]
    command = ["taskset", "-c", str(CLIENT_CORE), "wrk", *options]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    found = json.loads(told.strip().splitlines()[-1])
    if found["failed"]:
        raise SystemExit(f"{found['failed']} requests failed")
    return float(found["answers"] / found["seconds"])


def tail(client: Client, seconds: float, rate: float) -> float:
    """p99 in milliseconds; the first third is not counted."""
    told = client.run(seconds, rate)
    if not all(one.good for one in told):
        raise SystemExit("a request failed")
    since = min(one.due for one in told) + seconds / 3
    return float(np.percentile([(one.came - one.due) * 1e3 for one in told if one.due >= since], 99))


def measure(folder: Path, rounds: int, seconds: float) -> int:
    run_dir, bundles = folder / "run", folder / "bundles"
    for one in (run_dir, bundles):
        one.mkdir()
    arms = Arm("one", build(bundles, 15), 0.5), Arm("other", build(bundles, 16), 0.5)
    bodies = [{"dataframe_records": [row]} for row in rows(512, seed=1).to_dict("records")]
    (folder / "bodies").write_bytes(b"\n".join(map(msgspec.json.encode, bodies)) + b"\n")
    requests, revision = write(folder / "requests", "/invocations", bodies), 1
    publish_endpoint(run_dir, EndpointConfig("bench", "binary"))
    publish_lease(run_dir, 3_600.0)
    publish_table(run_dir, table("one", revision, *arms))
    worker = spawn(WorkerConfig(str(run_dir), str(bundles), 0, "127.0.0.1", PORT))
    os.sched_setaffinity(worker.pid, {SERVER_CORE})
    os.sched_setaffinity(0, {CLIENT_CORE})
    peaks: dict[str, list[float]] = {kind: [] for kind in KINDS}
    tails: dict[str, list[float]] = {kind: [] for kind in KINDS}
    try:
        time.sleep(2.5)
        half = peak(folder, 2.0) / 2
        with Client(requests, PORT) as client:
            for number in range(rounds):
                for kind in KINDS[number % 3 :] + KINDS[: number % 3]:
                    revision += 1
                    publish_table(run_dir, table(kind, revision, *arms))
                    time.sleep(1.0 if kind == "shadow" else 0.4)
                    tails[kind].append(tail(client, seconds, half))
                    peaks[kind].append(peak(folder, seconds))
                    time.sleep(0.5)  # shadows that wait are not the next one's
    finally:
        stop([worker])
    print(f"one variant: {statistics.median(peaks['one']):,.0f}/s; half of the peak is {half:,.0f}/s")
    missed = 0
    for what, found, asked in (("peak", peaks, PEAK_ASKED), ("p99 at half load", tails, P99_ASKED)):
        for kind in KINDS[1:]:
            each = [mine / theirs for mine, theirs in zip(found[kind], found["one"], strict=True)]
            ratio, bound = statistics.median(each), asked.get(kind)
            held = bound is None or (ratio >= bound if found is peaks else ratio <= bound)
            missed += not held
            told = f"asked: {bound:g}" if bound else "not asked"
            middle = statistics.median(found[kind]), statistics.median(found["one"])
            unit = "/s" if found is peaks else " ms"
            print(
                f"{kind:<6} {what:<16} {ratio:5.2f} x one variant ({min(each):.2f}-{max(each):.2f}; {told})"
                f"  {middle[0]:,.2f}{unit} to {middle[1]:,.2f}{unit}{'' if held else '  NOT HELD'}",
            )
    return missed


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=9)
    options.add_argument("--seconds", type=float, default=2.0)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        return int(bool(measure(Path(name), chosen.rounds, chosen.seconds)))


if __name__ == "__main__":
    sys.exit(main())
