"""The control plane over HTTP: the flows as a few routes under /api/, and the judge's loop beside them."""

from __future__ import annotations

import hmac
import os
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, get_args

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rivals.errors import Conflict, RivalsError, StoreAway
from rivals.flows.begin import start_rollout
from rivals.flows.control import Control
from rivals.flows.explain import explain_request
from rivals.flows.monitoring import metrics_of
from rivals.flows.operators import approve, freeze, pin, quarantine, roll_back_to
from rivals.flows.preflight import run_preflight
from rivals.flows.rollout import steer
from rivals.flows.status import assignment_of, history_of, rollout_of, status_of
from rivals.flows.verdict import Bench, Reply
from rivals.flows.verify import verify_ledger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from rivals.flows.workspace import Workspace
from rivals.strategy import Strategy

PARENT = 0.5  # seconds between two looks at who started this process
STEERING = ("pause", "resume", "advance", "promote", "rollback")
STRATEGIES = get_args(Strategy)


def run(workspace: Workspace, host: str, port: int, clock: str, tls: tuple[Path, Path] | None = None) -> None:
    """Serve the control API and judge until SIGTERM, or until the process that started this one is gone."""
    application = make_app(workspace, clock)
    cert, key = tls or (None, None)
    about: dict[str, Any] = {"log_level": "warning", "access_log": False, "ssl_certfile": cert, "ssl_keyfile": key}
    server = uvicorn.Server(uvicorn.Config(application, host=host, port=port, **about))
    threading.Thread(target=_orphaned, args=(server, os.getppid()), name="parent", daemon=True).start()
    server.run()


def _orphaned(server: uvicorn.Server, parent: int) -> None:
    """End the server when the supervisor was killed: two control processes would judge one endpoint."""
    while os.getppid() == parent:
        time.sleep(PARENT)
    server.should_exit = True


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
        return {"judged": loop.judged, "exposures": loop.exposures, "clock": clock, "leads": loop.leads}

    def start(_: Request, body: Any) -> Any:
        others = body.get("others", []) if isinstance(body, dict) else []
        strategy = body.get("strategy") if isinstance(body, dict) else None
        if not (isinstance(others, list) and all(isinstance(one, str) for one in others)):
            raise RivalsError('"others" is a list of variants, as ["c", "d"].')
        if strategy not in {None, *STRATEGIES}:
            raise RivalsError(f'"strategy" is one of {", ".join(STRATEGIES)}.')
        names = (_field(body, "variant"), *others)
        return start_rollout(workspace, *names, strategy=strategy, by=_by(body), force=_flag(body, "force"))

    routes = [
        _metrics(workspace),
        _get("/api/clock", clocks),
        _get("/api/status", lambda _: status_of(workspace)),
        _get("/api/rollout", lambda _: rollout_of(workspace)),
        _get("/api/history", lambda _: history_of(workspace)),
        _get("/api/assignment", lambda _: assignment_of(workspace)),
        _get("/api/verify", lambda _: verify_ledger(workspace)),
        _get("/api/explain/{id:path}", lambda request: explain_request(workspace, request.path_params["id"])),
        _post("/api/rollouts", start),
        *(_post(f"/api/rollout/{name}", _steering(workspace, name)) for name in STEERING),
        *_fencing(workspace),
    ]
    routes += verdict_routes(Bench(workspace.store, time.time))
    routes.append(_get("/api/openapi.json", lambda _: openapi(routes)))
    middleware = [Middleware(BaseHTTPMiddleware, dispatch=_guard)]
    return Starlette(routes=routes, lifespan=lifespan, middleware=middleware)


def run_judge(bench: Bench, host: str, port: int) -> None:
    """Serve verdicts alone, without a project, until SIGTERM."""
    middleware = [Middleware(BaseHTTPMiddleware, dispatch=_guard)]
    application = Starlette(routes=list(verdict_routes(bench)), middleware=middleware)
    uvicorn.run(application, host=host, port=port, log_level="warning", access_log=False)


