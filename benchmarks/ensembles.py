"""What ensembles cost: to learn, to answer as one graph, through the server, and when members die or hang.

Asked: greedy blends 500 members over 100,000 rows in less than 5 s; a blend of three answers a row as one graph in at
most 1.5 times its slowest member's time and 0.7 times that of asking them one by one, and keeps 60 % of that member's
rate through the server; killing one of three members under load fails no call; a member that answers after 10 s leaves
the 99th percentile below 60 ms where the deadline is 50.
"""

from __future__ import annotations

import argparse
import http.client
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import lightgbm
import msgspec
import numpy as np
import serving
import uvloop
from child import body, child
from serving import NUMBERS, TEXTS, rows
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from rivals.build.bundle import Bundle, write, write_ensemble
from rivals.build.child import PipelinePredictor
from rivals.build.parity import latency
from rivals.bundles import columns_of
from rivals.ensemble.combiners.greedy import Greedy
from rivals.ensemble.combiners.mean import Mean
from rivals.protocols import Lesson
from rivals.serve.reconcile import EndpointConfig, publish_endpoint, publish_lease, publish_table
from rivals.serve.runtimes import open_bundle, predictor
from rivals.serve.runtimes.onnx import OnnxPredictor
from rivals.serve.runtimes.together import TogetherPredictor
from rivals.serve.supervisor import WorkerConfig
from rivals.statistics.assignment import slots
from rivals.values import Arm, Column, RoutingTable, Signature, Use

PORT, CONNECTIONS, DEADLINE = 18_482, 4, 50.0  # milliseconds
INPUTS = tuple([Column(name, "number") for name in NUMBERS] + [Column(name, "text") for name in TEXTS])
SIGNATURE = Signature(INPUTS, "binary", (0, 1))
MODELS: dict[str, Callable[[], Any]] = {
    "logistic": lambda: LogisticRegression(max_iter=300),
    "boosted": lambda: lightgbm.LGBMClassifier(n_estimators=100, num_leaves=31, verbose=-1, n_jobs=1, random_state=0),
    "network": lambda: MLPClassifier((64, 32), max_iter=30, random_state=0),
}


def learned(members: int = 500, count: int = 100_000) -> bool:
    """Greedy, from a bank of that size."""
    rng = np.random.default_rng(0)
    seen = rng.normal(size=count).astype(np.float32)
    target = (rng.random(count) < 1 / (1 + np.exp(-seen))).astype(np.int64)
    answers = {}
    for number in range(members):
        second = 1 / (1 + np.exp(-seen + rng.normal(size=count, scale=1 + number / members).astype(np.float32)))
        answers[f"m{number}"] = np.column_stack([1 - second, second]).astype(np.float64)
    lesson = Lesson(answers, target, "binary", "log_loss")
    started, computing = time.perf_counter(), time.process_time()
    weights = Greedy().learn(lesson)["weights"]
    taken, computing = time.perf_counter() - started, time.process_time() - computing
    print(
        f"greedy: {members} members x {count:,} rows in {taken:.2f} s (asked 5), {computing:.2f} of them computing, "
        f"{len(weights)} chosen", flush=True,
    )  # fmt: skip
    return taken < 5


