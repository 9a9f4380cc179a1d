"""Training anew: the verbs ``retrain`` and ``autopilot``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rivals.app.verb import Call, verb


def add_to(app: typer.Typer) -> None:
    """Give ``app`` these verbs."""
    for one in (retrain, autopilot):
        verb(app)(one)


def retrain(
    call: Call,
    by: Annotated[str, typer.Option("--by", help="Who says so; $RIVALS_USER or the user of the system.")] = "",
    due: Annotated[bool, typer.Option("--due", help="Only if a schedule or new data ask for it.")] = False,
    asked: Annotated[bool, typer.Option("--asked", hidden=True, help="What the control process has begun.")] = False,
) -> None:
    """Train new challengers now, at low priority, and roll them out. Exit 1: the gate refused them."""
    from rivals.app.show import BuildDisplay
    from rivals.flows.retrain import as_asked, by_hand, by_schedule

    with BuildDisplay(quiet=call.quiet) as display:
        if due or asked:
            found = (as_asked if asked else by_schedule)(call.workspace, display.update)
        else:
            found = by_hand(call.workspace, by, display.update)
    if found is None:
        call.show(None, "No training is due.")
        return
    call.show(found, found.sentence)
    if not found.good:
        raise typer.Exit(1)


def autopilot(
    call: Call,
    data: Annotated[
        str, typer.Argument(help="A Parquet or CSV file, or module:function; the source if not said.")
    ] = "",
    speed: Annotated[float | None, typer.Option(min=0, help="Times real time; as fast as it goes if not said.")] = None,
    due: Annotated[str | None, typer.Option(help="The column that says when a label comes.")] = None,
    monthly: Annotated[
        bool, typer.Option("--monthly", help="Also retrain every month, to compare: a training for each.")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="Also write a report: .html, or .md.")] = None,
) -> None:
    """Stream time-ordered rows with late labels through the whole loop, in virtual time: a rehearsal."""
    from rivals.flows.autopilot import autopilot as fly
    from rivals.flows.autopilot import read_data
    from rivals.flows.autopilot_report import markdown, report_of, write_report
    from rivals.flows.monthly import others_of

    workspace = call.workspace
    frame = read_data(workspace, data) if data else None
    flown = fly(workspace, frame, due=due, speed=speed or None, say=call.say)
    found = report_of(flown, others_of(flown, call.say) if monthly else None)
    if report is not None:
        call.say(f"The report is in {write_report(found, report)}.")
    call.show(found, markdown(found))
