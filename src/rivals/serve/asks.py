"""From checked columns and what a client says beside them to one request, the same through every wire."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from rivals.errors import RequestError
from rivals.rules import beside
from rivals.serve.clock import Clock
from rivals.serve.endpoint import Endpoint
from rivals.serve.inputs import printable
from rivals.serve.tokens import HEADER, Tokens
from rivals.serve.traces import traceparent
from rivals.values import Columns, Request

Headers = Mapping[bytes, bytes]  # names in lower case
OURS = (b"x-request-id", b"x-rivals-unit", b"x-rivals-variant", b"x-rivals-deadline-ms")
IDS = 256  # drawn at once


class Asks:
    """Names requests, and says what goes back with their answers."""

    def __init__(
        self,
        endpoint: Endpoint,
        clock: Clock,
        unit_header: str = "",
        tokens: Tokens | None = None,
        *,
        traced: bool = False,
    ) -> None:
        self.endpoint, self.clock, self.tokens, self._traced = endpoint, clock, tokens, traced
        self._unit_header = unit_header.lower().encode()
        self._ours = frozenset([*OURS, self._unit_header])
        self._ids: list[str] = []

    def request(
        self, given: Columns | Mapping[str, Sequence[Any]], headers: Headers, variant: str = "", own_id: str = ""
    ) -> Request:
        """One request with these rows; ``Columns`` are checked already. Raises ``RequestError`` before any record."""
        serving = self.endpoint.serving
        columns = given if isinstance(given, Columns) else serving.inputs.check(given)
        more = variant or own_id or serving.headers or serving.beside or self._traced
        if not more and self._ours.isdisjoint(headers):  # as nearly always
            name = self._fresh()
            unit = serving.inputs.unit_of(columns) or name
            return Request(name, columns, unit, self.clock.at(serving.inputs, columns))
        name = text(headers, b"x-request-id") or (own_id and printable("An id", own_id)) or self._fresh()
        unit = text(headers, b"x-rivals-unit") or (text(headers, self._unit_header) if self._unit_header else "")
        now = self.clock.at(serving.inputs, columns)
        said = {wanted: text(headers, wanted.encode()) for wanted in serving.headers} if serving.headers else {}
        return Request(
            id=name,
            columns=beside(columns, serving.beside, said, now) if serving.beside else columns,
            unit=unit or serving.inputs.unit_of(columns) or name,
            time=now,
            pin=variant or text(headers, b"x-rivals-variant"),
            deadline_ms=_deadline(headers),
            headers=said,
            trace=traceparent(headers.get(b"traceparent", b""), name) if self._traced else "",
        )

    def _fresh(self) -> str:
        """An id that nobody has: 128 random bits, fetched from the system for many at once."""
        if not self._ids:
            drawn = os.urandom(16 * IDS).hex()
            self._ids = [drawn[place : place + 32] for place in range(0, len(drawn), 32)]
        return self._ids.pop()

    def known(self, request: Request) -> list[tuple[str, str]]:
        """What goes back whatever becomes of the request."""
        found = [("X-Request-Id", request.id)]
        if self.tokens:
            found.append((HEADER, self.tokens.give(request.id, request.time)))
        return found

    def known_lines(self, request: Request) -> bytes:
        """The same as lines of HTTP."""
        if not self.tokens:
            return b"X-Request-Id: %b\r\n" % request.id.encode()
        return b"".join([b"%b: %b\r\n" % (name.encode(), value.encode()) for name, value in self.known(request)])

    @staticmethod
    def answered(variant: str, revision: int, *, degraded: bool) -> list[tuple[str, str]]:
        """What goes back with an answer."""
        found = [("X-Rivals-Variant", variant), ("X-Rivals-Revision", str(revision))]
        return [*found, ("X-Rivals-Degraded", "true")] if degraded else found


def text(headers: Headers, name: bytes) -> str:
    """A header as text; empty where there is none. Raises ``RequestError``."""
    if not (raw := headers.get(name)):
        return ""
    try:
        return printable(f"The header {name.decode()}", raw.decode())
    except UnicodeDecodeError:
        raise RequestError(f"The header {name.decode()} is not UTF-8.") from None


def _deadline(headers: Headers) -> float:
    raw = headers.get(b"x-rivals-deadline-ms")
    if raw is None:
        return 0.0
    try:
        limit = float(raw)
    except ValueError:
        limit = math.nan
    if not 0 < limit < math.inf:
        raise RequestError("X-Rivals-Deadline-Ms takes a number of milliseconds above 0.")
    return limit
