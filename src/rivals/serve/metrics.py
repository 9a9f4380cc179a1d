"""Counters that survive a worker and add up over all of them, and their text for Prometheus.

Each worker slot keeps its numbers in a small file that is mapped into memory: a number that was counted is in the
kernel at once, a worker that comes back counts on, and whoever is asked adds up the files of all.
"""

from __future__ import annotations

import mmap
import struct
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from rivals import __version__
from rivals.values import Outcome, RoutingTable

# Every metric of the data plane, once: name -> (type, help).
METRICS: Mapping[str, tuple[str, str]] = {
    "rivals_requests_total": ("counter", "Questions put to a variant for a client, by how they ended."),
    "rivals_request_duration_seconds": ("histogram", "From the last byte of a request to the first of its answer."),
    "rivals_variant_weight_ratio": ("gauge", "Share of the units that a variant has in the table in force."),
    "rivals_shadow_total": ("counter", "Questions put to a variant in the shadow, by how they ended."),
    "rivals_degraded_total": (
        "counter",
        "Answers flagged as degraded: some members missing, or another variant.",
    ),
    "rivals_feedback_total": ("counter", "Labels and rewards that were acknowledged."),
    "rivals_shed_total": ("counter", "What was not done, for want of room or time."),
    "rivals_build_info": ("gauge", "1, with the version."),
}
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)  # seconds
SIZE = 1 << 20  # bytes of a file, most of which never exist; about 8,000 series
HEAD = 8  # bytes: how much of the file is in use
NOWHERE = SIZE - 8  # a place that is no series'


class Counters:
    """One worker slot's numbers, by series name as Prometheus writes it. Only one thread may add."""

    def __init__(self, folder: Path, slot: int) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{slot}.counters"
        with path.open("a+b") as stream:
            stream.truncate(SIZE)
            self._map = mmap.mmap(stream.fileno(), SIZE)
        self.numbers = memoryview(self._map).cast("d")  # count by ``numbers[place(series)] += 1``
        self._places = {series: place for series, _, place in _series(self._map)}

    def place(self, series: str) -> int:
        """Where a series is counted; one beyond the file's room is counted where nobody looks."""
        if series not in self._places:
            self._places[series] = self._new(series)
        return self._places[series] // 8

    def add(self, series: str, amount: float = 1.0) -> None:
        """Count."""
        self.numbers[self.place(series)] += amount

    def close(self) -> None:
        """Let go of the file."""
        self.numbers.release()
        self._map.close()

    def _new(self, series: str) -> int:
        (used,) = struct.unpack_from("Q", self._map, 0)
        name = series.encode()
        start = used or HEAD
        end = start + 8 + (len(name) + 7) // 8 * 8 + 8
        if end > NOWHERE:
            return NOWHERE
        struct.pack_into(f"Q{len(name)}s", self._map, start, len(name), name)
        struct.pack_into("d", self._map, end - 8, 0.0)
        struct.pack_into("Q", self._map, 0, end)  # last: who dies before this line leaves nothing half written
        return end - 8


