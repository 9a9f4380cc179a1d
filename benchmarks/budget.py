"""Where the microseconds of a request go: one row of 18 columns, through everything a worker does but the socket.

A worker's parts are put together as the worker does and fed whole requests, 1 or 64 a turn of the loop. Each part's own
time is that spent in it and not in a part it calls; what the clock costs is taken off. Beside it an echo: the same parser
and the same answer's head around the body that came. Our own share is all but reading, writing and the model.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from serving import build, rows

from rivals.serve import endpoint as heart
from rivals.serve.asks import Asks
from rivals.serve.clock import Clock
from rivals.serve.endpoint import Endpoint
from rivals.serve.http import Connection, Http, HttpRequest, Reply
from rivals.serve.inputs import Inputs
from rivals.serve.journal import FeedbackLog, Journal
from rivals.serve.metrics import Counters, EndpointTally
from rivals.serve.policies.split import Split
from rivals.serve.question import Question
from rivals.serve.reconcile import EndpointConfig, Reconciler, publish_endpoint, publish_lease, publish_table
from rivals.serve.routes import Routes
from rivals.serve.server import spare_collections
from rivals.serve.wires import mlflow_wire, oip
from rivals.serve.wires.typed import Typed
from rivals.statistics.assignment import slots
from rivals.values import Arm, RoutingTable

OWN = ("decode", "route", "queue", "journal", "metrics", "encode")
A_BLOCK = 256  # requests; of each part the least of the blocks counts, for a neighbour on the machine only adds
ASKED = 20.0  # microseconds of our own share
PARTS: list[tuple[Any, str, str]] = [
    (Connection, "data_received", "read"),
    (Routes, "handle", "route"),
    (mlflow_wire, "invocations", "decode"),
    (oip, "infer", "decode"),
    (Typed, "records", "decode"),
    (Typed, "tensors", "decode"),
    (Inputs, "check", "decode"),
    (Split, "choose", "route"),
    (Endpoint, "submit", "queue"),
    (Endpoint, "turn", "queue"),
    (heart, "ask", "model"),
    (Question, "opened", "journal"),
    (Question, "closed", "journal"),
    (Journal, "commit", "journal"),
    (EndpointTally, "request", "metrics"),
    (mlflow_wire, "predictions", "encode"),
    (oip, "answer", "encode"),
    (Reply, "send", "encode"),
    (Connection, "flush", "write"),
]


class Times:
    """Seconds by part, each without those of the parts inside it, and without what the clock costs."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._inside, self._within, self._beside = [0.0], 0.0, 0.0
        many, nothing = 1_000, self.around(lambda: None, "nothing")
        each, within = math.inf, math.inf
        for _ in range(100):
            started = time.perf_counter()
            for _ in range(many):
                nothing()
            each = min(each, (time.perf_counter() - started) / many)
            within = min(within, self.spent.pop("nothing") / many)
        self._within, self._beside = within, each - within  # counted as the part's, and as its caller's

    def around(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        def timed(*args: Any, **more: Any) -> Any:
            self._inside.append(0.0)
            started = time.perf_counter()
            try:
                return function(*args, **more)
            finally:
                whole = time.perf_counter() - started
                self.spent[part] += whole - self._inside.pop() - self._within
                self._inside[-1] += whole + self._beside

        return timed


class Sink:
    """A transport that has sent everything."""

    def __init__(self) -> None:
        self.answers = 0

    def write(self, raw: bytes) -> None:
        assert raw.startswith(b"HTTP/1.1 200 "), raw
        self.answers += 1


def requests(wire: str) -> list[bytes]:
    some, made = rows(512, seed=1), []
    for number in range(len(some)):
        row = some.iloc[[number]]
        if wire == "oip":
            kinds = {name: "FP64" if name.startswith("n") else "BYTES" for name in row.columns}
            inputs = [
                {"name": name, "shape": [1], "datatype": kinds[name], "data": row[name].tolist()}
                for name in row.columns
            ]
            path, body = "/v2/models/bench/infer", msgspec.json.encode({"inputs": inputs})
        else:
            path, body = "/invocations", msgspec.json.encode({"dataframe_records": row.to_dict("records")})
        head = (
            f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


async def worker(folder: Path, soon: Callable[[Callable[[], Any]], Any]) -> Routes:
    """Everything a worker holds but its HTTP; ``soon`` is what the loop would be told."""
    run_dir, bundles = folder / "run", folder / "bundles"
    for one in (run_dir, bundles):
        one.mkdir()
    arms = (Arm("one", build(bundles, 15), 0.5), Arm("other", build(bundles, 31), 0.5))
    config = EndpointConfig("bench", "binary")
    publish_endpoint(run_dir, config)
    publish_lease(run_dir, 3_600.0)
    publish_table(run_dir, RoutingTable("bench", 1, "one", arms[:1], "salt", slots([1.0])))
    reconciler = Reconciler(run_dir, bundles, config)
    serving = await reconciler.look()
    assert serving
    tally = EndpointTally(Counters(run_dir / "metrics", 0), "bench")
    endpoint = Endpoint(serving, Journal(run_dir, 0, "bench"), tally, soon, soon, lambda *_: None, Random(0))  # type: ignore[arg-type, return-value]
    asks = Asks(endpoint, Clock(replay=False))
    feedback = FeedbackLog(run_dir, 0)
    return Routes(config, endpoint, reconciler, tally, feedback, asks=asks, counters=run_dir / "metrics", post=soon)


def connections(http: Http, many: int) -> list[Connection]:
    http.sweep()
    made = [http() for _ in range(many)]
    for one in made:
        one.connection_made(Sink())  # type: ignore[arg-type]
    return made


def feed(made: list[Connection], todo: list[Callable[[], Any]], raw: list[bytes], turns: int) -> float:
    """Seconds of a request."""
    place, started = 0, time.perf_counter()
    for _ in range(turns):
        for one in made:
            one.data_received(raw[place % len(raw)])
            place += 1
        while todo:
            todo.pop(0)()
    return (time.perf_counter() - started) / place


def best(made: list[Connection], todo: list[Callable[[], Any]], raw: list[bytes], blocks: int) -> float:
    return min(feed(made, todo, raw, A_BLOCK // len(made)) for _ in range(blocks)) * 1e6


def echo(http: HttpRequest, reply: Reply) -> None:
    reply.send(200, http.body)


async def measure(folder: Path, wire: str, blocks: int) -> int:
    raw, missed = requests(wire), 0
    todo: list[Callable[[], Any]] = []
    routes = await worker(folder, todo.append)
    spare_collections()  # as a worker does
    http = Http(lambda http, reply: routes.handle(http, reply), 1 << 20, 100)  # noqa: PLW0108 -- timed later
    for a_turn in (1, 64):
        made = connections(http, a_turn)
        feed(made, todo, raw, 2_048 // a_turn)
        whole, empty = (
            best(made, todo, raw, blocks),
            best(connections(Http(echo, 1 << 20, 100), a_turn), [], raw, blocks),
        )
        times, kept = Times(), [(place, name, getattr(place, name)) for place, name, _ in PARTS]
        for place, name, part in PARTS:
            setattr(place, name, times.around(getattr(place, name), part))
        shares: dict[str, float] = {}
        for _ in range(blocks):
            times.spent.clear()
            feed(made, todo, raw, A_BLOCK // a_turn)
            for part, seconds in times.spent.items():
                shares[part] = min(shares.get(part, math.inf), seconds / A_BLOCK * 1e6)
        for place, name, before in kept:
            setattr(place, name, before)
        own = sum(shares.get(part, 0.0) for part in OWN)
        missed += own > ASKED
        print(
            f"{wire}, {a_turn:>2} a turn: {whole:6.1f} us a request; an echo {empty:5.1f}; our own share {own:5.1f} (asked: {ASKED:g})"
        )
        print(
            "   "
            + ", ".join(
                f"{part} {shares.get(part, 0.0):.1f}" for part in ("read", *OWN[:3], "model", *OWN[3:], "write")
            )
        )
    return missed


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--blocks", type=int, default=200)
    blocks, missed = options.parse_args().blocks, 0
    for wire in ("records", "oip"):
        with tempfile.TemporaryDirectory() as name:
            missed += asyncio.run(measure(Path(name), wire, blocks))
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
