"""The client against endpoints that misbehave: what is tried again, how often, for how long, and what is told."""

from __future__ import annotations

import asyncio
import http.server
import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import rivals
from rivals.client import EARNED, RESERVE, TOKEN, columns_of
from rivals.errors import Overloaded, RequestError, RivalsError

ROWS = {"a": [0.5, None], "color": ["red", "green"]}
GOOD = {"id": "", "model_version": "boosted", "outputs": [{"shape": [2, 2], "data": [0.25, 0.75, 0.5, 0.5]}]}
Answer = tuple[int, dict[str, str], bytes]


class Stub:
    """An endpoint on loopback that answers what ``script`` says, and remembers what it was asked."""

    def __init__(self, script: Callable[[int], Answer | None]) -> None:
        self.asked: list[tuple[dict[str, str], bytes]] = []
        stub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:  # the handler's own naming
                body = self.rfile.read(int(self.headers["Content-Length"]))
                stub.asked.append(({name.lower(): value for name, value in self.headers.items()}, body))
                answer = script(len(stub.asked))
                if answer is None:  # the connection drops
                    self.close_connection = True
                    return
                status, headers, raw = answer
                self.send_response(status)
                for name, value in {"Content-Length": str(len(raw)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def serve() -> Iterator[Callable[..., Stub]]:
    running: list[Stub] = []

    def start(script: Callable[[int], Answer | None]) -> Stub:
        running.append(Stub(script))
        return running[-1]

    yield start
    for one in running:
        one.server.shutdown()
        one.server.server_close()


def good(**headers: str) -> Answer:
    return 200, {"X-Rivals-Revision": "3", **headers}, json.dumps(GOOD).encode()


def refused(status: int, sentence: str, **headers: str) -> Answer:
    return status, headers, json.dumps({"error": sentence}).encode()


def test_an_answer_tells_who_gave_it(serve: Callable[..., Stub]) -> None:
    stub = serve(lambda _: good(**{"X-Rivals-Degraded": "true", TOKEN: "9.mac"}))
    with rivals.Client(stub.url, "toy", token="secret") as client:
        got = client.predict(ROWS, unit="u", variant="boosted", id="mine")
        client_feedback = [{"id": "mine/1", "label": 1, "token": "9.mac"}]
        assert (got.variant, got.revision, got.degraded) == ("boosted", 3, True)
        assert got.outputs == [[0.25, 0.75], [0.5, 0.5]]
        told = [client._told(got, 1, {"label": 1, "reward": None})]
        assert [{**one, "id": "mine/1"} for one in told] == client_feedback
    headers, body = stub.asked[0]
    assert headers["authorization"] == "Bearer secret"
    assert (headers["x-request-id"], headers["x-rivals-unit"], headers["x-rivals-variant"]) == ("mine", "u", "boosted")
    assert 0 < float(headers["x-rivals-deadline-ms"]) <= 5_000
    assert [(one["datatype"], one["data"]) for one in json.loads(body)["inputs"]] == [
        ("FP64", [0.5, None]),
        ("BYTES", ["red", "green"]),
    ]


def test_not_now_is_tried_again_as_the_same_request(serve: Callable[..., Stub]) -> None:
    stub = serve(lambda number: good() if number == 3 else None if number == 2 else refused(503, "busy"))
    with rivals.Client(stub.url, "toy") as client:
        assert client.predict(ROWS).variant == "boosted"
    assert len({headers["x-request-id"] for headers, _ in stub.asked}) == 1
    assert len(stub.asked) == 3


def test_the_async_client_does_the_same(serve: Callable[..., Stub]) -> None:
    stub = serve(lambda number: good() if number == 2 else refused(429, "busy"))

    async def run() -> str:
        async with rivals.AsyncClient(stub.url, "toy") as client:
            return (await client.predict(ROWS)).variant

    assert asyncio.run(run()) == "boosted"


@pytest.mark.parametrize("status", [400, 404, 413, 415, 422, 500, 504])
def test_a_mistake_is_told_at_once_in_the_endpoints_words(serve: Callable[..., Stub], status: int) -> None:
    stub = serve(lambda _: refused(status, "Column 'a' is missing."))
    with rivals.Client(stub.url, "toy") as client, pytest.raises(RequestError, match="Column 'a' is missing") as got:
        client.predict(ROWS)
    assert (got.value.status, len(stub.asked)) == (status, 1)


def test_a_server_that_stays_busy_is_left_alone_as_long_as_it_asks(serve: Callable[..., Stub]) -> None:
    stub = serve(lambda _: refused(503, "busy", **{"Retry-After": "60"}))
    with rivals.Client(stub.url, "toy", retries=5) as client, pytest.raises(Overloaded, match="busy") as got:
        client.predict(ROWS)
    assert (got.value.retry_after, len(stub.asked)) == (60, 1)


def test_an_outage_is_never_multiplied(serve: Callable[..., Stub], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rivals.client.FIRST", 0.0)
    stub = serve(lambda _: refused(503, "busy"))
    calls = 300
    with rivals.Client(stub.url, "toy", retries=3) as client:
        for _ in range(calls):
            with pytest.raises(Overloaded):
                client.predict(ROWS)
    assert calls <= len(stub.asked) <= calls + RESERVE + EARNED * calls


def test_a_deadline_ends_the_wait(serve: Callable[..., Stub]) -> None:
    stub = serve(lambda _: time.sleep(30))
    started = time.monotonic()
    with (
        rivals.Client(stub.url, "toy", deadline=0.3) as client,
        pytest.raises(RequestError, match=r"no answer within 0\.3 s"),
    ):
        client.predict(ROWS)
    assert time.monotonic() - started < 10  # seconds, where 30 were ahead


def test_nobody_there_is_a_sentence(serve: Callable[..., Stub]) -> None:
    stub = serve(lambda _: good())
    stub.server.server_close()
    with (
        rivals.Client(stub.url, "toy", retries=0) as client,
        pytest.raises(RivalsError, match="cannot be reached"),
    ):
        client.predict(ROWS)
    with rivals.Client(stub.url, "toy", retries=0) as client:
        assert not client.ready()


def test_rows_of_any_kind_are_the_same_columns() -> None:
    wanted = {"n": [1.5, None], "t": ["a", None], "i": [3, 4]}
    frame = pd.DataFrame({"n": np.array([1.5, math.nan], np.float32), "t": ["a", None], "i": [3, 4]})
    assert columns_of(frame) == wanted
    assert columns_of(pl.DataFrame({"n": [1.5, None], "t": ["a", None], "i": [3, 4]})) == wanted
    assert columns_of([{"n": 1.5, "t": "a", "i": np.int64(3)}, {"i": 4}]) == wanted
    assert columns_of({"n": np.array([1.5, math.nan]), "t": ("a", pd.NA), "i": [3, 4]}) == wanted


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([], "with a row at least"),
        ("rows", "Rows are"),
        ({}, "with a row at least"),
        ({"a": [math.inf]}, "infinite"),
        ({"a": [object()]}, "holds a object"),
    ],
)
def test_rows_that_cannot_be_sent_are_refused_before_they_are(rows: Any, sentence: str) -> None:
    with pytest.raises(RivalsError, match=sentence):
        columns_of(rows)


def test_feedback_that_says_nothing_and_a_wrong_url_are_refused() -> None:
    with rivals.Client("http://127.0.0.1:9", "toy") as client, pytest.raises(RivalsError, match="needs a label"):
        client.feedback("r")
    with pytest.raises(RivalsError, match="takes a URL"):
        rivals.Client("127.0.0.1:8080", "toy")
