"""Five million flights through three variants: rows a second beside ONNX Runtime alone, and the most memory taken.

ONNX Runtime alone: the same graphs in as many processes as there are cores, fed with blocks that lie ready in memory, so
without reading, decoding, or writing anything. Asked: at least 60 % of that rate, under 2 GB. Both in turn, three times.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "examples" / "flights"))
VARIANTS = ("logistic", "boosted", "network")
BLOCK = 65_536
CORES = os.cpu_count() or 1


def project(folder: Path) -> None:
    """The flights project with three variants, built."""
    for name in ("flights.py", "rivals.yaml"):
        shutil.copy(ROOT / "examples" / "flights" / name, folder / name)
    words = [sys.executable, "-m", "rivals", "train", "-q"]
    for name in VARIANTS:
        words += ["--variant", name]
    subprocess.run(words, cwd=folder, check=True)


def write(file: Path, rows: int) -> None:
    import flights

    frame = flights.stream(5).drop(columns=["label_due", "late"], errors="ignore")
    rng = np.random.default_rng(0)
    with pq.ParquetWriter(file, pa.Table.from_pandas(frame.head(1), preserve_index=False).schema) as writer:
        for start in range(0, rows, 250_000):
            some = frame.iloc[rng.integers(0, len(frame), min(250_000, rows - start))]
            writer.write_table(pa.Table.from_pandas(some, preserve_index=False, schema=writer.schema))


def alone(folders: list[str], rows: int, file: str) -> float:
    """Seconds that ONNX Runtime takes for so many rows, all graphs, blocks lying ready."""
    from rivals.bundles import columns_of, read_manifest
    from rivals.serve.runtimes.onnx import OnnxPredictor

    frame = next(pq.ParquetFile(file).iter_batches(BLOCK)).to_pandas()
    ready = []
    for folder in folders:
        manifest = read_manifest(Path(folder))
        feeds: list[dict[str, np.ndarray]] = []

        def run(_: list[str], feed: dict[str, np.ndarray], kept: list = feeds) -> list[np.ndarray]:
            kept.append(feed)
            return [np.zeros((BLOCK, 2))]

        predictor = OnnxPredictor(Path(folder), manifest.signature)
        session_run, predictor._run = predictor._run, run  # noqa: SLF001 -- what it feeds its graph is what we want
        predictor.predict(columns_of(frame, manifest.signature))
        ready.append((session_run, predictor._output, feeds[0]))  # noqa: SLF001
    started = time.perf_counter()
    for _ in range(rows // BLOCK):
        for session_run, output, feed in ready:
            session_run(output, feed)
    return time.perf_counter() - started


def resident(pid: int) -> int:
    """Bytes in memory of a process and all below it."""
    total, queue = 0, [pid]
    while queue:
        one = queue.pop()
        try:
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            for task in Path(f"/proc/{one}/task").iterdir():
                queue += map(int, (task / "children").read_text().split())
        except (OSError, IndexError, ValueError):
            continue
    return total


def batch(folder: Path, file: Path, out: Path) -> tuple[float, int]:
    """Seconds and the most memory of ``rivals batch``."""
    words = [sys.executable, "-m", "rivals", "batch", str(file), str(out), "--variant", "all", "-q", "--json"]
    started, most = time.perf_counter(), 0
    process = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE)
    done = threading.Event()

    def look() -> None:
        nonlocal most
        while not done.wait(0.05):
            most = max(most, resident(process.pid))

    watcher = threading.Thread(target=look)
    watcher.start()
    said, _ = process.communicate()
    done.set()
    watcher.join()
    assert process.returncode == 0
    assert json.loads(said)["rows"] == pq.read_metadata(file).num_rows
    return time.perf_counter() - started, most


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    assert ort.__version__
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project(folder)
        file = folder / "flights.parquet"
        write(file, given.rows)
        from rivals.flows.workspace import open_workspace

        workspace = open_workspace(folder)
        bundles = [str(workspace.blobs.path(workspace.trained(one).digest)) for one in VARIANTS]
        graphs = [one for one in bundles if (Path(one) / "model.onnx").exists()]
        shares = []
        for round_ in range(given.rounds):
            with ProcessPoolExecutor(CORES) as pool:
                each = [pool.submit(alone, graphs, given.rows // CORES, str(file)) for _ in range(CORES)]
                runtime = max(one.result() for one in each)
            seconds, most = batch(folder, file, folder / f"out{round_}")
            shutil.rmtree(folder / f"out{round_}")
            shares.append(runtime / seconds)
            print(
                f"round {round_ + 1}: ONNX Runtime alone {given.rows / runtime / 1e3:,.0f} k rows/s, "
                f"rivals batch {given.rows / seconds / 1e3:,.0f} k rows/s: {shares[-1]:.0%}; {most / 2**20:,.0f} MB"
            )
        print(f"{len(graphs)} of {len(bundles)} variants have a graph; median {np.median(shares):.0%}, asked 60%")


if __name__ == "__main__":
    main()
