"""A model behind another server of the Open Inference Protocol, asked for rows: MLServer, Triton, KServe, rivals.

``oip+http://host:8080/model``, or ``.../model/versions/2``. The server's own metadata says what it takes: a tensor per
column where its inputs have our columns' names, else one matrix of the numbers, in our order. It must give
probabilities by label (or, of two, that of the second one), or values; a server that gives labels only is refused.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import httptools
import msgspec
import numpy as np
from numpy.typing import NDArray

from rivals.errors import BundleError, RivalsError
from rivals.values import Columns, Signature

PREFIX = "oip+"
URL = re.compile(r"oip\+(https?)://([^/\s:]+|\[[0-9a-fA-F:]+\])(?::(\d+))?/([^/\s]+)(?:/versions/([^/\s]+))?")
MOST = 64 << 20  # bytes of an answer
FLOATS = {"FP16", "FP32", "FP64"}


class Unreachable(RivalsError):
    """Nobody answered."""


class Remote:
    """A ``Predictor`` elsewhere. May be asked by several threads, each on a connection of its own.

    ``seconds`` is what one call may take; ``token`` is shown to the server. Raises ``BundleError`` where the URL is
    none.
    """

    def __init__(self, url: str, signature: Signature, seconds: float = 5.0, token: str = "") -> None:
        found = URL.fullmatch(url)
        if not found:
            raise BundleError(f"{url!r} is no address of a model; write it as oip+http://host:8080/model.")
        scheme, self._host, port, name, version = found.groups()
        self.url, self.signature, self._seconds, self._token = url, signature, seconds, token
        self._port = int(port) if port else None
        self._tls = scheme == "https"
        self._path = f"/v2/models/{name}" + (f"/versions/{version}" if version else "")
        self._local = threading.local()
        self._inputs: Sequence[Mapping[str, Any]] | None = None

    def __del__(self) -> None:
        if hasattr(self, "_local"):  # its address was one
            self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url, "signature": self.signature, "seconds": self._seconds, "token": self._token}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # connections do not travel

    def close(self) -> None:
        """Let go of this thread's connection."""
        if kept := getattr(self._local, "connection", None):
            kept.close()
            self._local.connection = None

    def predict(self, columns: Columns) -> NDArray[np.float64]:
        """Probabilities (rows, labels) or values (rows, 1). Raises ``Unreachable``, or ``BundleError``."""
        body = msgspec.json.encode({"inputs": self._tensors(columns)})
        told = self._ask("POST", f"{self._path}/infer", body)
        width = len(self.signature.labels) or 1
        for output in told.get("outputs", ()):
            if output.get("datatype") in FLOATS:
                return self._answer(output, columns.rows, width)
        raise BundleError(f"{self.url} gives no tensor of floats, so no probabilities or values.")

    def _answer(self, output: Mapping[str, Any], rows: int, width: int) -> NDArray[np.float64]:
        found = np.asarray(output["data"], np.float64).reshape(-1)
        if found.size == rows * width:
            return found.reshape(rows, width)
        if found.size == rows and width == 2:  # noqa: PLR2004 -- labels
            return np.column_stack([1 - found, found])
        raise BundleError(f"{self.url} gives {found.size} numbers for {rows} rows of {width}.")

    def _tensors(self, columns: Columns) -> list[dict[str, Any]]:
        if self._inputs is None:
            self._inputs = self._ask("GET", self._path).get("inputs") or ()
        given, ours = columns.values, self.signature.inputs
        theirs = {one["name"] for one in self._inputs}
        if theirs <= {column.name for column in ours} and theirs:
            return [
                {
                    "name": column.name,
                    "shape": [columns.rows],
                    "datatype": "FP64" if column.kind == "number" else "BYTES",
                    "data": list(given[column.name]),
                }
                for column in ours
                if column.name in theirs
            ]
        numbers = [column.name for column in ours if column.kind == "number"]
        if len(numbers) < len(ours) or len(theirs) > 1:
            raise BundleError(f"{self.url} takes {', '.join(sorted(theirs))}; the data has other columns.")
        rows = zip(*(given[name] for name in numbers), strict=True)
        data = [value if value is None else float(value) for row in rows for value in row]
        name = next(iter(theirs), "input-0")
        return [{"name": name, "shape": [columns.rows, len(numbers)], "datatype": "FP32", "data": data}]

    def _ask(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        """One call; on a connection that was kept and is gone, a second time."""
        for again in (False, True):
            kept = getattr(self._local, "connection", None)
            self._local.connection, connection = None, kept
            try:
                connection = kept or _Link(self._host, self._port, self._seconds, tls=self._tls, token=self._token)
                status, raw = connection.ask(method, path, body)
            except (OSError, EOFError, httptools.HttpParserError) as error:
                if connection:
                    connection.close()
                if kept and not again and not isinstance(error, TimeoutError):
                    continue
                raise Unreachable(f"{self.url} cannot be reached: {type(error).__name__}: {error}.") from error
            if connection.lasts:
                self._local.connection = connection
            else:
                connection.close()
            return self._read(status, raw)
        raise AssertionError

    def _read(self, status: int, raw: bytes) -> dict[str, Any]:
        try:
            told = msgspec.json.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            told = None
        if status != HTTPStatus.OK or not isinstance(told, dict):
            why = told.get("error") if isinstance(told, dict) else raw[:100].decode(errors="replace")
            raise BundleError(f"{self.url} answers {status}: {why}")
        return told


class _Link:
    """A connection: one request, then its answer. A request is one write, and a parser in C reads what comes."""

    def __init__(self, host: str, port: int | None, seconds: float, *, tls: bool, token: str) -> None:
        place = host.strip("[]"), port or (443 if tls else 80)
        self._seconds, name = seconds, host if port is None else f"{host}:{port}"
        self._head = f"Host: {name}\r\nAccept-Encoding: identity\r\n"
        self._head += f"Authorization: Bearer {token}\r\n" if token else ""
        self._socket = socket.create_connection(place, timeout=seconds)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self._socket = ssl.create_default_context().wrap_socket(self._socket, server_hostname=place[0])
        self.lasts = True
        self._whole = self._sized = False
        self._parts: list[bytes] = []
        self._size = 0

    def ask(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        """Status and body. Raises ``OSError``, ``EOFError`` or the parser's error."""
        self._whole, self._sized, self._size, self._parts = False, False, 0, []
        parser, until = httptools.HttpResponseParser(self), time.monotonic() + self._seconds
        head = f"{method} {path} HTTP/1.1\r\n{self._head}"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self._socket.sendall(f"{head}\r\n".encode() + (body or b""))
        while not self._whole:
            if (left := until - time.monotonic()) <= 0:
                raise TimeoutError(f"no whole answer in {self._seconds:g} s")
            self._socket.settimeout(left)
            part = self._socket.recv(1 << 16)
            if not part:
                if self._sized or not parser.get_status_code():
                    raise EOFError("the connection ended before the answer")
                self.lasts = False  # an answer without a length ends with its connection
                break
            parser.feed_data(part)
        self.lasts = self.lasts and parser.should_keep_alive()
        return parser.get_status_code(), b"".join(self._parts)

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()

    # -- from the parser -----------------------------------------------------------------------------------

    def on_header(self, name: bytes, _value: bytes) -> None:
        """What says how the body ends."""
        self._sized = self._sized or name.lower() in {b"content-length", b"transfer-encoding"}

    def on_body(self, body: bytes) -> None:
        """A piece of the body. Raises ``EOFError`` where it is larger than any answer that is right."""
        self._parts.append(body)
        self._size += len(body)
        if self._size > MOST:
            raise EOFError(f"the answer is larger than {MOST} bytes")

    def on_message_complete(self) -> None:
        """A whole answer."""
        self._whole = True
