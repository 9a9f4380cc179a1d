"""Which request means what: paths and headers on one side, the endpoint and its wires on the other."""

from __future__ import annotations

import hmac
import logging
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from rivals import __version__
from rivals.errors import RequestError
from rivals.plugins import nearest
from rivals.serve.asks import Asks, text
from rivals.serve.endpoint import Endpoint, Soon
from rivals.serve.exposition import OPENMETRICS, exposition, wants_openmetrics
from rivals.serve.exposition import TEXT as PLAIN
from rivals.serve.http import JSON, HttpRequest, Reply
from rivals.serve.inputs import Inputs, quote
from rivals.serve.journal import FeedbackLog
from rivals.serve.metrics import EndpointTally
from rivals.serve.reconcile import EndpointConfig, Reconciler
from rivals.serve.tokens import HEADER
from rivals.serve.wires import feedback, mlflow_wire, oip, others
from rivals.serve.wires.binary import LENGTH
from rivals.serve.wires.typed import Typed
from rivals.values import Answer, Columns

log = logging.getLogger("rivals.routes")

Written = tuple[bytes, bytes, bytes]  # an answer's body, what it is, and further headers

OPEN = {("v2", "health", "live"), ("v2", "health", "ready"), ("ping",)}  # what needs no token
POSTED = {("invocations",), ("v2", "feedback"), ("v2", "repository", "index")}  # beside .../infer and ...:predict
LARGE = 16 << 10  # bytes of an answer that is worth packing
PREDICT = ":predict"
TEXT = b"text/plain; charset=utf-8"
JSON_KINDS = {b"", b"application/json"}
OCTET = b"application/octet-stream"
OCTETS = JSON_KINDS | {OCTET, b"application/x-www-form-urlencoded"}  # with tensors; clients differ in what they call it
EXPOSED = b"X-Request-Id, X-Rivals-Variant, X-Rivals-Revision, X-Rivals-Degraded, X-Rivals-Feedback-Token"
PREFLIGHT = (
    b"Access-Control-Allow-Methods: GET, HEAD, POST\r\nAccess-Control-Max-Age: 600\r\n"
    b"Access-Control-Allow-Headers: Authorization, Content-Type, X-Request-Id, X-Rivals-Unit, X-Rivals-Variant, "
    b"X-Rivals-Deadline-Ms, X-Rivals-Feedback-Token\r\n"
)
BINARY = LENGTH.lower().encode()


