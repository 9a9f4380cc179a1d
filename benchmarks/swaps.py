"""A thousand routing tables, one after the other, under load: does every answer belong to exactly one of them?

One worker on loopback, two LightGBM variants that take turns as champion and as a challenger of half the units, four
connections that ask as fast as they can. A table follows when the worker says that it obeys the one before. Asked: no
failed request, and every answer by an arm of the revision it names, with that variant's own numbers.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import msgspec
import numpy as np
from child import body
from serving import build, rows

from rivals.bundles import columns_of
from rivals.serve.reconcile import EndpointConfig, publish_endpoint, publish_lease, publish_table, read_obeyed
from rivals.serve.runtimes import open_bundle
from rivals.serve.supervisor import WorkerConfig
from rivals.statistics.assignment import slots
from rivals.values import Arm, RoutingTable

PORT, CONNECTIONS = 18_480, 4
Seen = tuple[int, int, str, float]  # status, revision, variant, the first probability


def tables(digests: dict[str, str], many: int) -> list[RoutingTable]:
    """Alternating champions; every other table has both as arms."""
    found = []
    for revision in range(1, many + 1):
        names = sorted(digests, reverse=bool(revision // 2 % 2))
        weights = [0.5, 0.5] if revision % 2 else [1.0]
        arms = tuple(Arm(name, digests[name], weight) for name, weight in zip(names, weights, strict=False))
        found.append(RoutingTable("bench", revision, names[0], arms, "s", slots(weights)))
    return found


def ask(question: bytes, stop: threading.Event, seen: list[Seen], number: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
    while not stop.is_set():
        headers = {"Content-Type": "application/json", "X-Rivals-Unit": f"{number}-{len(seen)}"}
        try:
            connection.request("POST", "/v2/models/bench/infer", question, headers)
            reply = connection.getresponse()
            raw, told = reply.read(), reply.headers
        except (OSError, http.client.HTTPException):
            seen.append((0, 0, "", 0.0))
            connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
            continue
        value = json.loads(raw)["outputs"][0]["data"][0] if reply.status == 200 else 0.0
        seen.append((reply.status, int(told.get("X-Rivals-Revision", 0)), told.get("X-Rivals-Variant", ""), value))


def obeyed(run_dir: Path, revision: int, patience: float = 30.0) -> None:
    deadline = time.monotonic() + patience
    while not any(one.revision == revision for one in read_obeyed(run_dir)):
        if time.monotonic() > deadline:
            raise SystemExit(f"no worker obeys revision {revision}")
        time.sleep(0.002)


def measure(folder: Path, many: int) -> int:
    run_dir, bundles = folder / "run", folder / "bundles"
    run_dir.mkdir()
    digests = {"one": build(bundles, 15), "two": build(bundles, 31)}
    row = columns_of(rows(1, seed=1), open_bundle(bundles / digests["one"], bundles.joinpath).signature)
    wanted = {
        name: float(open_bundle(bundles / digest, bundles.joinpath).predict(row)[0, 0])
        for name, digest in digests.items()
    }
    plan = tables(digests, many)
    publish_endpoint(run_dir, EndpointConfig("bench", "binary"))
    publish_lease(run_dir, 36_000.0)
    publish_table(run_dir, plan[0])
    config = msgspec.json.encode(WorkerConfig(str(run_dir), str(bundles), 0, "127.0.0.1", PORT)).decode()
    words = [sys.executable, "-m", "rivals.serve.server", config]
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    worker = subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL)
    stop, seen, question = threading.Event(), [list[Seen]() for _ in range(CONNECTIONS)], body()
    threads = [threading.Thread(target=ask, args=(question, stop, one, n)) for n, one in enumerate(seen)]
    try:
        obeyed(run_dir, 1)
        for thread in threads:
            thread.start()
        started = time.monotonic()
        for table in plan[1:]:
            publish_table(run_dir, table)
            obeyed(run_dir, table.revision)
        seconds = time.monotonic() - started
    finally:
        stop.set()
        for thread in threads:
            if thread.ident:
                thread.join()
        worker.terminate()
        worker.wait()
    every = [one for part in seen for one in part]
    failed = sum(status != 200 for status, *_ in every)
    arms = {table.revision: {arm.variant for arm in table.arms} for table in plan}
    strangers = sum(variant not in arms[revision] for status, revision, variant, _ in every if status == 200)
    wrong = sum(abs(value - wanted[variant]) > 1e-9 for status, _, variant, value in every if status == 200)
    backwards = sum(int((np.diff([one[1] for one in part if one[0] == 200]) < 0).sum()) for part in seen)
    print(f"{many:,} tables in {seconds:.0f} s, {len(every):,} answers of {len({one[1] for one in every}):,} revisions")
    print(f"failed {failed}, by no arm of their revision {strangers}, with another's numbers {wrong}, ", end="")
    print(f"of an older revision than the answer before {backwards}; asked: 0 of each")
    return int(bool(failed or strangers or wrong or backwards))


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--tables", type=int, default=1_000)
    with tempfile.TemporaryDirectory() as name:
        return measure(Path(name), options.parse_args().tables)


if __name__ == "__main__":
    sys.exit(main())
