"""The control plane over HTTP: the flows as a few routes under /api/, and the judge's loop beside them."""

from __future__ import annotations

import hmac
import os
import threading
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rivals.errors import Conflict, RivalsError
from rivals.flows.control import Control
from rivals.flows.rollout import start_rollout, steer
from rivals.flows.status import assignment_of, explain_request, history_of, rollout_of, status_of
from rivals.flows.verify import verify_ledger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rivals.flows.workspace import Workspace

STEERING = ("pause", "resume", "promote", "rollback")


def run(workspace: Workspace, host: str, port: int, clock: str) -> None:
    """Serve the control API and judge until SIGTERM."""
    application = make_app(workspace, clock)
    uvicorn.run(application, host=host, port=port, log_level="warning", access_log=False)


def make_app(workspace: Workspace, clock: str) -> Starlette:
    """The routes, with the judge's loop in a thread that starts and ends with them."""
    loop = Control(workspace, clock)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        thread = threading.Thread(target=loop.run, name="judge")
        thread.start()
        yield
        loop.stopped.set()
        await run_in_threadpool(thread.join)

    def clocks(_: Request) -> Any:
        return {"judged": loop.judged, "exposures": loop.exposures, "clock": clock}

    def start(_: Request, body: Any) -> Any:
        return start_rollout(workspace, _field(body, "variant"))

    routes = [
        _get("/api/clock", clocks),
        _get("/api/status", lambda _: status_of(workspace)),
        _get("/api/rollout", lambda _: rollout_of(workspace)),
        _get("/api/history", lambda _: history_of(workspace)),
        _get("/api/assignment", lambda _: assignment_of(workspace)),
        _get("/api/verify", lambda _: verify_ledger(workspace)),
        _get("/api/explain/{id:path}", lambda request: explain_request(workspace, request.path_params["id"])),
        _post("/api/rollouts", start),
        *(_post(f"/api/rollout/{name}", _steering(workspace, name)) for name in STEERING),
    ]
    routes.append(_get("/api/openapi.json", lambda _: openapi(routes)))
    middleware = [Middleware(BaseHTTPMiddleware, dispatch=_guard)]
    return Starlette(routes=routes, lifespan=lifespan, middleware=middleware)


def openapi(routes: list[Route]) -> dict[str, Any]:
    """What can be asked here, in the form other tools read."""
    paths: dict[str, Any] = {}
    for route in routes:
        for method in sorted((route.methods or set()) - {"HEAD"}):
            summary = route.path.removeprefix("/api/").replace("/", " ")
            answer = {"200": {"description": "the answer"}, "400": {"description": "a sentence that says what to mend"}}
            paths.setdefault(route.path, {})[method.lower()] = {"summary": summary, "responses": answer}
    return {"openapi": "3.1.0", "info": {"title": "rivals control", "version": "1"}, "paths": paths}


def _steering(workspace: Workspace, name: str) -> Callable[[Request, Any], Any]:
    return lambda _request, _body: steer(workspace, name)


def _get(path: str, answer: Callable[[Request], Any]) -> Route:
    async def endpoint(request: Request) -> Response:
        return await _reply(lambda: answer(request))

    return Route(path, endpoint, methods=["GET"])


def _post(path: str, answer: Callable[[Request, Any], Any]) -> Route:
    async def endpoint(request: Request) -> Response:
        raw = await request.body()
        return await _reply(lambda: answer(request, _decode(raw)))

    return Route(path, endpoint, methods=["POST"])


async def _reply(answer: Callable[[], Any]) -> Response:
    """The answer as JSON; our own errors as a status and one sentence."""
    try:
        return _json(await run_in_threadpool(answer))
    except Conflict as error:
        return _json({"error": str(error)}, 409)
    except RivalsError as error:
        return _json({"error": str(error)}, 400)


def _decode(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw) if raw.strip() else {}
    except msgspec.DecodeError as error:
        raise RivalsError(f"The body is not JSON: {error}.") from None


def _field(body: Any, name: str) -> str:
    value = body.get(name) if isinstance(body, dict) else None
    if not isinstance(value, str):
        raise RivalsError(f'The body is {{"{name}": "..."}}.')
    return value


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


async def _guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """With RIVALS_TOKEN set, everything needs it."""
    token = os.environ.get("RIVALS_TOKEN", "")
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    if token and not hmac.compare_digest(given.encode(), token.encode()):
        return _json({"error": "This needs 'Authorization: Bearer <token>'."}, 401)
    return await call_next(request)