class Routes:
    """Takes every request of a worker. ``post`` calls a function in the loop from another thread."""

    def __init__(
        self,
        config: EndpointConfig,
        endpoint: Endpoint,
        reconciler: Reconciler,
        tally: EndpointTally,
        feedback_log: FeedbackLog | None,
        *,
        asks: Asks,
        counters: Path,
        post: Soon,
        token: str = "",
    ) -> None:
        self.draining = False
        self._config, self._endpoint, self._reconciler, self._tally = config, endpoint, reconciler, tally
        self._feedback_log, self._asks, self._counters, self._post = feedback_log, asks, counters, post
        self._typed = Typed(endpoint.serving.inputs)
        self._token = f"Bearer {token}".encode() if token else b""
        self._cors = frozenset(origin.encode() for origin in config.cors)

    def handle(self, http: HttpRequest, reply: Reply) -> None:
        """Answer, now or later. Raises ``RequestError``."""
        path = _parts(http.path)
        if self._cors and (origin := http.headers.get(b"origin")):
            allowed = self._cross(origin, reply)
            if allowed and http.method == "OPTIONS":
                reply.send(200, b"", TEXT, PREFLIGHT)
                return
        if self._token and path not in OPEN and not self._trusted(http):
            error = RequestError("This needs 'Authorization: Bearer <token>'.", 401)
            reply.refuse(error, b"WWW-Authenticate: Bearer\r\n")
        elif path[-1] == "infer" or path in POSTED or (path[:-1] == ("v1", "models") and path[-1].endswith(PREDICT)):
            self._posted(path, http, reply)
        elif http.method in {"GET", "HEAD"}:
            self._got(path, http, reply)
        else:
            self._got(path, http, None)  # 404 comes before 405
            reply.refuse(RequestError(f"{http.path} takes GET, not {http.method}.", 405), b"Allow: GET, HEAD\r\n")

    # -- what is posted ------------------------------------------------------------------------------------

    def _posted(self, path: Sequence[str], http: HttpRequest, reply: Reply) -> None:
        if http.method != "POST":
            reply.refuse(RequestError(f"{http.path} takes POST, not {http.method}.", 405), b"Allow: POST\r\n")
            return
        if (encoding := http.headers.get(b"content-encoding", b"identity")) != b"identity":
            http = msgspec.structs.replace(http, body=_inflated(http.body, encoding, self._config.max_body_bytes))
        match path:
            case ["v2", "models", name, "infer"]:
                self._infer(name, "", http, reply)
            case ["v2", "models", name, "versions", variant, "infer"]:
                self._infer(name, variant, http, reply)
            case ["invocations"]:
                self._invocations(http, reply)
            case ["v2", "feedback"]:
                self._feedback(http, reply)
            case ["v2", "repository", "index"]:
                reply.send(200, msgspec.json.encode(others.index(self._endpoint.serving.table)))
            case ["v1", "models", name] if name.endswith(PREDICT):
                self._v1(name.removesuffix(PREDICT), http, reply)
            case _:
                raise _nowhere(path)

    def _infer(self, name: str, variant: str, http: HttpRequest, reply: Reply) -> None:
        self._named(name)
        kind, length = _kind(http), http.headers.get(BINARY, b"")
        if kind not in (OCTETS if length else JSON_KINDS):
            raise RequestError(f"The body is JSON, not {kind[:40].decode('latin-1')!r}; tensors need {LENGTH}.", 415)
        serving = self._endpoint.serving
        signature = serving.signature
        if not length and (read := self._reader(serving.inputs).tensors(http.body)):
            outputs = oip.wanted((), signature)

            def plain(one: Answer) -> Written:
                return oip.answer(one, name, signature, outputs)[0], JSON, b""

            self._ask(http, reply, read[0], plain, variant, read[1])
            return
        given = oip.infer(http.body, signature, serving.inputs.kinds, length)

        def write(one: Answer) -> Written:
            body, json = oip.answer(one, name, signature, given.outputs, given.binary)
            return body, OCTET if json else JSON, b"%b: %d\r\n" % (LENGTH.encode(), json) if json else b""

        self._ask(http, reply, given.columns, write, variant, given.id)

    def _invocations(self, http: HttpRequest, reply: Reply) -> None:
        kind = _kind(http)
        columns: Columns | Mapping[str, Sequence[Any]]
        if kind == b"text/csv":
            columns = mlflow_wire.csv_rows(http.body, self._endpoint.serving.inputs.columns)
        elif kind in JSON_KINDS:
            read = self._reader(self._endpoint.serving.inputs).records(http.body)
            columns = read or mlflow_wire.invocations(http.body)
        else:
            raise RequestError(f"The body is JSON or CSV, not {kind[:40].decode('latin-1')!r}.", 415)
        self._ask(http, reply, columns, _predictions)

    def _v1(self, name: str, http: HttpRequest, reply: Reply) -> None:
        """KServe's first protocol."""
        self._named(name)
        if _kind(http) not in JSON_KINDS:
            raise RequestError("The body is JSON.", 415)
        columns = mlflow_wire.instances(http.body, self._endpoint.serving.inputs.columns)
        self._ask(http, reply, columns, _predictions)

    def _ask(
        self,
        http: HttpRequest,
        reply: Reply,
        given: Columns | Mapping[str, Sequence[Any]],
        write: Callable[[Answer], Written],
        variant: str = "",
        own_id: str = "",
    ) -> None:
        """From checked rows to an answer. Raises ``RequestError`` before anything is recorded."""
        request = self._asks.request(given, http.headers, variant, own_id)
        echo = self._asks.known_lines(request)

        def done(answer: Answer | RequestError) -> None:
            if isinstance(answer, RequestError):
                reply.refuse(answer, echo)
                return
            told = echo + _told(answer.variant, answer.revision, answer.degraded)
            try:
                body, kind, headers = write(answer)
                if len(body) > LARGE and _unpacks(http.headers.get(b"accept-encoding", b"")):
                    body, headers = _packed(body), headers + b"Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n"
            except Exception:
                log.exception("answer.failed variant=%s request=%s", answer.variant, answer.id)
                reply.refuse(RequestError("This is our mistake; it is written down.", 500), told)
            else:
                reply.send(200, body, kind, told + headers)

        self._endpoint.submit(request, http.arrived, done)

    def _feedback(self, http: HttpRequest, reply: Reply) -> None:
        if self._feedback_log is None:
            raise RequestError("This server keeps no record: feedback goes to the router before it.", 404)
        if _kind(http) not in JSON_KINDS:
            raise RequestError("The body is JSON.", 415)
        now, config = self._asks.clock.now(), self._config
        terms = feedback.Terms(self._endpoint.serving.signature.labels, config.rating, self._asks.clock.replay)
        token = text(http.headers, HEADER.lower().encode())
        many = feedback.feedback(http.body, now, terms, self._asks.tokens, token)

        def acknowledge(error: RequestError | None) -> None:
            if error:
                reply.refuse(error)
                return
            self._tally.feedback(len(many))
            reply.send(200, msgspec.json.encode({"accepted": len(many)}))

        self._feedback_log.put(many, lambda error: self._post(lambda: acknowledge(error)))

    # -- what is asked for -----------------------------------------------------------------------------------

    def _got(self, path: Sequence[str], http: HttpRequest, reply: Reply | None) -> None:
        """Answer a GET; without ``reply`` only see whether there is such a path. Raises ``RequestError`` (404)."""
        status, kind, body = (503 if self.draining else 200), JSON, b""
        match path:
            case ["v2"]:
                status, body = 200, msgspec.json.encode(oip.server())
            case ["v2", "health", "live"]:
                status, body = 200, b'{"live":true}'
            case ["v2", "health", "ready"] | ["v2", "models", _, "ready"] | ["v2", "models", _, "versions", _, "ready"]:
                self._model(path[2:-1])
                body = msgspec.json.encode({"ready": not self.draining})
            case ["v2", "models", name, "stats"] | ["v2", "models", name, "versions", _, "stats"]:
                self._model(path[2:-1])
                variants = [path[4]] if len(path) > 4 else list(self._endpoint.serving.signatures)  # noqa: PLR2004
                status, body = 200, msgspec.json.encode(others.statistics(self._counters, name, variants))
            case ["v2", "models", _, *_]:
                status, body = 200, msgspec.json.encode(self._model(path[2:]))
            case ["v1", "models"]:
                status, body = 200, msgspec.json.encode({"models": [self._config.name]})
            case ["v1", "models", name]:
                self._named(name)
                body = msgspec.json.encode({"name": name, "ready": not self.draining})
            case ["ping"]:
                kind, body = TEXT, b"\n"
            case ["version"]:
                status, kind, body = 200, TEXT, __version__.encode()
            case ["metrics"]:
                table, better = self._endpoint.serving.table, wants_openmetrics(http.headers.get(b"accept", b""))
                status, kind = 200, OPENMETRICS if better else PLAIN
                body = exposition(self._reconciler.run_dir, table, openmetrics=better)
            case _:
                raise _nowhere(path)
        if reply:
            reply.send(status, body, kind)

    def _model(self, name: Sequence[str]) -> dict[str, Any]:
        serving, told = (
            self._endpoint.serving,
            {"problem": self._reconciler.problem} if self._reconciler.problem else {},
        )
        match name:
            case []:
                return {}
            case [endpoint]:
                self._named(endpoint)
                return {**oip.model(serving.table, serving.inputs.columns, serving.signature), **told}
            case [endpoint, "versions", variant]:
                self._named(endpoint)
                known = serving.signatures
                if variant not in known:
                    sentence = f"{endpoint!r} has no variant {quote(variant)}.{nearest(variant, list(known))}"
                    raise RequestError(sentence, 404)
                signature = known[variant]
                return {**oip.model(serving.table, signature.inputs, signature, variant), **told}
            case _:
                raise _nowhere(["v2", "models", *name])

    # -- helpers -------------------------------------------------------------------------------------------

    def _cross(self, origin: bytes, reply: Reply) -> bool:
        """Tell a browser that a page of this origin may read the answer, if it may (WHATWG Fetch, CORS protocol)."""
        allowed = origin in self._cors or b"*" in self._cors
        reply.more = b"Vary: Origin\r\n"
        if allowed:
            reply.more += b"Access-Control-Allow-Origin: %b\r\nAccess-Control-Expose-Headers: %b\r\n" % (
                origin,
                EXPOSED,
            )
        return allowed

    def _reader(self, inputs: Inputs) -> Typed:
        if self._typed.inputs is not inputs:
            self._typed = Typed(inputs)
        return self._typed

    def _named(self, name: str) -> None:
        if name != self._config.name:
            raise RequestError(f"There is no endpoint {quote(name)}; this one is {self._config.name!r}.", 404)

    def _trusted(self, http: HttpRequest) -> bool:
        return hmac.compare_digest(http.headers.get(b"authorization", b""), self._token)


