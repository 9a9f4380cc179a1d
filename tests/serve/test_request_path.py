"""What of ours runs between reading a request and writing its answer, counted by trace."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import defaultdict
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import rivals
from rivals.serve.asks import Asks
from rivals.serve.clock import Clock
from rivals.serve.endpoint import Endpoint
from rivals.serve.http import Http
from rivals.serve.journal import FeedbackLog, Journal
from rivals.serve.metrics import Counters, EndpointTally
from rivals.serve.reconcile import EndpointConfig, Reconciler, publish_lease, publish_table
from rivals.serve.routes import Routes

from .stage import ROW, bundle, infer, table

MOST = 900
HOME = str(Path(rivals.__file__).parent)


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return False


def no_timer(_seconds: float, _function: Any) -> Any:
    raise AssertionError("nobody is away")


def test_the_request_path_is_short(tmp_path: Path) -> None:
    """Both wires, a split with a paired shadow, the journal and the counters; what loads and swaps is beside it."""
    weak, strong = bundle(tmp_path / "bundles", 0.0), bundle(tmp_path / "bundles", 1.0)
    publish_table(tmp_path, table({"weak": (weak, 0.5), "strong": (strong, 0.5)}, shadows={"strong": strong}))
    publish_lease(tmp_path, 60.0)
    config = EndpointConfig("toy", "binary")
    reconciler = Reconciler(tmp_path, tmp_path / "bundles", config)
    serving = asyncio.run(reconciler.look())
    assert serving
    todo: list[Any] = []
    journal, feedback = Journal(tmp_path, 0, "toy"), FeedbackLog(tmp_path, 0)
    tally = EndpointTally(Counters(tmp_path / "metrics", 0), "toy")
    endpoint = Endpoint(serving, journal, tally, todo.append, todo.append, no_timer, Random(0))
    endpoint.lease_until = reconciler.lease_until
    beside = {"asks": Asks(endpoint, Clock(replay=False)), "counters": tmp_path / "metrics", "post": todo.append}
    http = Http(Routes(config, endpoint, reconciler, tally, feedback, **beside).handle, 1 << 20)
    connection, wire = http(), Wire()
    connection.connection_made(wire)  # type: ignore[arg-type]

    def send(path: str, body: object) -> None:
        raw = json.dumps(body).encode()
        connection.data_received(b"POST %b HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (path.encode(), len(raw), raw))
        while todo or not endpoint.idle:
            if todo:
                todo.pop(0)()
            else:
                time.sleep(0.001)

    lines: dict[str, set[int]] = defaultdict(set)

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        file = frame.f_code.co_filename
        if not file.startswith(HOME):
            return None
        if event == "line":
            lines[file].add(frame.f_lineno)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for _ in range(20):
            send("/v2/models/toy/infer", infer(ROW, ROW))
            send("/invocations", {"dataframe_records": [dict(ROW)]})
    finally:
        sys.settrace(before)
        endpoint.close()
        feedback.close()
        journal.close()
    assert len([one for one in wire.written if one.startswith(b"HTTP/1.1 200 OK")]) == 40
    files = {Path(file).name for file in lines}
    assert {"http.py", "routes.py", "oip.py", "endpoint.py", "split.py", "journal.py", "native.py"} <= files
    run = sum(map(len, lines.values()))
    by_file = sorted(((len(some), Path(file).name) for file, some in lines.items()), reverse=True)
    print(f"{run} lines:", ", ".join(f"{name} {many}" for many, name in by_file))  # docs/speed.md; pytest -s shows it
    assert 100 < run < MOST, by_file
