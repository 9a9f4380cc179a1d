"""The Open Inference Protocol over gRPC on a port of its own: the same endpoint, the same one decision per request."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc

from rivals.errors import RequestError
from rivals.serve.asks import Asks, Headers
from rivals.serve.endpoint import PENDING
from rivals.serve.inputs import quote
from rivals.serve.tls import Tls
from rivals.serve.wires import oip, oip_grpc, others
from rivals.values import Answer

log = logging.getLogger("rivals.grpc")

STATUS = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.UNAVAILABLE,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
OPEN = frozenset({"ServerLive", "ServerReady"})  # what needs no token
Verb = Callable[[Any, Any], Awaitable[Any]]


class GrpcServer:
    """One worker's. ``port`` is shared with its siblings. Belongs to one loop."""

    def __init__(
        self, asks: Asks, name: str, host: str, port: int, *, most: int, counters: Path, token: str, tls: Tls | None
    ) -> None:
        self.draining = False
        self._asks, self._name, self._counters = asks, name, counters
        self._token = f"Bearer {token}".encode() if token else b""
        options = [
            ("grpc.so_reuseport", 1),
            ("grpc.max_receive_message_length", most),
            ("grpc.max_send_message_length", -1),
        ]
        self._server = grpc.aio.server(options=options, maximum_concurrent_rpcs=PENDING)
        verbs: dict[str, Verb] = {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._metadata,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._infer,
            "RepositoryIndex": self._index,
            "ModelStatistics": self._statistics,
        }
        handlers = {
            verb: grpc.unary_unary_rpc_method_handler(
                self._guarded(verb, does),
                request_deserializer=oip_grpc.message(f"{verb}Request").FromString,
                response_serializer=oip_grpc.message(f"{verb}Response").SerializeToString,
            )
            for verb, does in verbs.items()
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(oip_grpc.SERVICE, handlers),))
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if tls:
            self._server.add_secure_port(place, grpc.ssl_server_credentials([tls.pair()]))
        else:
            self._server.add_insecure_port(place)

    async def start(self) -> None:
        """Listen."""
        await self._server.start()

    async def stop(self, grace: float) -> None:
        """Take nothing new; what is under way has ``grace`` seconds."""
        self.draining = True
        await self._server.stop(grace)

    def _guarded(self, verb: str, does: Verb) -> Verb:
        """Nobody without the token; every mistake a sentence."""

        async def handle(request: Any, context: Any) -> Any:
            try:
                if verb not in OPEN:
                    self._trust(context)
                return await does(request, context)
            except RequestError as error:
                code = STATUS.get(error.status, grpc.StatusCode.INVALID_ARGUMENT)
                await context.abort(code, str(error))
            except (grpc.aio.AbortError, asyncio.CancelledError):
                raise
            except Exception:
                log.exception("grpc.failed verb=%s", verb)
                await context.abort(grpc.StatusCode.INTERNAL, "This is our mistake; it is written down.")

        return handle

    def _trust(self, context: Any) -> None:
        given = _headers(context).get(b"authorization", b"")
        if self._token and not hmac.compare_digest(given, self._token):
            raise RequestError("This needs 'authorization: Bearer <token>' in the metadata.", 401)

    async def _infer(self, request: Any, context: Any) -> Any:
        arrived = time.monotonic()
        self._named(request.model_name)
        signature = self._asks.endpoint.serving.signature
        asked = oip_grpc.infer(request, signature)
        headers = _headers(context)
        left = context.time_remaining()
        if left is not None and b"x-rivals-deadline-ms" not in headers:
            headers = {**headers, b"x-rivals-deadline-ms": f"{max(0.001, left * 1e3):.3f}".encode()}
        one = self._asks.request(asked.columns, headers, request.model_version, asked.id)
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def done(given: Answer | RequestError) -> None:
            if answered.cancelled():  # the client is gone; what was asked is on record
                return
            answered.set_exception(given) if isinstance(given, RequestError) else answered.set_result(given)

        self._asks.endpoint.submit(one, arrived, done)
        known = self._asks.known(one)
        try:
            answer = await answered
        except RequestError:
            context.set_trailing_metadata(_lower(known))
            raise
        await context.send_initial_metadata(
            _lower([*known, *self._asks.answered(answer.variant, answer.revision, degraded=answer.degraded)])
        )
        return oip_grpc.answer(answer, self._name, signature, asked)

    async def _live(self, _request: Any, _context: Any) -> Any:
        return oip_grpc.message("ServerLiveResponse")(live=True)

    async def _ready(self, _request: Any, _context: Any) -> Any:
        return oip_grpc.message("ServerReadyResponse")(ready=not self.draining)

    async def _model_ready(self, request: Any, _context: Any) -> Any:
        self._version(request)
        return oip_grpc.message("ModelReadyResponse")(ready=not self.draining)

    async def _metadata(self, _request: Any, _context: Any) -> Any:
        return oip_grpc.message("ServerMetadataResponse")(**oip.server())

    async def _model_metadata(self, request: Any, _context: Any) -> Any:
        serving = self._asks.endpoint.serving
        if variant := self._version(request):
            signature = serving.signatures[variant]
            return oip_grpc.metadata(serving.table, signature.inputs, signature, variant)
        return oip_grpc.metadata(serving.table, serving.inputs.columns, serving.signature)

    async def _index(self, _request: Any, _context: Any) -> Any:
        return oip_grpc.message("RepositoryIndexResponse")(models=others.index(self._asks.endpoint.serving.table))

    async def _statistics(self, request: Any, _context: Any) -> Any:
        variants = [self._version(request)] if request.version else list(self._asks.endpoint.serving.signatures)
        told = others.statistics(self._counters, self._name, variants)
        return oip_grpc.message("ModelStatisticsResponse")(**told)

    def _version(self, request: Any) -> str:
        """The variant that a request names, if it names one. Raises ``RequestError`` (404)."""
        self._named(request.name)
        if request.version and request.version not in self._asks.endpoint.serving.signatures:
            raise RequestError(f"{self._name!r} has no variant {quote(request.version)}.", 404)
        return str(request.version)

    def _named(self, name: str) -> None:
        if name != self._name:
            raise RequestError(f"There is no endpoint {quote(name)}; this one is {self._name!r}.", 404)


def _headers(context: Any) -> Headers:
    """Metadata as the HTTP wires have headers."""
    pairs = context.invocation_metadata() or ()
    return {key.lower().encode(): value if isinstance(value, bytes) else value.encode() for key, value in pairs}


def _lower(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in pairs]
