"""Counters that survive a worker and add up over all of them.

Each worker slot keeps its numbers in a small file that is mapped into memory: a number that was counted is in the
kernel at once, a worker that comes back counts on, and whoever is asked adds up the files of all (``exposition``).
"""

from __future__ import annotations

import mmap
import struct
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import msgspec

from rivals.metrics import METRICS, series
from rivals.values import Outcome

BUCKETS = METRICS["rivals_request_duration_seconds"].bounds
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
        self._places = {name: place for name, _, place in _series(self._map)}

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


class Exemplar(msgspec.Struct, array_like=True, frozen=True):
    """An answer that fell into a bucket: who it was (a request's id, or its traceparent), how long it took, when."""

    about: str
    seconds: float
    time: float = 0.0


SHED = ("busy", "deadline", "policy", "shadow")  # why something was not done


class EndpointTally:
    """What one endpoint counts."""

    def __init__(self, counters: Counters, endpoint: str) -> None:
        self._counters, self._endpoint = counters, endpoint
        for reason in SHED:  # from 0 on: a counter that begins at more is a rate of nothing to Prometheus
            counters.place(series("rivals_shed_total", endpoint=endpoint, reason=reason))
        self._known: dict[tuple[str, Outcome], tuple[int, int, int, list[int], list[tuple[str, float] | None]]] = {}

    def request(self, variant: str, outcome: Outcome, seconds: float, about: str = "") -> None:
        """A variant was asked for a client; ``about`` names the request."""
        ended, total, count, buckets, last = self._known.get((variant, outcome)) or self._places(variant, outcome)
        numbers = self._counters.numbers
        numbers[ended] += 1.0
        numbers[total] += seconds
        numbers[count] += 1.0
        bucket = bisect_left(BUCKETS, seconds)
        numbers[buckets[bucket]] += 1.0  # made cumulative when it is read
        last[bucket] = about, seconds

    def _places(
        self, variant: str, outcome: Outcome
    ) -> tuple[int, int, int, list[int], list[tuple[str, float] | None]]:
        labels, place = {"endpoint": self._endpoint, "variant": variant}, self._counters.place
        name = "rivals_request_duration_seconds"
        found = self._known[variant, outcome] = (
            place(series("rivals_requests_total", **labels, outcome=outcome.value)),
            place(series(f"{name}_sum", **labels)),
            place(series(f"{name}_count", **labels)),
            [place(series(f"{name}_bucket", **labels, le=str(le))) for le in (*BUCKETS, "+Inf")],
            [None] * (len(BUCKETS) + 1),
        )
        return found

    def exemplars(self) -> dict[str, Exemplar]:
        """The last answer of each bucket since this was asked before, by series."""
        now, found, name = time.time(), dict[str, Exemplar](), "rivals_request_duration_seconds_bucket"
        for (variant, _), (*_, last) in self._known.items():
            for bucket, le in enumerate((*BUCKETS, "+Inf")):
                if one := last[bucket]:
                    last[bucket] = None
                    found[series(name, endpoint=self._endpoint, variant=variant, le=str(le))] = Exemplar(*one, now)
        return found

    def shadow(self, variant: str, outcome: Outcome) -> None:
        """A variant was asked in the shadow, or dropped for want of room."""
        name = "dropped" if outcome is Outcome.SHED else outcome.value
        self._counters.add(series("rivals_shadow_total", endpoint=self._endpoint, variant=variant, outcome=name))

    def shed(self, reason: str) -> None:
        """Something was not done, for want of room or time."""
        self._counters.add(series("rivals_shed_total", endpoint=self._endpoint, reason=reason))

    def degraded(self, variant: str, reason: str) -> None:
        """The champion stands in for a variant, members of it are missing, or its answer was not written down."""
        self._counters.add(series("rivals_degraded_total", endpoint=self._endpoint, variant=variant, reason=reason))

    def feedback(self, count: int) -> None:
        """Feedback was acknowledged."""
        self._counters.add(series("rivals_feedback_total", endpoint=self._endpoint), count)


def totals(folder: Path) -> dict[str, float]:
    """Every series over all workers; buckets apart, each with what fell between its bound and the one below."""
    found: dict[str, float] = defaultdict(float)
    for path in sorted(folder.glob("*.counters")):
        for name, value, _ in _series(_used(path)):
            found[name] += value
    return found


def answered(folder: Path, endpoint: str) -> dict[str, tuple[int, int, float]]:
    """Over all workers, by variant: answers that were right, those that were not, and the seconds of both."""
    found: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    label = series("rivals_requests_total", endpoint=endpoint).partition("{")[2].removesuffix("}") + ',variant="'
    for one, value in totals(folder).items():
        name, _, labels = one.partition("{")
        if not labels.startswith(label):
            continue
        variant = labels.removeprefix(label).partition('"')[0]
        if name == "rivals_requests_total":
            found[variant][0 if f'outcome="{Outcome.OK.value}"' in labels else 1] += value
        elif name == "rivals_request_duration_seconds_sum":
            found[variant][2] += value
    return {name: (int(good), int(bad), seconds) for name, (good, bad, seconds) in found.items()}


def _used(path: Path) -> bytes:
    """What of a file is in use; reading costs what was counted, not what there is room for."""
    with path.open("rb") as stream:
        head = stream.read(HEAD)
        if len(head) < HEAD:
            return b""  # begun this moment
        (used,) = struct.unpack("Q", head)
        return head + stream.read(max(0, used - HEAD))


def _series(raw: bytes | mmap.mmap) -> Iterator[tuple[str, float, int]]:
    if len(raw) < HEAD:
        return
    (used,) = struct.unpack_from("Q", raw, 0)
    place = HEAD
    while place < used:
        (length,) = struct.unpack_from("Q", raw, place)
        value = place + 8 + (length + 7) // 8 * 8
        yield raw[place + 8 : place + 8 + length].decode(), struct.unpack_from("d", raw, value)[0], value
        place = value + 8
