"""What clients notice of a training on the serving host: p99 with and without it, interleaved in one run.

One worker on loopback answers LightGBM on 18 columns in an open loop at a part of its capacity. Beside it, in every
other round, one process a core fits LightGBM on 60,000 rows again and again, at the priority that `rivals retrain`
gives itself and all it starts (``flows.retrain.lower``), one thread each as every task of a build. With ``--plain`` they
run at the usual priority, to see what the low one is worth. Asked: p99 up by at most 10 %, in the median over rounds.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from client import Client, write
from shadow import PORT, Bench, Found, bodies

ASKED = 1.10
ROWS = 60_000


def train(low: bool) -> None:
    """Fit until stopped: what a task of a training does."""
    if low:
        from rivals.flows.retrain import lower

        lower()
    from lightgbm import LGBMClassifier

    rng = np.random.default_rng(0)
    rows, target = rng.normal(size=(ROWS, 30)), rng.integers(0, 2, ROWS)
    while True:
        LGBMClassifier(n_estimators=200, n_jobs=1, verbose=-1).fit(rows, target)


def main() -> int:
    """Alternate; print both."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--train", choices=["low", "plain"])
    options.add_argument("--plain", action="store_true")
    options.add_argument("--rounds", type=int, default=10)
    options.add_argument("--seconds", type=float, default=3.0)
    options.add_argument("--part", type=float, default=0.3, help="of the measured capacity")
    chosen = options.parse_args()
    if chosen.train:
        train(chosen.train == "low")
    words = [sys.executable, __file__, "--train", "plain" if chosen.plain else "low"]
    fitting = [subprocess.Popen(words, env={**os.environ, "OMP_NUM_THREADS": "1"}) for _ in range(os.cpu_count() or 1)]
    found = {"alone": Found(), "beside a training": Found()}
    try:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(Path(folder, "run"), Path(folder, "bundles"), [])
            requests = write(Path(folder, "requests"), "/v2/models/bench/infer", bodies())
            time.sleep(10.0)  # they have loaded and begun by then
            _each(fitting, signal.SIGSTOP)
            worker = bench.start()
            try:
                with Client(requests, PORT) as client:
                    fast = client.capacity()
                    for number in range(chosen.rounds):
                        for kind in sorted(found, reverse=bool(number % 2)):
                            _each(fitting, signal.SIGSTOP if kind == "alone" else signal.SIGCONT)
                            time.sleep(0.3)
                            found[kind].add(client.run(chosen.seconds, chosen.part * fast))
            finally:
                worker.terminate()
                worker.wait()
    finally:
        _each(fitting, signal.SIGKILL)
        for one in fitting:
            one.wait()
    p99 = {kind: float(np.median(one.p99)) for kind, one in found.items()}
    for kind, one in found.items():
        print(f"{kind:<18} p50 {np.median(one.p50):.3f} ms   p99 {p99[kind]:.3f} ms   errors {one.errors}")
    ratio = float(np.median(np.array(found["beside a training"].p99) / np.array(found["alone"].p99)))
    print(f"p99 beside a training is {ratio:.2f} times that alone (median over rounds); {ASKED:g} is allowed")
    return 0 if ratio <= ASKED and not sum(one.errors for one in found.values()) else 1


def _each(processes: list[subprocess.Popen[bytes]], number: int) -> None:
    for one in processes:
        one.send_signal(number)


if __name__ == "__main__":
    sys.exit(main())
