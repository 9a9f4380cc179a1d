"""A worker process: ``python -m rivals.serve.server CONFIG``, where CONFIG is a ``WorkerConfig`` as JSON.

It loads what the routing table needs, listens on the port it shares with its siblings, and answers until SIGTERM,
SIGINT, or the end of the process that started it; then it ends what is under way, and goes.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import msgspec
import uvloop

from rivals.errors import RivalsError
from rivals.serve.access import AccessLog
from rivals.serve.asks import Asks
from rivals.serve.capture import Capture
from rivals.serve.clock import Clock
from rivals.serve.endpoint import Endpoint
from rivals.serve.exposition import publish_exemplars
from rivals.serve.http import Http
from rivals.serve.journal import FeedbackLog, Journal, Unrecorded
from rivals.serve.metrics import Counters, EndpointTally
from rivals.serve.question import Serving
from rivals.serve.reconcile import EndpointConfig, Reconciler, publish_obeyed, read_endpoint
from rivals.serve.routes import Routes
from rivals.serve.tls import Tls
from rivals.serve.tokens import Tokens, read_key

if TYPE_CHECKING:
    from rivals.serve.grpc_server import GrpcServer

log = logging.getLogger("rivals.server")

LOOK = 0.05  # seconds between two looks at the run directory
SWEEP = 1.0  # seconds between two looks at the connections
DRAIN = 10.0  # seconds that what is under way may take
SHADOWS_DRAIN = 1.0  # and that shadows have after that: nobody waits for them
FILES = 100  # descriptors that are no connections
YOUNG = 10_000  # objects made before the young are looked at: requests are many small ones, and none is in a circle
FULL = 70  # of ten such looks each to one at all: that one looks at every shadow that waits, and halts the loop
SWITCH = 0.0005  # seconds the shadows' thread may keep the interpreter while the loop waits


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """Where a worker works. ``slot`` tells it from its siblings, and its journal from theirs."""

    run_dir: str
    bundles: str
    slot: int
    host: str = "127.0.0.1"
    port: int = 8080
    clock: str = "wall"
    grpc_port: int = 0  # none
    tls: Tls | None = None
    places: Mapping[str, str] = field(default_factory=dict)  # by variant: the URL of the server that answers for it


def main() -> None:
    """Run a worker as its command line says."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    os.umask(0o077)
    sys.setswitchinterval(SWITCH)
    try:
        config = msgspec.json.decode(sys.argv[1], type=WorkerConfig)
        uvloop.run(work(config))
    except (RivalsError, msgspec.MsgspecError, IndexError) as error:
        log.error("worker.failed reason=%s", error)  # noqa: TRY400 -- a sentence, not a traceback
        sys.exit(1)


async def work(config: WorkerConfig) -> None:
    """Load, listen, answer, drain. Raises ``RivalsError`` where it cannot begin."""
    token = os.environ.get("RIVALS_TOKEN", "")
    check_host(config.host, token)
    run_dir, parent, loop = Path(config.run_dir), os.getppid(), asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    promised = read_endpoint(run_dir)
    if promised is None:
        raise RivalsError("There is no endpoint.json in the run directory; `rivals serve` writes it.")
    if config.clock == "replay" and not promised.time:
        raise RivalsError("A replay takes the time from the rows: name the column with 'time' under 'data'.")
    reconciler = Reconciler(run_dir, Path(config.bundles), promised, config.places, token)
    serving = await _first(reconciler, stop, parent)
    if serving is None:
        return
    worker = _Worker(config, promised, reconciler, serving, token)
    try:
        await worker.serve(stop, parent)
    finally:
        worker.close()


def check_host(host: str, token: str) -> None:
    """Refuse to be open to others without a token. Raises ``RivalsError``."""
    if not token and host not in {"127.0.0.1", "::1", "localhost"}:
        raise RivalsError(f"{host} is open to others; set RIVALS_TOKEN first, or serve on 127.0.0.1.")


async def _first(reconciler: Reconciler, stop: asyncio.Event, parent: int) -> Serving | None:
    """Wait for something to answer from; nobody can knock before. None: stopped while waiting."""
    while not stop.is_set() and os.getppid() == parent:
        if serving := await reconciler.look():
            return serving
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LOOK)
    return None


