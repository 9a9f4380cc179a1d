"""What variants bear, and how many replicas that takes: the verbs ``capacity`` and ``simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rivals.app.verb import Call, verb

Variant = Annotated[str, typer.Argument(help="A variant of the project.")]


def add_to(app: typer.Typer) -> None:
    """Give ``app`` these verbs."""
    for one in (capacity, simulate):
        verb(app)(one)


def capacity(
    call: Call,
    variant: Variant,
    url: Annotated[str | None, typer.Option(help="Measure it there: http://host:8080/model, one replica.")] = None,
    rate: Annotated[float | None, typer.Option(min=0, help="Requests a second that one replica bears.")] = None,
    ready: Annotated[int | None, typer.Option(min=0, help="How many replicas are ready.")] = None,
    p99_ms: Annotated[float, typer.Option(min=0, help="What 99 % of answers may take.")] = 1_000.0,
    seconds: Annotated[float, typer.Option(min=0.1, help="For each number of clients.")] = 2.0,
) -> None:
    """Measure or say what a variant bears: no rollout gives it more (docs/capacity.md)."""
    import os

    from rivals.flows.capacity import tell, wanted
    from rivals.flows.knee import measure

    workspace = call.workspace
    if url is not None:
        folder = workspace.blobs.path(workspace.trained(workspace.spec_variant(variant)).digest)
        rate = measure(folder, url, seconds, p99_ms / 1e3, call.say, os.environ.get("RIVALS_TOKEN", "")).rate
    found = tell(workspace, variant, rate=rate, ready=ready)
    asked = wanted(workspace).get(variant)
    more = f"; {asked} are wanted" if asked else ""
    said = {"variant": variant, "rate": found.rate, "ready": found.ready, "wanted": asked}
    call.show(said, f"{variant}: {found.rate:.0f} requests/s a replica, {found.ready} ready{more}.")


def simulate(
    call: Call,
    variant: Variant,
    times: Annotated[
        Path | None, typer.Option(help="Arrivals in seconds, one a line; the store's if not said.")
    ] = None,
    share: Annotated[float, typer.Option(min=0, max=1, help="Of the recorded requests that it gets.")] = 1.0,
    factor: Annotated[float, typer.Option(min=0, help="As much traffic as was recorded.")] = 1.0,
    rate: Annotated[float | None, typer.Option(min=0, help="Of one replica; as measured if not said.")] = None,
    start: Annotated[float, typer.Option(min=0, help="Seconds until a new replica is ready.")] = 30.0,
) -> None:
    """Play recorded traffic against the project's scaling policy. Exit 1 if anything would be shed."""
    from rivals.flows import simulate as flow

    workspace = call.workspace
    arrivals = flow.read_times(times) if times else flow.recorded(workspace, share)
    found = flow.simulate_scaling(
        workspace, variant, arrivals, flow.policy_of(workspace, variant, rate, start), times=factor
    )
    call.show(found, found.sentence)
    if found.outcome.shed:
        raise typer.Exit(1)
