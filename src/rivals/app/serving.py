"""What answers, and what watches it: the verbs ``serve``, ``batch`` and ``drift``, and those that they call."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rivals.app.verb import Call, verb

TlsCert = Annotated[Path | None, typer.Option(help="A certificate chain (PEM): speak TLS on every port.")]
TlsKey = Annotated[Path | None, typer.Option(help="Its key (PEM).")]


class Clock(StrEnum):
    """Whose time it is."""

    WALL = "wall"
    REPLAY = "replay"


def add_to(app: typer.Typer) -> None:
    """Give ``app`` these verbs; the hidden ones are called by the first."""
    verb(app)(serve)
    verb(app, project=False)(serve_bundle)
    verb(app)(batch)
    verb(app)(drift)
    for one in (control, mirror, look):
        verb(app, hidden=True)(one)


def serve(
    call: Call,
    host: Annotated[str, typer.Option(help="Loopback unless RIVALS_TOKEN is set.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The data plane.")] = 8080,
    workers: Annotated[int, typer.Option(min=1, max=64)] = 1,
    control_port: Annotated[int, typer.Option(min=0, max=65535, help="The control plane.")] = 8090,
    grpc_port: Annotated[int, typer.Option(min=0, max=65535, help="gRPC beside HTTP; 0: none.")] = 0,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    place: Annotated[
        list[str] | None,
        typer.Option(metavar="VARIANT=URL", help="A server of that variant's bundle, see serve-bundle; repeatable."),
    ] = None,
    clock: Annotated[Clock, typer.Option(help="In a replay the rows bring their own time.")] = Clock.WALL,
) -> None:
    """Serve the endpoint: data plane, control API and the judge, until stopped."""
    from rivals.flows.serve import serve_project

    serve_project(
        call.workspace,
        host=host,
        port=port,
        workers=workers,
        control_port=control_port,
        grpc_port=grpc_port,
        places=place or (),
        tls=_pair(tls_cert, tls_key),
        clock=clock.value,
        say=call.say,
    )


def serve_bundle(
    call: Call,
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A bundle; the members of an ensemble lie beside it.")
    ],
    name: Annotated[str | None, typer.Option(help="The model's name in the URL; bundle if not said.")] = None,
    host: Annotated[str, typer.Option(help="Loopback unless RIVALS_TOKEN is set.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8080,
    grpc_port: Annotated[int, typer.Option(min=0, max=65535, help="gRPC beside HTTP; 0: none.")] = 0,
    workers: Annotated[int, typer.Option(min=1, max=64)] = 1,
) -> None:
    """Serve one bundle and nothing else: no project, no judge, no record. `rivals serve --place` asks it."""
    from rivals.flows.alone import serve_alone

    serve_alone(folder, name or "bundle", host=host, port=port, grpc_port=grpc_port, workers=workers, say=call.say)


def batch(
    call: Call,
    source: Annotated[Path, typer.Argument(metavar="IN", help="A Parquet or CSV file, or a folder of them.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A folder for Parquet files, in the order of the rows.")],
    variant: Annotated[str | None, typer.Option(help="One, or all; the champion if not said.")] = None,
    keep: Annotated[list[str] | None, typer.Option(help="A column to take over as it is; repeatable.")] = None,
    backend: Annotated[str, typer.Option("--backend", help="Where: local, or ray.")] = "local",
) -> None:
    """Score files of any size; what is killed goes on where it was."""
    from rivals.flows.batch import batch_project

    made = batch_project(call.workspace, source, out, variant, keep=keep or (), backend=backend, tell=call.say)
    call.show(made, f"{made.rows} rows through {', '.join(made.variants)}: {made.parts} parts in {made.out}")


def control(
    call: Call,
    host: str = "127.0.0.1",
    control_port: int = 8090,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    clock: Clock = Clock.WALL,
) -> None:
    """The control plane alone; `rivals serve` starts it."""
    from rivals.app.control import run

    run(call.workspace, host, control_port, clock.value, _pair(tls_cert, tls_key))


def mirror(call: Call) -> None:
    """Point MLflow's aliases at the routing table's champion and challenger; the control plane calls it."""
    from rivals.flows.control import mirror as follow

    follow(call.workspace)


def look(call: Call, until: float | None = None) -> None:
    """Look for drift in the windows that have ended; the control plane calls it, and serving comes first."""
    import os

    from rivals.flows.drift import look as look_at
    from rivals.flows.drift import record

    os.nice(10)
    look_at(call.workspace, until)
    record(call.workspace)


def drift(
    call: Call, html: Annotated[Path | None, typer.Option("--html", help="Also write a report, in one file.")] = None
) -> None:
    """Show what changed: on which column, since when, how much, which variants suffer, and what helps."""
    from rivals.app.show_drift import drift_text
    from rivals.flows.drift_report import drifted, write_report

    found = drifted(call.workspace)
    if html is not None:
        call.say(f"The report is in {write_report(found, html)}.")
    call.show(found, drift_text(found))


def _pair(cert: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    if (cert is None) != (key is None):
        raise typer.BadParameter("--tls-cert and --tls-key go together.")
    return (cert, key) if cert and key else None
