"""Serve an endpoint: the first routing table, the workers, the control process."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from rivals.bundles import read_manifest
from rivals.errors import Conflict, MissingExtra, RivalsError, SpecError, StoreAway
from rivals.flows.alone import check_grpc, read_places
from rivals.flows.apart import follow_project, keep_apart
from rivals.flows.control import publish
from rivals.flows.learn import begin
from rivals.flows.routing import named_arms, standing_shadows
from rivals.flows.tied import policy_for
from rivals.flows.webhooks import check_secret
from rivals.flows.workspace import Workspace
from rivals.plugins import nearest
from rivals.registry.ledger import Ledger
from rivals.serve.question import Asked
from rivals.serve.reconcile import EndpointConfig, publish_endpoint, publish_lease, read_endpoint, read_table
from rivals.serve.supervisor import Supervisor, WorkerConfig
from rivals.serve.tls import Tls
from rivals.spec.project import CaptureSpec
from rivals.statistics.assignment import slots
from rivals.values import Arm, Column, RoutingTable

Clock = Literal["wall", "replay"]


def serve_project(
    workspace: Workspace,
    *,
    host: str,
    port: int,
    workers: int,
    control_port: int,
    grpc_port: int,
    places: Sequence[str] = (),
    tls: tuple[Path, Path] | None,
    clock: Clock,
    say: Callable[[str], None],
) -> None:
    """Serve until SIGTERM or SIGINT. What dies is started again; what is in flight is answered first."""
    if host not in {"127.0.0.1", "::1", "localhost"} and not os.environ.get("RIVALS_TOKEN"):
        raise RivalsError(f"--host {host} is open to others; set RIVALS_TOKEN first, or serve on loopback.")
    secure = Tls(*(str(path.resolve()) for path in tls)) if tls else None
    if secure:
        secure.context()  # refused here, not by every worker
    check_grpc(grpc_port)
    elsewhere = read_places(places, [variant.name for variant in workspace.spec.variants])
    if workspace.spec.monitoring.traces and not _installed("opentelemetry.exporter.otlp.proto.http"):
        raise MissingExtra("monitoring.traces needs OpenTelemetry: pip install 'rivals[otel]'.")
    check_secret(workspace)
    try:
        first_table(workspace)
        publish_endpoint(workspace.run_dir, endpoint_config(workspace, clock))
        publish(workspace)
    except StoreAway as error:  # workers need none: what was published last is still true
        if not (read_endpoint(workspace.run_dir) and (table := read_table(workspace.run_dir))):
            raise
        say(f"{error} Serving revision {table.revision}, as it was published last.")
    publish_lease(workspace.run_dir, 30.0)
    control = [sys.executable, "-m", "rivals", "control", *workspace.command]
    control += ["--host", host, "--control-port", str(control_port), "--clock", clock]
    control += ["--tls-cert", secure.cert, "--tls-key", secure.key] if secure else []
    scheme = "https" if secure else "http"
    configs = [
        WorkerConfig(
            str(workspace.run_dir), str(workspace.blobs.folder), slot, host, port, clock, grpc_port, secure, elsewhere
        )
        for slot in range(workers)
    ]
    name = workspace.endpoint.name
    say(f"{name}: {scheme}://{host}:{port}/v2/models/{name}/infer, {workers} workers")
    if grpc_port:
        say(f"grpc: {host}:{grpc_port}, inference.GRPCInferenceService")
    say(f"control: {scheme}://{host}:{control_port}/api/status")
    Supervisor(configs, [control]).run()


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even its parent
        return False


def first_table(workspace: Workspace) -> RoutingTable:
    """The table in force; where there is none yet, the project's champion takes everything."""
    store, endpoint = workspace.store, workspace.endpoint
    if table := store.table(endpoint.name):
        return follow_project(workspace, table, store.latest_time(endpoint.name) or 0.0)
    champion = endpoint.champion or _recommended(workspace)
    digest = workspace.trained(champion).digest
    policy = policy_for(workspace, champion, endpoint.policy)
    table = RoutingTable(
        endpoint=endpoint.name,
        revision=1,
        champion=champion,
        arms=(Arm(champion, digest, 1.0),),
        salt=secrets.token_hex(8),
        slots=slots([1.0]),
        shadows=tuple(standing_shadows(workspace, champion)),
        policy=policy,
        named=named_arms(workspace, policy),
    )
    try:
        with store.transaction() as tx:
            body = {"champion": champion, "digest": digest, "revision": 1}
            Ledger(store).append(tx, endpoint.name, "endpoint.started", 0.0, body)
            table = replace(keep_apart(tx, workspace, table), state=begin(tx, workspace, 1, table.named, 0.0))
            Ledger(store).set_table(tx, table, None, 0.0)
    except Conflict:  # another host was quicker
        return workspace.table()
    return table


def _recommended(workspace: Workspace) -> str:
    from rivals.flows.compare import compare_project  # noqa: PLC0415 -- serving needs nothing that training needs

    return compare_project(workspace).recommended


def endpoint_config(workspace: Workspace, clock: Clock) -> EndpointConfig:
    """What clients send: the inputs of every variant of the project, so that no challenger asks for more later."""
    columns: dict[str, Column] = {}
    names = {variant.name for variant in workspace.spec.variants}
    for trained in workspace.store.trained_all():
        if trained.variant not in names:
            continue
        for column in read_manifest(workspace.blobs.path(trained.digest)).signature.inputs:
            known = columns.get(column.name)
            columns[column.name] = column if known is None or column.nullable else known
    data, endpoint = workspace.spec.data, workspace.endpoint
    capture = endpoint.capture or CaptureSpec()
    brought = {*columns, endpoint.unit} | {name for name in (data.id, data.time) if name}
    for name in capture.redact:  # a misspelt one would be written down
        if name not in brought:
            told = nearest(name, sorted(brought))
            raise SpecError(f"endpoint.capture.redact: no request brings a column {name!r}.{told}")
    return EndpointConfig(
        name=endpoint.name,
        task=data.answers,
        unit=endpoint.unit,
        time=data.time,
        id=data.id,
        columns=tuple(columns.values()),
        slices=endpoint.rollout.slices,
        clock=clock,
        signed=endpoint.feedback.signed,
        rating=endpoint.feedback.rating,
        keep=capture.keep,
        capture=capture.features,
        redact=capture.redact,
        memory_mb=workspace.spec.limits.memory_mb,
        shelf_mb=endpoint.memory_mb,
        max_body_bytes=endpoint.max_body_mb << 20,
        asked=_asked(workspace),
        fallback=endpoint.fallback,
        cors=endpoint.cors,
        access_log=endpoint.access_log,
        traced=workspace.spec.monitoring.traces is not None,
    )


def _asked(workspace: Workspace) -> dict[str, Asked]:
    """How single variants are asked. Raises ``SpecError`` where an interpreter is none."""
    found = {}
    for name, one in workspace.endpoint.asked.items():
        python = workspace.folder / one.python if one.python else None
        if python and not os.access(python, os.X_OK):
            raise SpecError(
                f"endpoint.asked.{name}.python: {one.python} is no interpreter; name one as envs/old/bin/python."
            )
        found[name] = Asked(one.rows or 0, one.wait, one.at_once or 0, str(python.absolute()) if python else "")
    return found
