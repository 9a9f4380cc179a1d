"""HTTP on a real socket: order, limits, time-outs, and everything that is not quite HTTP."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from rivals.errors import Overloaded, RequestError
from rivals.serve import http
from rivals.serve.http import Http, HttpRequest, Reply

POST = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b"
GET = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"

Story = Callable[["Client"], Awaitable[None]]


class Client:
    """Connections to a server that echoes; /later waits for ``release``, /broken breaks."""

    def __init__(self) -> None:
        self.waiting: list[Reply] = []
        self.seen: list[HttpRequest] = []
        self.http = Http(self._handle, max_body=1_000, max_connections=50)

    def _handle(self, request: HttpRequest, reply: Reply) -> None:
        self.seen.append(request)
        match request.path:
            case "/echo":
                reply.send(200, request.body)
            case "/later":
                self.waiting.append(reply)
            case "/broken":
                raise KeyError("secret")
            case "/busy":
                raise Overloaded("Not now.", retry_after=7)
            case _:
                raise RequestError("Nothing here.", 404)

    def release(self) -> None:
        for number, reply in reversed(list(enumerate(self.waiting))):  # the last one first
            reply.send(200, b"%d" % number)
        self.waiting.clear()

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def talk(self, *parts: bytes, half_close: bool = True) -> bytes:
        """Send these, one after another, and read to the end."""
        reader, writer = await self.open()
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.005 if len(parts) > 1 else 0)
        if half_close:
            writer.write_eof()
        received = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        return received


def run(story: Story) -> Client:
    """Tell a story against a server on loopback."""
    client = Client()

    async def main() -> None:
        client.http.sweep()
        server = await asyncio.get_running_loop().create_server(client.http, "127.0.0.1", 0)
        client.port = server.sockets[0].getsockname()[1]
        await story(client)
        server.close()

    uvloop.run(main())
    return client


def statuses(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1.1 (\d+) ", received)]


def bodies(received: bytes) -> list[bytes]:
    return [part.partition(b"\r\n\r\n")[2] for part in received.split(b"HTTP/1.1 ")[1:]]


def test_pipelined_requests_are_answered_in_order_whenever_they_are_ready() -> None:
    async def story(client: Client) -> None:
        reader, writer = await client.open()
        writer.write(GET % b"/later" + POST % (5, b"first") + GET % b"/later" + POST % (6, b"second"))
        while len(client.waiting) < 2:
            await asyncio.sleep(0)
        client.release()
        writer.write_eof()
        received = await reader.read()
        assert bodies(received) == [b"0", b"first", b"1", b"second"]
        writer.close()

    run(story)


def test_a_request_may_come_byte_by_byte() -> None:
    async def story(client: Client) -> None:
        whole = POST % (5, b"hello")
        assert bodies(await client.talk(*(whole[i : i + 1] for i in range(len(whole))))) == [b"hello"]

    run(story)


def test_chunked_bodies_are_read_and_their_trailers_left_aside() -> None:
    async def story(client: Client) -> None:
        head = b"POST /echo HTTP/1.1\r\nHost: a\r\nAuthorization: mine\r\nTransfer-Encoding: chunked\r\n\r\n"
        received = await client.talk(head + b"3\r\nabc\r\n2\r\nde\r\n0\r\nAuthorization: forged\r\n\r\n")
        assert bodies(received) == [b"abcde"]

    assert run(story).seen[0].headers[b"authorization"] == b"mine"


def test_expect_100_continue_is_answered_before_the_body_comes() -> None:
    async def story(client: Client) -> None:
        reader, writer = await client.open()
        writer.write(b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ok")
        writer.write_eof()
        assert (await reader.read()).endswith(b"\r\n\r\nok")
        writer.close()

    run(story)


def test_keep_alive_is_what_the_client_asks_for() -> None:
    async def story(client: Client) -> None:
        stays = b"GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
        assert statuses(await client.talk(stays + stays)) == [200, 200]
        assert b"Connection: keep-alive" in await client.talk(stays)
        goes = b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        assert b"Connection: close" in await client.talk(goes, half_close=False)
        assert statuses(await client.talk(b"GET /echo HTTP/1.0\r\n\r\n", half_close=False)) == [200]

    run(story)


def test_head_gets_the_headers_of_get_and_no_body() -> None:
    async def story(client: Client) -> None:
        received = await client.talk(b"HEAD /nothing HTTP/1.1\r\nHost: a\r\n\r\n" + GET % b"/nothing")
        head, _, rest = received.partition(b"\r\n\r\n")
        assert b"Content-Length: 25" in head
        assert rest.startswith(b"HTTP/1.1 404")

    run(story)


def test_a_query_is_no_part_of_the_path() -> None:
    assert run(lambda client: client.talk(GET % b"/echo?token=x#y")).seen[0].path == "/echo"


def test_errors_are_sentences_and_leak_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def story(client: Client) -> None:
        received = await client.talk(GET % b"/broken" + GET % b"/busy" + GET % b"/nowhere")
        assert statuses(received) == [500, 503, 404]
        assert b"secret" not in received
        assert b"Retry-After: 7\r\n" in received
        assert all(isinstance(json.loads(body)["error"], str) for body in bodies(received))

    run(story)
    assert "http.failed path=/broken" in caplog.text


SMUGGLED = [
    b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc",
    b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\nabc",
    b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc",
    b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc",
    b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /echo HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc",
    b"GET /echo HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n",
    b"GET /echo HTTP/1.1\r\nHost: a\r\nA: b\x00c\r\n\r\n",
    b"GET /ec ho HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /echo HTTP/3.1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"hello there\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc",
    b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
]


@pytest.mark.parametrize("raw", SMUGGLED)
def test_what_is_not_quite_http_is_a_400_and_ends_the_connection(raw: bytes) -> None:
    async def story(client: Client) -> None:
        received = await client.talk(raw + GET % b"/echo")
        assert statuses(received) == [400]
        assert b"Connection: close" in received

    assert run(story).seen == []


def test_what_came_before_is_answered_before_the_refusal() -> None:
    async def story(client: Client) -> None:
        assert statuses(await client.talk(POST % (2, b"ok") + b"nonsense\r\n\r\n")) == [200, 400]

    run(story)


@pytest.mark.parametrize(
    "raw",
    [
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1_001,
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 20_000,
    ],
)
def test_a_body_that_is_too_large_is_a_413(raw: bytes) -> None:
    async def story(client: Client) -> None:
        assert statuses(await client.talk(raw)) == [413]

    assert run(story).seen == []


def test_a_client_that_is_still_sending_can_read_why_it_was_refused() -> None:
    async def story(client: Client) -> None:
        reader, writer = await client.open()
        writer.write(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n")
        for _ in range(50):
            writer.write(b"x" * 100_000)
            await writer.drain()
        assert statuses(await reader.read()) == [413]
        writer.close()

    run(story)


@pytest.mark.parametrize("raw", [b"GET /" + b"x" * 70_000, b"GET / HTTP/1.1\r\nA: " + b"x" * 70_000])
def test_headers_that_are_too_long_are_refused(raw: bytes) -> None:
    async def story(client: Client) -> None:
        parts = [raw[i : i + 20_000] for i in range(0, len(raw), 20_000)]
        assert statuses(await client.talk(*parts)) == [431]

    run(story)


def test_many_small_headers_in_one_piece_are_too_long_too() -> None:
    async def story(client: Client) -> None:
        many = b"".join(b"X-%d: a\r\n" % number for number in range(12_000))
        assert statuses(await client.talk(b"GET / HTTP/1.1\r\nHost: a\r\n" + many + b"\r\n")) == [431]

    run(story)


def impatient(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    for name, value in seconds.items():
        monkeypatch.setattr(http, name, value)


async def swept(client: Client, reader: asyncio.StreamReader) -> bytes:
    """What a client reads to the end while the connections are swept."""
    read = asyncio.ensure_future(reader.read())
    while not read.done():
        client.http.sweep()
        await asyncio.sleep(0.005)
    return read.result()


def test_a_request_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch, HEAD_SECONDS=0.05, BODY_SECONDS=0.05)

    async def story(client: Client) -> None:
        for begun in (b"GET / HTTP/1.1\r\nA: ", b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx"):
            reader, writer = await client.open()
            writer.write(begun)
            assert statuses(await swept(client, reader)) == [408]
            writer.close()

    run(story)


def test_who_says_nothing_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch, HEAD_SECONDS=0.05, IDLE_SECONDS=0.05)

    async def story(client: Client) -> None:
        reader, writer = await client.open()
        assert await swept(client, reader) == b""
        writer.close()
        reader, writer = await client.open()
        writer.write(GET % b"/echo")
        assert statuses(await swept(client, reader)) == [200]
        writer.close()

    run(story)


def test_an_answer_that_takes_long_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch, IDLE_SECONDS=0.02)

    async def story(client: Client) -> None:
        reader, writer = await client.open()
        writer.write(GET % b"/later")
        read = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
        for _ in range(20):
            await asyncio.sleep(0.005)
            client.http.sweep()
        client.release()
        assert statuses(await read) == [200]
        writer.close()

    run(story)


def test_a_client_that_does_not_read_is_not_read_from_and_then_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch, BODY_SECONDS=0.3)

    async def story(client: Client) -> None:
        with socket.create_connection(("127.0.0.1", client.port)) as stubborn:
            stubborn.setblocking(False)
            sent = refused = 0
            while sent < 200_000_000 and refused < 50:
                try:
                    sent += stubborn.send((POST % (900, b"x" * 900)) * 200)
                    refused = 0
                except BlockingIOError:
                    refused += 1
                await asyncio.sleep(0.001)
            assert sent < 200_000_000
            while client.http.connections:
                client.http.sweep()
                await asyncio.sleep(0.01)

    run(story)


def test_more_connections_than_there_is_room_for_are_told_so() -> None:
    async def story(client: Client) -> None:
        held = [await client.open() for _ in range(50)]
        received = await client.talk(half_close=False)
        assert statuses(received) == [503]
        for _, writer in held:
            writer.close()

    run(story)


def test_draining_ends_what_is_idle_and_lets_the_rest_be_answered() -> None:
    async def story(client: Client) -> None:
        (idle, idle_writer), (busy, busy_writer) = await client.open(), await client.open()
        busy_writer.write(GET % b"/later")
        while not client.waiting:
            await asyncio.sleep(0)
        client.http.drain()
        assert await idle.read() == b""
        client.release()
        received = await busy.read()
        assert statuses(received) == [200]
        assert b"Connection: close" in received
        for writer in (idle_writer, busy_writer):
            writer.close()

    run(story)


def test_a_client_that_leaves_early_hurts_nobody() -> None:
    async def story(client: Client) -> None:
        _, writer = await client.open()
        writer.write(GET % b"/later")
        while not client.waiting:
            await asyncio.sleep(0)
        writer.transport.abort()
        await asyncio.sleep(0.01)
        client.release()
        while client.http.connections:
            await asyncio.sleep(0.001)
        assert statuses(await client.talk(GET % b"/echo")) == [200]

    run(story)


def test_every_answer_is_dated() -> None:
    async def story(client: Client) -> None:
        assert re.search(
            rb"\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n", await client.talk(GET % b"/echo")
        )

    run(story)