def three(bundles: Path) -> tuple[dict[str, Bundle], Bundle]:
    """Logistic regression, boosted trees and a network on the same steps; and their mean."""
    some = rows(4_000)
    target = (some["n0"] + some["n1"] * some["n2"] + (some["t0"] == "v1") > 0).astype(int)
    made = {}
    for name, model in MODELS.items():
        steps = ColumnTransformer(
            [
                ("n", StandardScaler(), NUMBERS),
                ("t", OneHotEncoder(sparse_output=False, handle_unknown="ignore"), TEXTS),
            ]
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = make_pipeline(steps, model()).fit(some, target)
            made[name] = write(bundles, fitted, SIGNATURE, some, runtime=predictor)
    digests = {name: one.digest for name, one in made.items()}
    return made, write_ensemble(bundles, digests, Use("mean"), some, runtime=predictor, opener=bundles.joinpath)


def graphed(bundles: Path, made: dict[str, Bundle], blend: Bundle) -> bool:
    """One row, many different ones, all in turn."""
    alone: dict[str, Any] = {name: open_bundle(one.folder, bundles.joinpath) for name, one in made.items()}
    whole = OnnxPredictor(blend.folder, SIGNATURE)
    apart = TogetherPredictor("d" * 64, SIGNATURE, alone, Mean())
    rounds = [
        latency({**alone, "graph": whole, "apart": apart}, columns_of(rows(500, seed=9), SIGNATURE)) for _ in range(3)
    ]
    taken = {name: statistics.median(one[name][0] for one in rounds) for name in rounds[0]}
    slowest = max(taken[name] for name in alone)
    ratios = taken["graph"] / slowest, taken["graph"] / taken["apart"]
    told = ", ".join(f"{name} {us:.0f} us" for name, us in taken.items())
    print(
        f"one row: {told}; {ratios[0]:.2f} x the slowest (asked 1.5), {ratios[1]:.2f} x one by one (asked 0.7)",
        flush=True,
    )
    return ratios[0] <= 1.5 and ratios[1] <= 0.7


def served(bundles: Path, run_dir: Path, made: dict[str, Bundle], blend: Bundle, seconds: float) -> bool:
    """The blend's rate through the server beside its slowest member's, in turn."""
    slowest = max(made.values(), key=lambda one: one.predict_us)
    ratios, revision = [], 1
    publish(run_dir, revision, slowest.digest)
    with worker(run_dir, bundles):
        for _ in range(3):
            rates = []
            for digest in (slowest.digest, blend.digest):
                revision += 1
                publish(run_dir, revision, digest)
                time.sleep(1.0)
                command = [sys.executable, __file__, "--load", "64", str(seconds)]
                rates.append(
                    float(
                        subprocess.run(command, check=True, capture_output=True, text=True)
                        .stdout.split("/s")[0]
                        .replace(",", "")
                    )
                )
            ratios.append(rates[1] / rates[0])
    ratio = statistics.median(ratios)
    each = ", ".join(f"{one:.2f}" for one in ratios)
    print(f"served: {ratio:.2f} of its slowest member's rate (asked 0.60; {each})", flush=True)
    return ratio >= 0.6


def killed(bundles: Path, run_dir: Path) -> bool:
    """Three members, each in a process of its own; each is killed once, and comes back, under load."""
    digests = {f"m{seed}": child(bundles, seed) for seed in (15, 21, 31)}
    publish(run_dir, 1, fanned(bundles, digests, deadline_ms=1_000.0))
    told: list[tuple[int, bool, float]] = []
    with worker(run_dir, bundles) as process:
        wait(lambda: ask_once()[0] == 200, 120)
        with load(told):
            for digest in random.Random(0).sample(list(digests.values()), 3):
                pid = wait(lambda digest=digest: running(process.pid, digest), 120)
                os.kill(pid, signal.SIGKILL)
                wait(lambda digest=digest, pid=pid: running(process.pid, digest) not in {0, pid}, 120)
                wait(lambda: not ask_once()[1], 120)
    failed, degraded = sum(status != 200 for status, *_ in told), sum(one for _, one, _ in told)
    print(
        f"killed: each of 3 members once: {len(told):,} calls, {failed} failed (asked 0), {degraded:,} degraded",
        flush=True,
    )
    return failed == 0 and degraded > 0


def hung(bundles: Path, run_dir: Path, seconds: float) -> bool:
    """Two members in the worker, one in a process that answers after 10 s."""
    slow = child(bundles, 21)
    near = {f"m{leaves}": serving.build(bundles, leaves) for leaves in (15, 31)}
    publish(run_dir, 1, fanned(bundles, {**near, "slow": slow}, deadline_ms=DEADLINE))
    told: list[tuple[int, bool, float]] = []
    with worker(run_dir, bundles, BAD=f'{{"{slow}": "stalls"}}'):
        wait(lambda: ask_once()[0] == 200, 120)
        with load(told):
            time.sleep(seconds)
    times = np.array([taken for *_, taken in told])
    waited, failed = int((times > DEADLINE * 0.9).sum()), sum(status != 200 for status, *_ in told)
    print(
        f"hung: {len(told):,} calls with a deadline of {DEADLINE:g} ms, {waited} waited for it: p50 {np.median(times):.1f}, "
        f"p99 {np.percentile(times, 99):.1f} (asked 60), slowest {times.max():.1f} ms, {failed} failed", flush=True,
    )  # fmt: skip
    return bool(np.percentile(times, 99) < 60 and not failed)


# -- stage ------------------------------------------------------------------------------------------


def fanned(bundles: Path, members: dict[str, str], deadline_ms: float) -> str:
    opens = partial(predictor, alone=PipelinePredictor)
    return write_ensemble(
        bundles, members, Use("mean"), rows(1_000), runtime=opens, opener=bundles.joinpath, deadline_ms=deadline_ms
    ).digest


def publish(run_dir: Path, revision: int, digest: str) -> None:
    run_dir.mkdir(exist_ok=True)
    publish_endpoint(run_dir, EndpointConfig("bench", "binary", memory_mb=2_048))
    publish_lease(run_dir, 36_000.0)
    publish_table(run_dir, RoutingTable("bench", revision, "one", (Arm("one", digest, 1.0),), "s", slots([1.0])))


@contextmanager
def worker(run_dir: Path, bundles: Path, **environment: str) -> Any:
    config = msgspec.json.encode(WorkerConfig(str(run_dir), str(bundles), 0, "127.0.0.1", PORT)).decode()
    command = [sys.executable, "-m", "rivals.serve.server", config]
    if environment:
        command = [sys.executable, str(Path(__file__).with_name("bad_worker.py")), config]
    settings = {"OMP_NUM_THREADS": "1", **os.environ, **environment}
    process = subprocess.Popen(command, env=settings, stderr=subprocess.DEVNULL)
    try:
        wait(reachable, 60)
        yield process
    finally:
        process.terminate()
        process.wait()


def reachable() -> bool:
    try:
        return ask_once()[0] in {200, 503}
    except OSError:
        return False


def ask_once(connection: http.client.HTTPConnection | None = None) -> tuple[int, bool, float]:
    kept = connection or http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
    started = time.monotonic()
    kept.request("POST", "/v2/models/bench/infer", QUESTION, {"Content-Type": "application/json"})
    reply = kept.getresponse()
    reply.read()
    return reply.status, reply.headers.get("X-Rivals-Degraded") == "true", (time.monotonic() - started) * 1e3


@contextmanager
def load(told: list[tuple[int, bool, float]]) -> Any:
    """Four connections that ask as fast as they can."""
    stop = threading.Event()

    def one() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
        while not stop.is_set():
            told.append(ask_once(connection))

    threads = [threading.Thread(target=one) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def running(parent: int, digest: str) -> int:
    """The process of the worker's that answers for this bundle; 0: there is none."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            mine = int((path / "stat").read_text().rsplit(")", 1)[1].split()[1]) == parent
            if mine and digest.encode() in (path / "cmdline").read_bytes():
                return int(path.name)
        except (OSError, IndexError):
            continue
    return 0


def wait(condition: Callable[[], Any], seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise SystemExit("it did not happen in time")
        time.sleep(0.02)
    return found


QUESTION = body()
PARTS = ("learned", "graph", "served", "killed", "hung")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS))
    options.add_argument("--seconds", type=float, default=3.0)
    options.add_argument("--load", nargs=2, metavar=("CONNECTIONS", "SECONDS"), help="be the client")
    chosen = options.parse_args()
    if chosen.load:
        serving.PORT = PORT
        uvloop.run(serving.load(int(chosen.load[0]), 1, float(chosen.load[1])))
        return 0
    parts, held = chosen.parts, []
    with tempfile.TemporaryDirectory() as name:
        bundles, run = Path(name, "bundles"), Path(name)
        if "learned" in parts:
            held.append(learned())
        if {"graph", "served"} & set(parts):
            made, blend = three(bundles)
            if "graph" in parts:
                held.append(graphed(bundles, made, blend))
            if "served" in parts:
                held.append(served(bundles, run / "served", made, blend, chosen.seconds))
        if "killed" in parts:
            held.append(killed(bundles, run / "killed"))
        if "hung" in parts:
            held.append(hung(bundles, run / "hung", 4 * chosen.seconds))
    return int(not all(held))


if __name__ == "__main__":
    sys.exit(main())