class _Worker:
    """Everything one worker holds, put together."""

    def __init__(
        self, config: WorkerConfig, promised: EndpointConfig, reconciler: Reconciler, serving: Serving, token: str
    ) -> None:
        self._config, self._reconciler = config, reconciler
        loop, run_dir = asyncio.get_running_loop(), reconciler.run_dir
        self._journal: Journal | Unrecorded = Unrecorded()
        if promised.recorded:  # first: it holds the slot
            self._journal = Journal(run_dir, config.slot, promised.name)
        self._counters = Counters(run_dir / "metrics", config.slot)
        self._tally = tally = EndpointTally(self._counters, promised.name)
        self._feedback = FeedbackLog(run_dir, config.slot) if promised.recorded else None
        post = loop.call_soon_threadsafe
        rng = Random()  # noqa: S311 -- who is paired with a shadow is no secret
        capture = Capture(promised.capture, promised.redact) if promised.capture else None
        self._endpoint = Endpoint(serving, self._journal, tally, loop.call_soon, post, loop.call_later, rng, capture)
        tokens = Tokens(read_key(run_dir), promised.keep) if promised.signed else None
        clock = Clock(config.clock == "replay")
        asks = Asks(self._endpoint, clock, promised.unit_header, tokens, traced=promised.traced)
        self._grpc: GrpcServer | None = None
        if config.grpc_port:
            from rivals.serve.grpc_server import GrpcServer  # noqa: PLC0415 -- an extra, and tenths of a second

            counters, most = run_dir / "metrics", promised.max_body_bytes
            place = (promised.name, config.host, config.grpc_port)
            self._grpc = GrpcServer(asks, *place, most=most, counters=counters, token=token, tls=config.tls)
        self._routes = Routes(
            promised,
            self._endpoint,
            reconciler,
            tally,
            self._feedback,
            asks=asks,
            counters=run_dir / "metrics",
            post=post,
            token=token,
        )
        self._http = Http(self._routes.handle, promised.max_body_bytes, _descriptors() - FILES)
        self._access = AccessLog(run_dir, config.slot) if promised.access_log else None
        if self._access:
            self._http.access = self._access.told

    async def serve(self, stop: asyncio.Event, parent: int) -> None:
        """Listen and answer until ``stop``, or until ``parent`` is gone; then let everything end."""
        loop, config = asyncio.get_running_loop(), self._config
        self._http.sweep()
        secure = config.tls.context() if config.tls else None
        server = await loop.create_server(
            self._http, config.host, config.port, reuse_port=True, backlog=1024, ssl=secure
        )
        if self._grpc:
            await self._grpc.start()
        publish_obeyed(self._reconciler.run_dir, config.slot, self._endpoint.serving.table.revision)
        log.info("worker.started slot=%d pid=%d port=%d", config.slot, os.getpid(), config.port)
        spare_collections()
        swept = time.monotonic()
        while not stop.is_set() and os.getppid() == parent:
            if serving := await self._reconciler.look():
                self._endpoint.swap(serving)
                await asyncio.to_thread(publish_obeyed, self._reconciler.run_dir, config.slot, serving.table.revision)
            self._endpoint.lease_until = self._reconciler.lease_until
            if time.monotonic() - swept >= SWEEP:
                swept = time.monotonic()
                self._http.sweep()
                if found := self._tally.exemplars():
                    await asyncio.to_thread(publish_exemplars, self._reconciler.run_dir, config.slot, found)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK)
        self._routes.draining = True
        server.close()
        self._http.drain()
        if self._grpc:
            await self._grpc.stop(DRAIN)
        deadline = time.monotonic() + DRAIN
        while (self._http.connections or not self._endpoint.answered) and time.monotonic() < deadline:  # noqa: ASYNC110 -- two conditions, for some milliseconds
            await asyncio.sleep(LOOK / 5)
        deadline = min(deadline, time.monotonic() + SHADOWS_DRAIN)
        while not self._endpoint.idle and time.monotonic() < deadline:  # noqa: ASYNC110 -- as above
            await asyncio.sleep(LOOK / 5)
        log.info("worker.stopped slot=%d left=%d", config.slot, len(self._http.connections))

    def close(self) -> None:
        """Let go of everything."""
        self._endpoint.close()
        if self._feedback:
            self._feedback.close()
        self._journal.close()
        self._counters.close()
        if self._access:
            self._access.close()


def spare_collections() -> None:
    """What is loaded now stays, and collections need not look at it; what comes, they look at seldom."""
    gc.freeze()
    gc.set_threshold(YOUNG, 10, FULL)


def _descriptors() -> int:
    """Files this process may have open: as many as the system lets it ask for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 65_536) if hard != resource.RLIM_INFINITY else 65_536
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(wanted, soft)


if __name__ == "__main__":
    main()
