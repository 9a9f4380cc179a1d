"""Rolling back under load, end to end: `rivals serve`, a promoted challenger, and an operator who takes it back.

An open loop at half of the measured capacity runs while ``POST /api/rollout/rollback`` is sent; then `wrk` does the same.
Asked: no failed request, and from one second after the operator's request on, only answers of the old champion.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from client import Client, Told, write

LINKS = 64  # of wrk
MODULE = """
import numpy as np
import pandas as pd


def load(rows=3000, seed=1):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, rows))
    frame = pd.DataFrame({"a": a, "b": b})
    frame["y"] = (rng.random(rows) < 1 / (1 + np.exp(b - a))).astype(int)
    frame["t"] = 1.4e9 + np.arange(rows) * 600.0
    return frame
"""
PROJECT = """
project: undo
data:
  source: {use: function, with: {function: "undo:load"}}
  task: binary
  target: y
  time: t
  split: {test: 20%, folds: 3, by: time}
features:
  all: [{use: impute, with: {columns: numeric}}, {use: scale, with: {columns: numeric}}]
variants:
  - {name: old, features: all, family: sklearn, with: {estimator: LogisticRegression}}
  - {name: new, features: all, family: sklearn, with: {estimator: LogisticRegression, C: 0.5}}
endpoint:
  name: undo
  champion: old
  rollout: {steps: [25%], every: 10m, deadline: 30d, block: 6h}
"""


def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def rivals(folder: Path, *words: str) -> None:
    subprocess.run([sys.executable, "-m", "rivals", *words], cwd=folder, check=False, stdout=subprocess.DEVNULL)


def http(method: str, url: str) -> Any:
    """The answer as JSON; None where nobody answers, or not with a 200."""
    try:
        request = urllib.request.Request(url, b"{}" if method == "POST" else None, method=method)
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.loads(reply.read() or b"null")
    except OSError:
        return None


def wait(condition: Any, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("it did not happen in time")
        time.sleep(0.05)


def promote(client: Client, control: str, folder: Path) -> None:
    """The new variant answers every request."""
    rivals(folder, "rollout", "start", "new", "--force")
    wait(lambda: http("POST", f"{control}/api/rollout/promote") is not None)
    wait(lambda: {one.variant for one in client.run(0.2, 100.0)} == {"new"})


def take_back(control: str) -> tuple[float, float]:
    """When an operator rolled back, and when that was answered."""
    asked = time.monotonic()
    if http("POST", f"{control}/api/rollout/rollback") is None:
        raise SystemExit("the rollback was refused")
    return asked, time.monotonic()


def undo(client: Client, control: str, folder: Path, rate: float) -> tuple[list[Told], tuple[float, float]]:
    """Promote the new variant, then roll it back in the middle of the load: answers, and when."""
    promote(client, control, folder)
    client.begin(6.0, rate)
    time.sleep(3.0)
    span = take_back(control)
    return client.end(), span


def undo_by_wrk(client: Client, control: str, folder: Path, rate: float, url: str, body: str) -> bool:
    """The same under `wrk`: whether it held."""
    promote(client, control, folder)
    script, pause = Path(__file__).with_name("undo.lua"), LINKS / rate * 1e3
    words = ["wrk", "-t1", f"-c{LINKS}", "-d6s", "-s", str(script), url, "--", str(round(pause)), body]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as wrk:
        time.sleep(3.0)
        asked, _ = take_back(control)
        words = (wrk.communicate()[0]).splitlines()
    told = json.loads(words[-1])
    late = told["last_new"] - asked
    print(
        f"wrk: {told['answers']:,} answers at {told['rate']:,.0f}/s, {told['failed']} failed; "
        f"the last answer of the new revision came {late * 1e3:+.0f} ms after; p99 {told['p99_ms']:.2f} ms"
    )
    return not told["failed"] and late <= 1.0


def report(told: list[Told], span: tuple[float, float], rate: float) -> bool:
    asked, done = span
    failed = sum(not one.good for one in told)
    late = sum(one.variant != "old" for one in told if one.sent > asked + 1.0)
    last = max((one.sent - asked for one in told if one.variant == "new"), default=0.0)
    before = sorted(one.came - one.due for one in told if one.due < asked)
    during = sorted(one.came - one.due for one in told if asked <= one.due < asked + 1.0)
    p99 = [values[int(0.99 * len(values))] * 1e3 for values in (before, during)]
    print(
        f"{len(told):,} requests at {rate:,.0f}/s, {failed} failed; the operator waited {(done - asked) * 1e3:.0f} ms"
    )
    print(f"the last request to the new revision was sent {last * 1e3:+.0f} ms after; {late} past one second")
    print(f"p99 before {p99[0]:.2f} ms, in the second after {p99[1]:.2f} ms")
    return not failed and not late


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--part", type=float, default=0.5, help="of the measured capacity")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--workers", type=int, default=1)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, data, control = Path(name), port(), port()
        (folder / "undo.py").write_text(MODULE)
        (folder / "rivals.yaml").write_text(PROJECT)
        rivals(folder, "train", "-q")
        words = [sys.executable, "-m", "rivals", "serve", "--workers", str(chosen.workers)]
        words += ["--port", str(data), "--control-port", str(control)]
        with (folder / "serve.log").open("wb") as log:
            server = subprocess.Popen(words, cwd=folder, stderr=log)
        url, good = f"http://127.0.0.1:{control}", True
        try:
            wait(lambda: http("GET", f"{url}/api/status") is not None)
            body = {"inputs": [{"name": n, "shape": [1], "datatype": "FP64", "data": [0.5]} for n in ("a", "b")]}
            requests = write(folder / "requests", "/v2/models/undo/infer", [body])
            with Client(requests, data) as client:
                for _ in range(chosen.rounds):
                    rate = chosen.part * client.capacity()
                    told, span = undo(client, url, folder, rate)
                    good &= report(told, span, rate)
                    if shutil.which("wrk"):
                        address = f"http://127.0.0.1:{data}/v2/models/undo/infer"
                        good &= undo_by_wrk(client, url, folder, rate, address, json.dumps(body))
                    else:
                        print("wrk is missing (make parts): only our own client was asked")
        finally:
            server.terminate()
            server.wait()
    sys.exit(not good)


if __name__ == "__main__":
    main()
