"""The same pipelines and rows behind rivals and behind other servers, side by side: answers a second, and latency.

Every server has one core, wrk the other. A round asks each server in turn (A B C, A B C), in the best of the
configurations of ``SWEPT``; ``--sweep`` tries all of them. The rows are 512 different ones; before a server is timed, its
answers to 128 are held against ``predict_proba``, sixteen at once. Rivals answers with routing, journal and metrics on. The
peers live in virtual environments of their own under ``.peers`` (made by ``make bench-serving``).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import joblib
import lightgbm
import msgspec
import numpy as np
import pandas as pd
from serving import NUMBERS, TEXTS, rows
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from rivals.build.bundle import write
from rivals.bundles import NUMBERS as NUMBERS_INPUT
from rivals.bundles import ONNX
from rivals.bundles import TEXTS as TEXTS_INPUT
from rivals.serve.reconcile import EndpointConfig, publish_endpoint, publish_lease, publish_table
from rivals.serve.runtimes import predictor
from rivals.serve.supervisor import WorkerConfig
from rivals.statistics.assignment import slots
from rivals.values import Arm, Column, RoutingTable, Shadow, Signature

HERE, VENVS = Path(__file__).parent, Path(".peers")
PEERS = HERE / "peers"
PORT, DIFFERENT, CHECKED, CLOSE = 18_490, 512, 128, 1e-5
SERVER_CORE, CLIENT_CORE = "0", "1"
PATIENCE = 120.0  # seconds a server has to answer for the first time
CELLS = ((1, 1), (16, 1), (64, 1), (16, 32))  # connections, rows of a request


# -- the models ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Work:
    """A pipeline as every server wants it, and what it says of the rows; ``other`` is the second arm of a split."""

    folder: Path
    kind: str
    digests: tuple[str, str]
    expected: np.ndarray

    def environment(self) -> dict[str, str]:
        bundles = self.folder / "bundles"
        names = {"NUMBERS": ",".join(NUMBERS), "TEXTS": ",".join(TEXTS)}
        inputs = {"NUMBERS_INPUT": NUMBERS_INPUT, "TEXTS_INPUT": TEXTS_INPUT}
        one, other = (str(bundles / digest / ONNX) for digest in self.digests)
        files = {"MODEL": f"{self.folder}/{self.kind}.joblib", "OTHER": f"{self.folder}/{self.kind}-other.joblib"}
        return {**names, **inputs, **files, "ONNX": one, "ONNX_OTHER": other}


def pipeline(kind: str, strength: int) -> object:
    if kind == "lightgbm":
        model = lightgbm.LGBMClassifier(n_estimators=100, num_leaves=strength, verbose=-1, n_jobs=1)
        numeric: object = SimpleImputer()
    else:
        model, numeric = LogisticRegression(C=strength, max_iter=500), make_pipeline(SimpleImputer(), StandardScaler())
    encode = OneHotEncoder(sparse_output=False, handle_unknown="ignore")
    return make_pipeline(ColumnTransformer([("n", numeric, NUMBERS), ("t", encode, TEXTS)]), model)


def work(folder: Path, kind: str) -> Work:
    some = rows(4_000)
    target = (some["n0"] + some["n1"] * some["n2"] + (some["t0"] == "v1") > 0).astype(int)
    inputs = tuple([Column(name, "number") for name in NUMBERS] + [Column(name, "text") for name in TEXTS])
    (folder / "bundles").mkdir(exist_ok=True)
    digests, made = [], []
    for name, strength in ((kind, 15), (f"{kind}-other", 16)):
        fitted = pipeline(kind, strength).fit(some, target)  # type: ignore[attr-defined]
        joblib.dump(fitted, folder / f"{name}.joblib")
        signature = Signature(inputs, "binary", (0, 1))
        digests.append(write(folder / "bundles", fitted, signature, some, runtime=predictor).digest)
        made.append(fitted.predict_proba(rows(DIFFERENT, seed=1)))
    return Work(folder, kind, (digests[0], digests[1]), np.array(made))


# -- the servers -----------------------------------------------------------------------------------------


def records(part: pd.DataFrame) -> bytes:
    return json.dumps({"dataframe_records": part.to_dict("records")}).encode()


def tensors(part: pd.DataFrame) -> bytes:
    """What MLServer takes a DataFrame from."""

    def one(name: str) -> dict[str, object]:
        kind, of = ("FP64", {}) if name in NUMBERS else ("BYTES", {"parameters": {"content_type": "str"}})
        return {"name": name, "shape": [len(part), 1], "datatype": kind, "data": part[name].tolist(), **of}

    inputs = [one(name) for name in part.columns]
    return json.dumps(
        {"parameters": {"content_type": "pd"}, "inputs": inputs, "outputs": [{"name": "predict_proba"}]}
    ).encode()


def predictions(raw: bytes) -> np.ndarray:
    told = json.loads(raw)
    return np.array(told["predictions"] if isinstance(told, dict) else told)


def probabilities(raw: bytes) -> np.ndarray:
    (output,) = json.loads(raw)["outputs"]
    return np.array(output["data"]).reshape(output["shape"])


Command = Callable[[Work, Path], list[str]]


@dataclass(frozen=True)
class Server:
    """A server in one configuration."""

    name: str
    venv: str
    command: Command
    path: str = "/predict"
    body: Callable[[pd.DataFrame], bytes] = records
    read: Callable[[bytes], np.ndarray] = predictions
    env: Mapping[str, str] = field(default_factory=dict)
    product: bool = True  # not written by hand

    def __str__(self) -> str:
        return " ".join([self.name, *(f"{name.lower()}={value}" for name, value in self.env.items())])


def python(script: str) -> Command:
    return lambda _work, _scratch: [str(PEERS / script)]


def uvicorn(app: str) -> Command:
    options = ["--host", "127.0.0.1", "--port", str(PORT), "--log-level", "warning", "--no-access-log"]
    return lambda _work, _scratch: ["-m", "uvicorn", "--app-dir", str(PEERS), f"{app}:app", *options]


def bento(_work: Work, _scratch: Path) -> list[str]:
    return ["-m", "bentoml", "serve", "bento_app:Bench", "--working-dir", str(PEERS), "--port", str(PORT)]


def mlflow(wanted: Work, scratch: Path) -> list[str]:
    folder = scratch / "mlflow"
    subprocess.run(
        [venv("mlflow"), PEERS / "save_mlflow.py", f"{wanted.folder}/{wanted.kind}.joblib", folder], check=True
    )
    return ["-m", "mlflow", "models", "serve", "-m", str(folder), "--env-manager", "local", "-p", str(PORT), "-w", "1"]


def mlserver(batch: int, wait: float) -> Command:
    def command(wanted: Work, scratch: Path) -> list[str]:
        batching = {"max_batch_size": batch, "max_batch_time": wait} if batch > 1 else {}
        model = {"uri": f"{wanted.folder}/{wanted.kind}.joblib"}
        told = {"name": "bench", "implementation": "mlserver_sklearn.SKLearnModel", "parameters": model, **batching}
        (scratch / "model-settings.json").write_text(json.dumps(told))
        ports = {"http_port": PORT, "grpc_port": PORT + 1, "metrics_port": PORT + 2}
        (scratch / "settings.json").write_text(json.dumps({"host": "127.0.0.1", "parallel_workers": 0, **ports}))
        return ["-c", "from mlserver.cli import main; main()", "start", str(scratch)]

    return command


def rivals(*shares: float, shadow: bool = False) -> Command:
    def command(wanted: Work, scratch: Path) -> list[str]:
        one, other = wanted.digests
        arms = tuple(Arm(*arm) for arm in zip(("one", "other"), (one, other), shares, strict=False))
        shadows = (Shadow("other", other),) if shadow else ()
        publish_endpoint(scratch, EndpointConfig("bench", "binary"))
        publish_lease(scratch, 36_000.0)
        publish_table(scratch, RoutingTable("bench", 1, "one", arms, "salt", slots(list(shares)), shadows))
        config = WorkerConfig(str(scratch), str(wanted.folder / "bundles"), 0, "127.0.0.1", PORT)
        return ["-m", "rivals.serve.server", msgspec.json.encode(config).decode()]

    return command


RIVALS = Server("rivals", "", rivals(1.0), "/invocations", product=False)
BEST = (
    RIVALS,
    Server("FastAPI + ONNX", "fastapi", uvicorn("fastapi_onnx"), product=False),
    Server("FastAPI + joblib", "fastapi", uvicorn("fastapi_joblib"), product=False),
    Server("MLflow", "mlflow", mlflow, "/invocations"),
    Server("MLServer", "mlserver", mlserver(64, 0.05), "/v2/models/bench/infer", tensors, probabilities),
    Server("BentoML", "bentoml", bento),
    Server("Ray Serve", "ray", python("ray_app.py")),
    Server("LitServe", "litserve", python("lit_app.py")),
)
SPLITS = (
    Server("rivals, 50/50", "", rivals(0.5, 0.5), "/invocations", product=False),
    Server("rivals, one shadow", "", rivals(1.0, shadow=True), "/invocations", product=False),
    Server("FastAPI + ONNX, 50/50", "fastapi", uvicorn("fastapi_onnx"), env={"SPLIT": "1"}, product=False),
    Server("FastAPI + joblib, 50/50", "fastapi", uvicorn("fastapi_joblib"), env={"SPLIT": "1"}, product=False),
)
SWEPT = (
    *(Server("FastAPI + ONNX", "fastapi", uvicorn("fastapi_onnx"), env={"IN_LOOP": one}) for one in "01"),
    *(Server("FastAPI + joblib", "fastapi", uvicorn("fastapi_joblib"), env={"IN_LOOP": one}) for one in "01"),
    *(
        Server(f"MLServer {batch} rows {wait} s", "mlserver", mlserver(batch, wait), "/v2/models/bench/infer", tensors, probabilities)
        for batch, wait in ((1, 0.0), (32, 0.005), (64, 0.01), (64, 0.05))
    ),
    *(
        Server("BentoML", "bentoml", bento, env={"BATCH": batch, "WAIT_MS": wait})
        for batch, wait in (("1", "1000"), ("32", "1000"), ("64", "1000"), ("64", "10000"))
    ),
    *(
        Server(name, key, python(script), env={"BATCH": batch, "WAIT_MS": wait})
        for name, key, script in (("Ray Serve", "ray", "ray_app.py"), ("LitServe", "litserve", "lit_app.py"))
        for batch, wait in (("1", "5"), ("32", "5"), ("64", "5"), ("64", "20"))
    ),
)  # fmt: skip


# -- one measurement -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """What wrk saw, and what the server's processes used: share of a core, and megabytes."""

    rate: float
    p50: float
    p99: float
    failed: int
    core: float
    memory: float


