"""What an arm in a process of its own costs clients when it misbehaves, and whether it comes back.

One worker on loopback; the champion is asked as fast as one connection can while an arm in its own process sleeps,
exits, crashes, eats memory, answers NaN or floods its socket. Asked: who chose the arm has the champion's answer within
the deadline and 50 ms, nobody else sees an error, the breaker opens (the arm's processes are not asked any more), and
the arm answers again once it is well.
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
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
from serving import NUMBERS, build, rows

from rivals.bundles import MANIFEST, BundleManifest, folder_digest, read
from rivals.serve.reconcile import EndpointConfig, publish_endpoint, publish_lease, publish_table
from rivals.serve.supervisor import WorkerConfig
from rivals.statistics.assignment import slots
from rivals.values import Arm, RoutingTable

PORT, DEADLINE, SLACK = 18_479, 100.0, 50.0  # milliseconds
KINDS = ("sleeps", "exits", "aborts", "leaks", "rubbish", "floods")
ASKED = 60  # requests to the arm while it is ill


def child(bundles: Path, seed: int) -> str:
    """A bundle that asks for a process of its own."""
    folder = bundles / build(bundles, seed)
    manifest = replace(read(folder / MANIFEST, BundleManifest), runtime="child", reason="a bench")
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    digest = folder_digest(folder)
    if not (bundles / digest).exists():  # made by another part of the same run
        folder.rename(bundles / digest)
    return digest


class Asker:
    """One connection; every answer with its variant and its milliseconds."""

    def __init__(self, body: bytes, pin: str) -> None:
        self.body, self.pin = body, pin
        self.connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)

    def ask(self) -> tuple[int, str, float]:
        headers = {"Content-Type": "application/json", "X-Rivals-Variant": self.pin}
        if self.pin != "champion":
            headers["X-Rivals-Deadline-Ms"] = f"{DEADLINE:g}"
        started = time.monotonic()
        self.connection.request("POST", "/v2/models/bench/infer", self.body, headers)
        reply = self.connection.getresponse()
        reply.read()
        return reply.status, reply.headers.get("X-Rivals-Variant", ""), (time.monotonic() - started) * 1e3


def body() -> bytes:
    row = rows(1, seed=1).to_dict("records")[0]
    kinds = [(name, "FP64" if name in NUMBERS else "BYTES", value) for name, value in row.items()]
    inputs = [{"name": name, "shape": [1], "datatype": kind, "data": [value]} for name, kind, value in kinds]
    return json.dumps({"inputs": inputs}).encode()


def others(ask: Asker, stop: threading.Event, errors: list[int]) -> None:
    """The champion's clients: any answer but its own is an error."""
    while not stop.is_set():
        status, variant, _ = ask.ask()
        errors[0] += 1
        errors[1] += status != 200 or variant != "champion"


def measure(kind: str, folder: Path, question: bytes) -> bool:
    bundles, run_dir, mood = folder / "bundles", folder / "run", folder / "mood"
    bundles.mkdir(parents=True)
    run_dir.mkdir()
    arm = Arm("arm", child(bundles, 21), 0.5)
    champion = Arm("champion", build(bundles, 15), 0.5)
    publish_endpoint(run_dir, EndpointConfig("bench", "binary", memory_mb=512))
    publish_lease(run_dir, 36_000.0)
    publish_table(run_dir, RoutingTable("bench", 1, "champion", (champion, arm), "s", slots([0.5, 0.5])))
    config = msgspec.json.encode(WorkerConfig(str(run_dir), str(bundles), 0, "127.0.0.1", PORT)).decode()
    environment = {"OMP_NUM_THREADS": "1", **os.environ, "BAD": json.dumps({arm.digest: kind}), "MOOD": str(mood)}
    script = str(Path(__file__).with_name("bad_worker.py"))
    worker = subprocess.Popen([sys.executable, script, config], env=environment, stderr=subprocess.DEVNULL)
    stop, errors = threading.Event(), [0, 0]
    thread = None
    try:
        asker = _wait(question)
        thread = threading.Thread(target=others, args=(Asker(question, "champion"), stop, errors))
        thread.start()
        well = asker.ask()
        mood.touch()
        ill = [asker.ask() for _ in range(ASKED)]
        mood.unlink()
        started = time.monotonic()
        while asker.ask()[1] != "arm" and time.monotonic() - started < 120:
            time.sleep(0.05)
        back = time.monotonic() - started
    finally:
        stop.set()
        if thread:
            thread.join()
        worker.terminate()
        worker.wait()
    slowest = max(taken for *_, taken in ill)
    replaced = sum(variant == "champion" for _, variant, _ in ill)
    failed = sum(status != 200 for status, *_ in ill)
    waited = sum(taken > DEADLINE * 0.9 for *_, taken in ill)
    held = slowest <= DEADLINE + SLACK and not failed and not errors[1] and back < 120 and well[1] == "arm"
    print(
        f"{kind:<8} slowest {slowest:6.1f} ms (asked {DEADLINE + SLACK:g})  champion stood in {replaced}/{ASKED}, "
        f"failed {failed}  waited for it {waited}  others {errors[1]} errors of {errors[0]:,}  back after {back:.1f} s  "
        f"{'held' if held else 'NOT HELD'}",
        flush=True,
    )
    return held


def _wait(question: bytes) -> Asker:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            asker = Asker(question, "arm")
            if asker.ask()[0] == 200:
                return asker
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the worker did not start")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    kinds: list[Any] = options.parse_args().kinds
    question = body()
    with tempfile.TemporaryDirectory() as name:
        held = [measure(kind, Path(name, kind), question) for kind in kinds]
    return int(not all(held))


if __name__ == "__main__":
    sys.exit(main())
