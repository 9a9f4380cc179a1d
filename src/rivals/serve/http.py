"""HTTP/1.1 on a socket: bytes in, bytes out, answers in the order of their requests.

The parser is llhttp (through httptools), which refuses what smugglers live on; the limits and time-outs are ours. What
a request means is for ``handle`` to say: it gets a ``HttpRequest`` and a ``Reply`` to send, now or later.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import httptools
import msgspec

from rivals.errors import Overloaded, RequestError

log = logging.getLogger("rivals.http")

HEAD_BYTES = 64 << 10  # request line and headers
HEAD_SECONDS = 10.0  # from the first byte of a request to the end of its headers
BODY_SECONDS = 60.0  # from there to the end of its body; and how long a client may leave its answers unread
IDLE_SECONDS = 75.0  # between two requests
LINGER_SECONDS = 5.0  # a refused client may go on sending so long, for else it would not read why
LEAVE_SECONDS = 0.5  # that a connection without a request has when the server ends
AHEAD = 64  # requests of one connection under way; the rest waits in the socket
JSON = b"application/json"

REASONS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


class HttpRequest(msgspec.Struct, frozen=True, gc=False):
    """A whole request. Header names are lower case; ``path`` is without its query; ``arrived`` is monotonic."""

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    body: bytes
    arrived: float


class Reply(msgspec.Struct, eq=False):
    """The place of one answer in its connection's order; ``send`` is called once."""

    connection: Connection
    headless: bool = False  # HEAD: the headers of the answer, without its body
    last: bool = False  # the connection ends with it
    old: bool = False  # HTTP/1.0, which is told that it may go on
    raw: bytes = b""
    about: HttpRequest | None = None  # for the access log, where there is one
    more: bytes = b""  # further headers, as whole lines

    def send(self, status: int, body: bytes, kind: bytes = JSON, headers: bytes = b"") -> None:
        """Answer; ``headers`` are whole lines."""
        connection = b"Connection: close\r\n" if self.last else b"Connection: keep-alive\r\n" if self.old else b""
        http = self.connection.http
        if self.more:
            headers += self.more
        if http.access is not None:
            http.access(self.about, status, len(body))
        told = REASONS[status], kind, len(body), headers, connection, http.date
        head = b"%bContent-Type: %b\r\nContent-Length: %d\r\n%b%b%b\r\n" % told
        self.raw = head if self.headless else head + body
        self.connection.flush()

    def refuse(self, error: RequestError, headers: bytes = b"") -> None:
        """Answer with the error's status and its sentence."""
        if isinstance(error, Overloaded):
            headers += b"Retry-After: %d\r\n" % error.retry_after
        self.send(error.status, msgspec.json.encode({"error": str(error)}), headers=headers)


Access = Callable[[HttpRequest | None, int, int], None]  # what was asked, the status, and bytes of the answer
Handle = Callable[[HttpRequest, Reply], None]


