"""What the processes of an endpoint use, read from /proc where there is one: workers, and variants apart from them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rivals.metrics import series
from rivals.serve.question import digests
from rivals.serve.reconcile import obeyed_by_slot
from rivals.values import RoutingTable

PROC = Path("/proc")
TICK = 1 / os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
WORKER = "rivals.serve.server"
CHILDREN = ("rivals.serve.aside", "rivals.flows.child")


class Usage(NamedTuple):
    """Seconds of CPU since the process began, and bytes in memory now."""

    cpu: float
    resident: int


def used(run_dir: Path, table: RoutingTable) -> dict[str, float]:
    """CPU seconds and resident bytes of every worker and of every variant in a process of its own, by series.

    A process that is started again begins at nothing, which is what Prometheus expects of a counter.
    """
    found: dict[str, float] = {}
    names = {digest: variant for variant, digest in reversed(digests(table).items())}
    for slot, obeyed in obeyed_by_slot(run_dir).items():
        if WORKER not in _words(obeyed.pid) or (own := usage(obeyed.pid)) is None:
            continue  # it is gone; its number may be a stranger's by now
        found |= as_series(own, table.endpoint, process="worker", worker=slot)
        apart: dict[tuple[str, str], Usage] = {}
        for kind, digest, child in _children(obeyed.pid):
            before = apart.get((kind, digest), Usage(0.0, 0))
            apart[kind, digest] = Usage(before.cpu + child.cpu, before.resident + child.resident)
        for (kind, digest), child in apart.items():
            variant = names.get(digest)
            if variant is not None:
                found |= as_series(child, table.endpoint, process=kind, worker=slot, variant=variant)
    return found


def as_series(one: Usage, endpoint: str, **labels: str) -> dict[str, float]:
    """The two series of a process."""
    return {
        series("rivals_process_cpu_seconds_total", endpoint=endpoint, **labels): one.cpu,
        series("rivals_process_resident_bytes", endpoint=endpoint, **labels): float(one.resident),
    }


def usage(pid: int) -> Usage | None:
    """What a process uses; None where it is gone, or nobody tells."""
    try:
        words = (PROC / str(pid) / "stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None
    if words[0] in "ZX":
        return None
    return Usage((int(words[11]) + int(words[12])) * TICK, int(words[21]) * PAGE)


def _children(pid: int) -> Iterator[tuple[str, str, Usage]]:
    """Of a worker: what each is for, its bundle's digest and what it uses. A thread has children of its own."""
    for listed in (PROC / str(pid) / "task").glob("*/children"):
        try:
            pids = listed.read_text().split()
        except OSError:
            continue
        for child in pids:
            words = _words(int(child))
            place = next((i for i, word in enumerate(words) if word in CHILDREN), None)
            if place is not None and (own := usage(int(child))) is not None:
                _, bundle, nice = words[place + 1 : place + 4]
                yield "shadow" if int(nice) else "variant", Path(bundle).name, own


def _words(pid: int) -> list[str]:
    """A process's command line; empty where it is gone."""
    try:
        return (PROC / str(pid) / "cmdline").read_text().split("\0")
    except OSError:
        return []
