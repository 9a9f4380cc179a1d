"""A small client for the replay: many keep-alive connections, one request at a time on each, nothing but asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: its status, the headers that matter here, and the body."""

    status: int
    variant: str
    revision: int
    body: bytes


class Client:
    """Keep-alive connections to one server; ``send`` keeps the order of its answers."""

    def __init__(self, host: str, port: int, connections: int = 16) -> None:
        self._address = (host, port)
        self._idle: asyncio.Queue[Connection | None] = asyncio.Queue()
        for _ in range(connections):
            self._idle.put_nowait(None)  # opened when first needed

    async def send(self, requests: Sequence[tuple[str, str, object]]) -> list[Reply]:
        """Post every (path, request id, JSON body), as many at once as there are connections."""
        return list(await asyncio.gather(*(self.post(*request) for request in requests)))

    async def post(self, path: str, request_id: str, body: object) -> Reply:
        """Post one body; a connection that the server closed meanwhile is opened again, once."""
        raw = msgspec.json.encode(body)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: rivals\r\nX-Request-Id: {request_id}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
        ).encode()
        connection = await self._idle.get()
        try:
            if connection:
                try:
                    return await _exchange(connection, head + raw)
                except (ConnectionError, asyncio.IncompleteReadError):
                    connection[1].close()
            connection = await asyncio.open_connection(*self._address)
            return await _exchange(connection, head + raw)
        finally:
            self._idle.put_nowait(connection)

    async def close(self) -> None:
        """Close every connection."""
        while not self._idle.empty():
            connection = self._idle.get_nowait()
            if connection:
                connection[1].close()


async def _exchange(connection: Connection, raw: bytes) -> Reply:
    reader, writer = connection
    writer.write(raw)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    variant, revision = headers.get("x-rivals-variant", ""), int(headers.get("x-rivals-revision", "0"))
    return Reply(int(head[0].split()[1]), variant, revision, body)
