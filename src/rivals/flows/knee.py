"""What a variant bears where it is served: asked by more and more clients at once, until that brings nothing."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rivals.bundles import PROBE, Probe, read, read_manifest
from rivals.errors import BundleError, SpecError
from rivals.flows.alone import PLACE
from rivals.infra.scaling import Point, knee
from rivals.remote import PREFIX, Remote
from rivals.values import Columns

MOST = 64  # clients at once


def measure(folder: Path, url: str, seconds: float, p99: float, say: Callable[[str], None], token: str = "") -> Point:
    """The knee of the model at ``url``, asked for a row of its own bundle; each point takes so many seconds.

    ``url`` is that of one replica, as ``http://host:8080/model`` or ``.../model/versions/variant`` of a router that is
    not in use: what is asked here counts as traffic there. ``p99`` is in seconds. Raises ``SpecError``.
    """
    plain, _, version = url.partition("/versions/")
    if not PLACE.fullmatch(plain) or "/" in version:
        raise SpecError(f"{url} is no model's address; write it as http://host:8080/model.")
    row = _row(read(folder / PROBE, Probe).columns)
    remote = Remote(PREFIX + url, read_manifest(folder).signature, 5.0, token)
    remote.predict(row)  # loaded and warm, or refused with a sentence
    points: list[Point] = []
    clients = 1
    while clients <= MOST:
        points.append(_point(remote, row, clients, seconds))
        say(f"{clients} clients: {points[-1].rate:.0f} answers/s, p99 {points[-1].p99 * 1e3:.1f} ms")
        if knee(points, p99) != points[-1]:
            break
        clients *= 2
    found = knee(points, p99)
    if found is None:
        raise SpecError(f"{url} answers a single client with a p99 of {points[0].p99 * 1e3:.1f} ms, above the limit.")
    return found


def _point(remote: Remote, row: Columns, clients: int, seconds: float) -> Point:
    """A closed loop of so many clients."""
    took: list[float] = []
    failed: list[Exception] = []
    started = time.monotonic()
    until = started + seconds

    def ask() -> None:
        try:
            while (before := time.monotonic()) < until:
                remote.predict(row)
                took.append(time.monotonic() - before)
        except BundleError as error:  # overloaded: this is beyond the knee
            failed.append(error)
        finally:
            remote.close()

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took.sort()
    p99 = math.inf if failed or not took else took[min(len(took) - 1, int(0.99 * len(took)))]
    return Point(clients, len(took) / (time.monotonic() - started), p99)


def _row(columns: Mapping[str, Sequence[Any]]) -> Columns:
    return Columns({name: list(values[:1]) for name, values in columns.items()}, 1)