@dataclass(slots=True, eq=False)
class Http:
    """All connections of one listening socket; call it to make one more. ``sweep`` is called about every second."""

    handle: Handle
    max_body: int
    max_connections: int = 10_000
    connections: set[Connection] = field(default_factory=set)
    draining: bool = False
    date: bytes = b""
    access: Access | None = None

    def __call__(self) -> Connection:
        """A protocol for a new connection."""
        return Connection(self)

    def sweep(self) -> None:
        """End what overran its time."""
        self.date = f"Date: {formatdate(usegmt=True)}\r\n".encode()
        now = time.monotonic()
        for connection in [one for one in self.connections if one.deadline < now]:
            connection.give_up()

    def drain(self) -> None:
        """Let every connection end with what it has under way."""
        self.draining = True
        for connection in list(self.connections):
            connection.drain()


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, http: Http) -> None:
        self.http = http
        self._now = time.monotonic()  # when the last bytes came
        self.deadline = self._now + HEAD_SECONDS
        self._transport: Any = None
        self._parser = httptools.HttpRequestParser(self)
        self._replies: deque[Reply] = deque()
        self._refused = self._paused = self._stuck = self._ended = False
        self._raw = 0  # bytes of the message that is being read
        self._begin()

    # -- from the transport ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = transport
        self.http.connections.add(self)
        if len(self.http.connections) > self.http.max_connections:
            self._refuse(Overloaded("This worker has too many connections; try again."))

    def data_received(self, data: bytes) -> None:
        """Some bytes of it: perhaps half a request, perhaps ten."""
        if self._refused:
            return
        self._raw += len(data)
        self._now = time.monotonic()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(RequestError("This speaks HTTP/1.1 and nothing else."))
        except httptools.HttpParserError as error:
            self._refuse(error.__context__ if isinstance(error.__context__, RequestError) else _unreadable(error))
        else:
            if self._heading and self._raw > HEAD_BYTES:
                self._refuse(RequestError("The headers are too long.", 431))
            elif self._raw > HEAD_BYTES + 2 * self.http.max_body:
                self._refuse(self._too_large())

    def eof_received(self) -> bool:
        """It will send nothing more; it may still read."""
        self._ended = True
        return bool(self._replies)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's signature
        """It is gone."""
        self.http.connections.discard(self)
        self._refused = True
        self._replies.clear()

    def pause_writing(self) -> None:
        """It does not read its answers: take no more of its requests, and not for ever."""
        self._now = time.monotonic()
        self._allow(BODY_SECONDS)
        self._stuck = True
        self._throttle()

    def resume_writing(self) -> None:
        """It reads again."""
        self._stuck, self._now = False, time.monotonic()
        self._allow(IDLE_SECONDS)
        self._throttle()

    # -- from the parser -----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._begin()
        self._heading = True
        self._allow(HEAD_SECONDS)

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which nobody here asked for. Raises ``RequestError`` where they grow too long."""
        if self._heading:
            self._headers[name.lower()] = value
            self._head += len(name) + len(value)
            if self._head > HEAD_BYTES:
                raise RequestError("The headers are too long.", 431)

    def on_headers_complete(self) -> None:
        """What is coming is known: refuse it before it comes, or ask for it. Raises ``RequestError``."""
        self._heading = False
        self._allow(BODY_SECONDS)
        if int(self._headers.get(b"content-length", 0)) > self.http.max_body:
            raise self._too_large()
        if self._parser.should_upgrade() or len(self._url) > HEAD_BYTES:
            raise RequestError("This speaks HTTP/1.1 and nothing else.")
        if self._headers.get(b"expect", b"").lower() == b"100-continue":
            self._replies.append(Reply(self, raw=b"HTTP/1.1 100 Continue\r\n\r\n"))
            self.flush()

    def on_body(self, body: bytes) -> None:
        """A piece of the body. Raises ``RequestError`` where it grows too long."""
        self._body.append(body)
        self._size += len(body)
        if self._size > self.http.max_body:
            raise self._too_large()

    def on_message_complete(self) -> None:
        """A whole request: hand it on."""
        if self._refused:
            return
        self._raw = 0
        self._allow(IDLE_SECONDS)
        method = self._parser.get_method().decode()
        old = self._parser.get_http_version() == "1.0"
        last = self.http.draining or not self._parser.should_keep_alive()
        reply = Reply(self, method == "HEAD", last, old)
        self._replies.append(reply)
        self._throttle()
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        path = self._url.partition(b"?")[0].decode("latin-1")
        one = HttpRequest(method, path, self._headers, body, self._now)
        if self.http.access is not None:
            reply.about = one
        try:
            self.http.handle(one, reply)
        except RequestError as error:
            reply.refuse(error)
        except Exception:
            log.exception("http.failed path=%s", path)
            reply.send(500, b'{"error":"This is our mistake; it is written down."}')

    # -- from whoever answers ------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write what is ready, in order."""
        ready, replies = [], self._replies
        while replies and replies[0].raw:
            reply = replies.popleft()
            ready.append(reply.raw)
            if reply.last:
                replies.clear()
                self._refused = True
        if ready and self._transport is not None:
            self._transport.write(b"".join(ready) if len(ready) > 1 else ready[0])
            if not self._replies and (self._refused or self._ended):
                self._finish()
            elif self._paused:
                self._throttle()

    def drain(self) -> None:
        """End with what is under way."""
        if self._replies:
            self._replies[-1].last = True
        elif not self._raw:  # its next request may be on its way: it gets an answer, and is told to go
            asyncio.get_running_loop().call_later(LEAVE_SECONDS, self._leave)

    def give_up(self) -> None:
        """End for want of time; while an answer is being made, wait for it."""
        if self._refused or self._stuck:
            self._transport.abort()
        elif self._replies:
            self.deadline = time.monotonic() + IDLE_SECONDS
        elif self._raw:
            self._refuse(RequestError("The request took too long to arrive.", 408))
        else:
            self._transport.close()

    # -- helpers -------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._url, self._heading, self._size, self._head = b"", False, 0, 0
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []

    def _allow(self, seconds: float) -> None:
        if not self._stuck:  # who does not read his answers gains no time by sending more
            self.deadline = self._now + seconds

    def _refuse(self, error: RequestError) -> None:
        """Answer what cannot be read any further, after what came before it."""
        if not self._refused:
            self._refused = True
            reply = Reply(self, last=True)
            self._replies.append(reply)
            reply.refuse(error)

    def _finish(self) -> None:
        """Close; after a refusal not at once, for the client may still be sending and would not read the reason."""
        if self._refused and self._raw and not self._ended and self._transport.can_write_eof():
            self._transport.write_eof()
            self.deadline = time.monotonic() + LINGER_SECONDS
        else:
            self._transport.close()

    def _leave(self) -> None:
        if not (self._raw or self._replies):
            self._transport.close()

    def _throttle(self) -> None:
        full = self._stuck or len(self._replies) >= AHEAD
        if full is self._paused or self._transport.is_closing():
            return
        self._paused = full
        if full:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _too_large(self) -> RequestError:
        return RequestError(f"The body is larger than {self.http.max_body} bytes; send its rows in parts.", 413)


def _unreadable(error: Exception) -> RequestError:
    return RequestError(f"This is not a request in HTTP/1.1: {str(error).rstrip('.') or 'it cannot be read'}.")