def verdict_routes(bench: Bench) -> list[Route]:
    """Verdicts for Argo Rollouts (by body), Flagger (by status) and anyone else, from counts they post."""
    return [
        _get("/api/verdict", lambda request: bench.get(request.query_params)),
        _post("/api/verdict", lambda request, body: bench.post(body, request.query_params), ("POST", "PUT")),
    ]


def openapi(routes: list[Route]) -> dict[str, Any]:
    """What can be asked here, in the form other tools read."""
    paths: dict[str, Any] = {}
    for route in routes:
        for method in sorted((route.methods or set()) - {"HEAD"}):
            summary = route.path.removeprefix("/api/").replace("/", " ")
            answer = {"200": {"description": "the answer"}, "400": {"description": "a sentence that says what to mend"}}
            paths.setdefault(route.path, {})[method.lower()] = {"summary": summary, "responses": answer}
    return {"openapi": "3.1.0", "info": {"title": "rivals control", "version": "1"}, "paths": paths}


def _metrics(workspace: Workspace) -> Route:
    """The same figures as the data plane's."""

    async def endpoint(request: Request) -> Response:
        raw, kind = await run_in_threadpool(metrics_of, workspace, request.headers.get("accept", ""))
        return Response(raw, headers={"Content-Type": kind})

    return Route("/metrics", endpoint, methods=["GET"])


def _steering(workspace: Workspace, name: str) -> Callable[[Request, Any], Any]:
    def answer(_: Request, body: Any) -> Any:
        if name == "rollback" and isinstance(body, dict) and isinstance(to := body.get("to"), int):
            return roll_back_to(workspace, to, by=_by(body))
        whose = body.get("variant", "") if isinstance(body, dict) else ""
        if not isinstance(whose, str):
            raise RivalsError('"variant" is the name of a variant.')
        return steer(workspace, name, whose, by=_by(body))

    return answer


def _fencing(workspace: Workspace) -> list[Route]:
    """What people put up around the endpoint; a body may say ``by``, and ``off`` to take it down."""
    answers: dict[str, Callable[[Any], Any]] = {
        "freeze": lambda body: freeze(workspace, off=_flag(body, "off"), by=_by(body)),
        "pin": lambda body: pin(workspace, _field(body, "variant"), by=_by(body)),
        "quarantine": lambda body: quarantine(workspace, _field(body, "variant"), off=_flag(body, "off"), by=_by(body)),
        "approve": lambda body: approve(workspace, by=_by(body)),
        "preflight": lambda body: run_preflight(workspace, by=_by(body)),
    }
    return [_post(f"/api/rollout/{name}", _of_body(answer)) for name, answer in answers.items()]


def _of_body(answer: Callable[[Any], Any]) -> Callable[[Request, Any], Any]:
    return lambda _request, body: answer(body)


def _by(body: Any) -> str:
    return _field(body, "by") if isinstance(body, dict) and "by" in body else ""


def _flag(body: Any, name: str) -> bool:
    value = body.get(name, False) if isinstance(body, dict) else False
    if not isinstance(value, bool):
        raise RivalsError(f"{name!r} is true or false.")
    return value


def _get(path: str, answer: Callable[[Request], Any]) -> Route:
    async def endpoint(request: Request) -> Response:
        return await _reply(lambda: answer(request))

    return Route(path, endpoint, methods=["GET"])


def _post(path: str, answer: Callable[[Request, Any], Any], methods: Sequence[str] = ("POST",)) -> Route:
    async def endpoint(request: Request) -> Response:
        raw = await request.body()
        return await _reply(lambda: answer(request, _decode(raw)))

    return Route(path, endpoint, methods=list(methods))


async def _reply(answer: Callable[[], Any]) -> Response:
    """The answer as JSON; our own errors as a status and one sentence."""
    try:
        value = await run_in_threadpool(answer)
        return _json(value.body, value.status) if isinstance(value, Reply) else _json(value)
    except Conflict as error:
        return _json({"error": str(error)}, 409)
    except StoreAway as error:
        return _json({"error": str(error)}, 503)
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