def _predictions(one: Answer) -> Written:
    return mlflow_wire.predictions(one), JSON, b""


def _unpacks(accepted: bytes) -> bool:
    """Whether a client says that it reads gzip (RFC 9110, 12.5.3)."""
    for one in accepted.lower().split(b","):
        name, _, weight = one.partition(b";")
        if name.strip() in {b"gzip", b"x-gzip"}:
            return not re.fullmatch(rb"\s*q=0(\.0*)?\s*", weight)
    return False


def _packed(body: bytes) -> bytes:
    """Level 1: most of the gain, and the loop waits for it."""
    packer = zlib.compressobj(1, wbits=31)
    return packer.compress(body) + packer.flush()


def _inflated(raw: bytes, encoding: bytes, most: int) -> bytes:
    """A compressed body as it was, if that is not too large. Raises ``RequestError``."""
    if encoding.lower() not in {b"gzip", b"deflate"}:
        raise RequestError("Bodies are taken as they are, or compressed by gzip or deflate.", 415)
    whole = zlib.decompressobj(wbits=47)  # either of the two, by its header
    try:
        found = whole.decompress(raw, most + 1)
    except zlib.error:
        raise RequestError("The body is not compressed as its Content-Encoding says.") from None
    if len(found) > most:
        raise RequestError(f"The body is larger than {most} bytes when it is read.", 413)
    if not whole.eof or whole.unused_data:
        raise RequestError("The body is not compressed as its Content-Encoding says.")
    return found


@lru_cache(1_024)  # few variants answer, many times
def _told(variant: str, revision: int, degraded: bool) -> bytes:
    """What goes back with an answer, as lines."""
    pairs = Asks.answered(variant, revision, degraded=degraded)
    return "".join(f"{name}: {value}\r\n" for name, value in pairs).encode()


@lru_cache(256)
def _parts(path: str) -> tuple[str, ...]:
    return tuple(path.split("/")[1:])


def _kind(http: HttpRequest) -> bytes:
    raw = http.headers.get(b"content-type", b"")
    return raw if raw in JSON_KINDS else raw.partition(b";")[0].strip().lower()


def _nowhere(path: Sequence[str]) -> RequestError:
    return RequestError(f"There is nothing at {quote('/' + '/'.join(path))}; GET /v2 says what speaks here.", 404)