def venv(name: str) -> str:
    return str((VENVS / name / "bin" / "python").absolute()) if name else sys.executable


@contextmanager
def started(server: Server, wanted: Work) -> Iterator[int]:
    """The process of a server that answers; it and all it started are gone afterwards."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        environment = {
            **os.environ,
            **wanted.environment(),
            **server.env,
            "PORT": str(PORT),
            "RAY_FOLDER": f"{name}/ray",
        }
        environment |= {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", "NO_COLOR": "1"}
        if server.venv:
            environment["PATH"] = f"{Path(venv(server.venv)).parent}:{environment['PATH']}"
        command = ["taskset", "-c", SERVER_CORE, venv(server.venv), *server.command(wanted, scratch)]
        with (scratch / "log").open("wb") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            _answers(server, process, scratch / "log")
            yield process.pid
        finally:
            family = [process.pid, *descendants(process.pid)]
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            for pid in family:
                with suppress(ProcessLookupError):
                    os.kill(pid, 9)
            process.wait()


def _answers(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    end, question = time.monotonic() + PATIENCE, server.body(rows(1, seed=1))
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError):
            ask(server, question)
            return
        time.sleep(0.2)
    raise SystemExit(f"{server} does not answer:\n{log.read_text(errors='replace')[-2000:]}")


def ask(server: Server, body: bytes) -> bytes:
    address = f"http://127.0.0.1:{PORT}{server.path}"
    wanted = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(wanted, timeout=60) as reply:
        told: bytes = reply.read()
        return told


def check(server: Server, wanted: Work) -> float:
    """The worst difference over so many rows, asked sixteen at once; of a split, from the nearer arm."""
    some = rows(DIFFERENT, seed=1)
    with ThreadPoolExecutor(16) as pool:
        told = list(pool.map(lambda row: ask(server, server.body(some.iloc[[row]])), range(CHECKED)))
    found = np.concatenate([server.read(one) for one in told])
    off = np.abs(found[None] - wanted.expected[:, :CHECKED]).max(axis=2)
    return float((off.min(axis=0) if "50/50" in server.name or "SPLIT" in server.env else off[0]).max())


def load(server: Server, pid: int, connections: int, batch: int, seconds: float, scratch: Path) -> Seen:
    some, bodies = rows(DIFFERENT * min(batch, 4), seed=1), scratch / f"{server.body.__name__}-{batch}"
    if not bodies.exists():
        parts = [server.body(some.iloc[start : start + batch]) for start in range(0, len(some) - batch + 1, batch)]
        bodies.write_bytes(b"\n".join(parts) + b"\n")
    environment = {**os.environ, "BODIES": str(bodies), "TARGET": server.path}

    def wrk(duration: float) -> dict[str, float]:
        options = [
            "-t1",
            f"-c{connections}",
            f"-d{max(1, round(duration))}s",
            "--timeout",
            "30s",
            "-s",
            HERE / "load.lua",
        ]
        if server.venv:
            environment["PATH"] = f"{Path(venv(server.venv)).parent}:{environment['PATH']}"
        command = ["taskset", "-c", CLIENT_CORE, "wrk", *options, f"http://127.0.0.1:{PORT}"]
        told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        return dict(json.loads(told.strip().splitlines()[-1]))

    wrk(1.0)
    before = used(pid)
    told = wrk(seconds)
    core = (used(pid) - before) / told["seconds"]
    rate = told["answers"] / told["seconds"]
    return Seen(rate, told["p50"], told["p99"], int(told["failed"]), core, memory(pid))


def descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in task.read_text().split():
                found += [int(child), *descendants(int(child))]
    return found


def used(pid: int) -> float:
    """Seconds of processor time of a process and all it started."""
    total = 0
    for one in (pid, *descendants(pid)):
        with suppress(OSError):
            told = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            total += int(told[11]) + int(told[12])
    return total / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> float:
    """Megabytes, what processes share counted once."""
    total = 0
    for one in (pid, *descendants(pid)):
        with suppress(OSError):
            told = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in told if line.startswith("Pss:"))
    return total * 1024 / 1e6


# -- the whole -------------------------------------------------------------------------------------------


Table = dict[tuple[str, int, int], list[Seen]]


def measure(servers: list[Server], wanted: Work, cells: list[tuple[int, int]], rounds: int, seconds: float) -> Table:
    seen: Table = {}
    for turn in range(rounds):
        for server in servers:
            with started(server, wanted) as pid:
                try:
                    off = check(server, wanted)
                except OSError as error:  # too short a wait for this machine: BentoML refuses then
                    print(f"  round {turn + 1} {server!s:<34} refuses: {error}", flush=True)
                    continue
                if off > CLOSE:
                    raise SystemExit(f"{server}: an answer is {off:.2g} off")
                for connections, batch in cells:
                    found = load(server, pid, connections, batch, seconds, wanted.folder)
                    seen.setdefault((str(server), connections, batch), []).append(found)
                    print(f"  round {turn + 1} {server!s:<34} {connections:>3} x {batch:>2}: {told(found)}", flush=True)
    return seen


def told(one: Seen) -> str:
    failed = f" {one.failed} FAILED" if one.failed else ""
    times = f"p50 {one.p50:>7.2f} p99 {one.p99:>8.2f} ms"
    return f"{one.rate:>8,.0f}/s {times} {one.core:>4.0%} of a core {one.memory:>5.0f} MB{failed}"


def summary(seen: Table, servers: list[Server], cells: list[tuple[int, int]], kind: str) -> int:
    """Print medians, and each server's ratio to rivals with its spread over the rounds; how many bounds do not hold."""
    missed = 0
    for connections, batch in cells:
        print(f"\n{kind}, {batch} row(s) a request, {connections} connections (medians of the rounds)")
        ours = seen[str(RIVALS), connections, batch]
        ratios: dict[str, float] = {}
        for server in servers:
            found = seen[str(server), connections, batch]
            each = [mine.rate / theirs.rate for mine, theirs in zip(ours, found, strict=True)]
            ratios[str(server)] = statistics.median(each)
            middle = Seen(*(statistics.median(getattr(one, name) for one in found) for name in Seen.__annotations__))
            print(
                f"  {server!s:<34} {told(middle)}  rivals has {ratios[str(server)]:>6.2f} x ({min(each):.2f}-{max(each):.2f})"
            )
        products = [server for server in servers if server.product]
        best = min(products, key=lambda one: ratios[str(one)]) if products else None
        if best and (connections, batch) in {(64, 1), (16, 32)}:
            p99 = statistics.median(
                b.p99 / a.p99 for a, b in zip(ours, seen[str(best), connections, batch], strict=True)
            )
            asked = 20 if batch == 1 else 5
            missed += ratios[str(best)] < asked
            print(
                f"  best product {best}: {ratios[str(best)]:.1f} x (asked: {asked}), its p99 {p99:.1f} x ours (asked at 1 row: 5)"
            )
            if batch == 1:
                onnx = next(value for name, value in ratios.items() if name.startswith("FastAPI + ONNX"))
                missed += (p99 < 5) + (onnx < 3)
                print(f"  FastAPI with the same ONNX file: {onnx:.1f} x (asked: 3)")
    return missed


