"""Staging: the very bundle that would go live, served and asked real rows, one by one and many at once."""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np

from rivals import plugins
from rivals.bundles import read_manifest
from rivals.client import Client, columns_of
from rivals.errors import DataError, RivalsError
from rivals.flows.reading import anchored
from rivals.flows.workspace import Workspace
from rivals.protocols import Source

START = 60.0  # seconds that a server may take to be ready
SAME = 1e-4  # a row alone and among others: float32 sums in another order
ROWS = 200


@dataclass(frozen=True, slots=True)
class Smoked:
    """What a staging server did. Times in milliseconds; ``faults``: a sentence each, none if it may go on."""

    where: str
    requests: int
    p50_ms: float
    p99_ms: float
    per_second: float
    faults: tuple[str, ...]


def smoke(
    workspace: Workspace, variant: str, *, url: str = "", requests: int = 1000, clients: int = 4, p99_ms: float = 250.0
) -> Smoked:
    """Ask ``variant`` for rows of its data: at ``url``, or in a process of its own that is gone afterwards.

    Every answer must be finite, and the same alone as among others; 99 of 100 must come within ``p99_ms``.
    """
    trained = workspace.trained(variant)
    names = [column.name for column in read_manifest(workspace.blobs.path(trained.digest)).signature.inputs]
    rows = _rows(workspace, variant, names)
    if url:
        return _asked(url, workspace.endpoint.name, variant, rows, requests, clients, p99_ms)
    with _staging(workspace, trained.digest) as here:
        return _asked(here, "bundle", "", rows, requests, clients, p99_ms)


def _rows(workspace: Workspace, variant: str, names: list[str]) -> list[dict[str, object]]:
    data = workspace.spec.data
    source = data.sets.get(workspace.spec.set_of(variant), data.source)
    frame = plugins.make(Source, anchored(workspace, source)).read().tail(ROWS)
    columns = columns_of(frame[names])
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    if not rows:
        raise DataError("The source has no rows to ask about.")
    return rows


def _asked(
    url: str, endpoint: str, variant: str, rows: list[dict[str, object]], requests: int, clients: int, p99_ms: float
) -> Smoked:
    with Client(url, endpoint, token=os.environ.get("RIVALS_TOKEN", "")) as client:
        together = np.asarray(client.predict(rows, variant=variant).outputs, dtype=float)

        def one(number: int) -> tuple[float, str]:
            began, place = time.perf_counter(), number % len(rows)
            try:
                alone = np.asarray(client.predict([rows[place]], variant=variant).outputs, dtype=float)[0]
            except RivalsError as error:
                return math.nan, str(error)
            spent = 1e3 * (time.perf_counter() - began)
            return spent, "" if np.allclose(alone, together[place], atol=SAME) else "a row alone is answered otherwise"

        began = time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            told = list(pool.map(one, islice(cycle(range(len(rows))), requests)))
        spent = time.perf_counter() - began
    took = np.array([one[0] for one in told if not math.isnan(one[0])] or [math.inf])
    p50, p99 = (float(np.quantile(took, q)) for q in (0.5, 0.99))
    said = [why for _, why in told if why]
    faults = [f"{said.count(why)} of {requests} requests: {why}" for why in sorted(set(said))]
    faults += ["an answer is no finite number"] * (not bool(np.isfinite(together).all()))
    faults += [f"p99 is {p99:.1f} ms, and at most {p99_ms:g} ms is allowed"] * (p99 > p99_ms)
    return Smoked(url, requests, p50, p99, requests / spent, tuple(faults))


@contextmanager
def _staging(workspace: Workspace, digest: str) -> Iterator[str]:
    """The bundle behind a server of its own; stopped by its id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "rivals", "serve-bundle", str(workspace.blobs.path(digest)), "-q"]
    with subprocess.Popen([*command, "--port", str(port)]) as process:  # noqa: S603 -- our own words
        url, until = f"http://127.0.0.1:{port}", time.monotonic() + START
        try:
            with Client(url, "bundle", retries=0, token=os.environ.get("RIVALS_TOKEN", "")) as client:
                while not client.ready():
                    if process.poll() is not None or time.monotonic() > until:
                        raise RivalsError(f"The bundle {digest[:12]} did not start to answer; see above.")
                    time.sleep(0.1)
            yield url
        finally:
            process.terminate()
