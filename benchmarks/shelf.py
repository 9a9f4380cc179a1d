"""Two hundred variants behind one worker whose budget holds forty: is every answer right, and does the memory hold?

Twenty LightGBM models, ten bundles of each under names of their own, named by rules; four connections ask for them at
random by name. Asked: no request fails, no wrong number, the worker is not ended, and it keeps no more than its budget
beside what it takes without any of them. How many answers the champion gave, for want of time to open, is printed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import msgspec
from child import body
from serving import build, rows
from swaps import obeyed

from rivals.bundles import MANIFEST, BundleManifest, columns_of, folder_digest, read
from rivals.serve.reconcile import EndpointConfig, publish_endpoint, publish_lease, publish_table
from rivals.serve.runtimes import open_bundle
from rivals.serve.supervisor import WorkerConfig
from rivals.statistics.assignment import slots
from rivals.values import Arm, RoutingTable, Use

PORT, MODELS, COPIES, CONNECTIONS, HOLDS = 18_481, 20, 10, 4, 40
SLACK = 64 << 20  # what requests, threads and the allocator take beside


def copies(bundles: Path, digest: str, many: int) -> list[str]:
    """The same model under further digests."""
    found = []
    for number in range(many):
        folder = bundles / f"copy-{number}"
        shutil.copytree(bundles / digest, folder)
        manifest = read(folder / MANIFEST, BundleManifest)
        (folder / MANIFEST).write_bytes(msgspec.json.encode(replace(manifest, lineage={"copy": number})))
        found.append(folder_digest(folder))
        folder.rename(bundles / found[-1])
    return found


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def ask(names: list[str], question: bytes, wanted: dict[str, float], end: float, told: list[int], seed: int) -> None:
    """``told``: answers, failures, wrong numbers, answers by the champion."""
    draw = random.Random(seed)
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
    while time.monotonic() < end:
        name = draw.choice(names)
        headers = {"Content-Type": "application/json", "X-Rivals-Variant": name}
        connection.request("POST", "/v2/models/bench/infer", question, headers)
        reply = connection.getresponse()
        raw = reply.read()
        told[0] += 1
        if reply.status != 200:
            told[1] += 1
            continue
        by = reply.headers["X-Rivals-Variant"]
        told[2] += abs(json.loads(raw)["outputs"][0]["data"][0] - wanted[by]) > 1e-9
        told[3] += by != name


def measure(folder: Path, seconds: float) -> int:
    run_dir, bundles = folder / "run", folder / "bundles"
    run_dir.mkdir()
    champion = build(bundles, 15)
    row = columns_of(rows(1, seed=1), open_bundle(bundles / champion, bundles.joinpath).signature)
    named, wanted = [], {"champion": 0.0}
    for number in range(MODELS):
        digest = build(bundles, 20 + number)
        value = float(open_bundle(bundles / digest, bundles.joinpath).predict(row)[0, 0])
        for copy, other in enumerate(copies(bundles, digest, COPIES)):
            named.append(Arm(f"v{number}-{copy}", other, 0.0))
            wanted[named[-1].variant] = value
    wanted["champion"] = float(open_bundle(bundles / champion, bundles.joinpath).predict(row)[0, 0])
    each = 1.5  # megabytes, by benchmarks/memory.py
    budget = round(HOLDS * each)
    rules = Use("match", {"rules": [{"when": {"header": "x-never", "is": "1"}, "to": one.variant} for one in named]})
    publish_endpoint(run_dir, EndpointConfig("bench", "binary", shelf_mb=budget))
    publish_lease(run_dir, 36_000.0)
    arms = (Arm("champion", champion, 1.0),)
    publish_table(run_dir, RoutingTable("bench", 1, "champion", arms, "s", slots([1.0]), policy=rules))
    config = msgspec.json.encode(WorkerConfig(str(run_dir), str(bundles), 0, "127.0.0.1", PORT)).decode()
    worker = subprocess.Popen(
        [sys.executable, "-m", "rivals.serve.server", config], env={"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", **os.environ},
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        obeyed(run_dir, 1)
        question = body()
        before = resident(worker.pid)
        table = RoutingTable("bench", 2, "champion", arms, "s", slots([1.0]), policy=rules, named=tuple(named))
        publish_table(run_dir, table)
        obeyed(run_dir, 2)
        told = [[0, 0, 0, 0] for _ in range(CONNECTIONS)]
        names, end = [one.variant for one in named], time.monotonic() + seconds
        threads = [
            threading.Thread(target=ask, args=(names, question, wanted, end, one, n)) for n, one in enumerate(told)
        ]
        for thread in threads:
            thread.start()
        most = 0
        while any(thread.is_alive() for thread in threads):
            most = max(most, resident(worker.pid))
            time.sleep(0.05)
        alive = worker.poll() is None
    finally:
        worker.terminate()
        worker.wait()
    answers, failed, wrong, champions = (sum(one[place] for one in told) for place in range(4))
    grown = most - before
    print(
        f"{len(named)} variants, a budget of {budget} MB: {answers:,} answers, {failed} failed, {wrong} wrong, ", end=""
    )
    print(f"{champions} by the champion; the worker grew by {grown / 1e6:.0f} MB at most, alive: {alive}")
    return int(bool(failed or wrong or not alive or grown > (budget << 20) + SLACK))


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=float, default=60.0)
    with tempfile.TemporaryDirectory() as name:
        return measure(Path(name), options.parse_args().seconds)


if __name__ == "__main__":
    sys.exit(main())