def versions() -> None:
    for name in sorted({one.venv for one in BEST if one.venv}):
        listed = subprocess.run([venv(name), "-m", "pip", "list", "--format=json"], capture_output=True, check=True)
        wanted = {
            "fastapi",
            "uvicorn",
            "mlflow",
            "mlserver",
            "bentoml",
            "ray",
            "litserve",
            "scikit-learn",
            "lightgbm",
            "onnxruntime",
        }
        print(name, *(f"{one['name']} {one['version']}" for one in json.loads(listed.stdout) if one["name"] in wanted))


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=3.0)
    options.add_argument("--only", help="servers whose names match this")
    options.add_argument("--sweep", action="store_true", help="every configuration of the peers, one round")
    options.add_argument("--splits", action="store_true", help="a 50/50 split and a shadow against one variant")
    options.add_argument("--models", default="lightgbm,logistic")
    chosen = options.parse_args()
    missed = 0
    servers = list(SWEPT if chosen.sweep else (RIVALS, *SPLITS) if chosen.splits else BEST)
    servers = [one for one in servers if not chosen.only or re.search(chosen.only, one.name) or one is RIVALS]
    versions()
    with tempfile.TemporaryDirectory() as name:
        for kind in chosen.models.split(","):
            wanted = work(Path(name), kind)
            cells = [(64, 1)] if chosen.sweep else list(CELLS)
            seen = measure(servers, wanted, cells, chosen.rounds, chosen.seconds)
            if not chosen.sweep:
                missed += summary(seen, servers, cells, kind)
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