class EndpointTally:
    """What one endpoint counts."""

    def __init__(self, counters: Counters, endpoint: str) -> None:
        self._counters, self._label = counters, f'endpoint="{_escaped(endpoint)}"'
        self._known: dict[tuple[str, Outcome], tuple[int, int, int, list[int]]] = {}

    def request(self, variant: str, outcome: Outcome, seconds: float) -> None:
        """A variant was asked for a client."""
        ended, total, count, buckets = self._known.get((variant, outcome)) or self._places(variant, outcome)
        numbers = self._counters.numbers
        numbers[ended] += 1.0
        numbers[total] += seconds
        numbers[count] += 1.0
        numbers[buckets[bisect_left(BUCKETS, seconds)]] += 1.0  # made cumulative when it is read

    def _places(self, variant: str, outcome: Outcome) -> tuple[int, int, int, list[int]]:
        labels, name = f'{self._label},variant="{_escaped(variant)}"', "rivals_request_duration_seconds"
        found = self._known[variant, outcome] = (
            self._counters.place(f'rivals_requests_total{{{labels},outcome="{outcome.value}"}}'),
            self._counters.place(f"{name}_sum{{{labels}}}"),
            self._counters.place(f"{name}_count{{{labels}}}"),
            [self._counters.place(f'{name}_bucket{{{labels},le="{le}"}}') for le in (*BUCKETS, "+Inf")],
        )
        return found

    def shadow(self, outcome: Outcome) -> None:
        """A variant was asked in the shadow, or dropped for want of room."""
        name = "dropped" if outcome is Outcome.SHED else outcome.value
        self._counters.add(f'rivals_shadow_total{{outcome="{name}"}}')

    def degraded(self, variant: str) -> None:
        """An answer left that is flagged as degraded."""
        self._counters.add(f'rivals_degraded_total{{{self._label},variant="{_escaped(variant)}"}}')

    def shed(self, reason: str) -> None:
        """Something was not done, for want of room or time."""
        self._counters.add(f'rivals_shed_total{{reason="{reason}"}}')

    def feedback(self, count: int) -> None:
        """Feedback was acknowledged."""
        self._counters.add("rivals_feedback_total", count)


def exposition(folder: Path, table: RoutingTable | None) -> bytes:
    """The numbers of all workers, in Prometheus' text format."""
    totals = _totals(folder)
    for arm in table.arms if table else ():
        labels = f'endpoint="{_escaped(table.endpoint if table else "")}",variant="{_escaped(arm.variant)}"'
        totals[f"rivals_variant_weight_ratio{{{labels}}}"] = arm.weight
    totals[f'rivals_build_info{{version="{__version__}"}}'] = 1.0
    _cumulate(totals)
    lines = []
    for name, (kind, text) in METRICS.items():
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        lines += [f"{series} {value:.17g}" for series, value in sorted(totals.items()) if _family(series) == name]
    return "\n".join([*lines, ""]).encode()


def answered(folder: Path, endpoint: str) -> dict[str, tuple[int, int, float]]:
    """Over all workers, by variant: answers that were right, those that were not, and the seconds of both."""
    found: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    label = f'endpoint="{_escaped(endpoint)}",variant="'
    for series, value in _totals(folder).items():
        name, _, labels = series.partition("{")
        if not labels.startswith(label):
            continue
        variant = labels.removeprefix(label).partition('"')[0]
        if name == "rivals_requests_total":
            found[variant][0 if f'outcome="{Outcome.OK.value}"' in labels else 1] += value
        elif name == "rivals_request_duration_seconds_sum":
            found[variant][2] += value
    return {name: (int(good), int(bad), seconds) for name, (good, bad, seconds) in found.items()}


def _totals(folder: Path) -> dict[str, float]:
    """Every series over all workers."""
    totals: dict[str, float] = defaultdict(float)
    for path in sorted(folder.glob("*.counters")):
        for series, value, _ in _series(path.read_bytes()):
            totals[series] += value
    return totals


def _cumulate(totals: dict[str, float]) -> None:
    """Make the buckets of each histogram what Prometheus wants: all that took at most so long."""
    ends = [f'le="{le}"}}' for le in (*BUCKETS, "+Inf")]
    stems = {series[: series.index("le=")] for series in totals if "_bucket{" in series}
    for stem in stems:
        running = 0.0
        for end in ends:
            running += totals.get(stem + end, 0.0)
            totals[stem + end] = running


def _family(series: str) -> str:
    name = series.partition("{")[0]
    for ending in ("_bucket", "_sum", "_count"):
        name = name.removesuffix(ending)
    return name


def _series(raw: bytes | mmap.mmap) -> Iterator[tuple[str, float, int]]:
    if len(raw) < SIZE:
        return  # begun this moment
    (used,) = struct.unpack_from("Q", raw, 0)
    place = HEAD
    while place < used:
        (length,) = struct.unpack_from("Q", raw, place)
        value = place + 8 + (length + 7) // 8 * 8
        yield raw[place + 8 : place + 8 + length].decode(), struct.unpack_from("d", raw, value)[0], value
        place = value + 8


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
