"""``rivals ci``: the files of a pipeline, and its jobs, one verb each."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated, Any

import typer

from rivals.app.verb import Call, exit_by, verb

ci_app = typer.Typer(help="A change on its way to production: pipelines, and the jobs in them.", no_args_is_help=True)

Id = Annotated[str, typer.Option("--id", envvar="RIVALS_PIPELINE", help="Of the pipeline.", show_default=False)]
By = Annotated[str, typer.Option("--by", help="Who says so; $RIVALS_USER or the user of the system if not said.")]
NOTHING = "The change affects no variant: nothing to do."


def add_to(app: typer.Typer) -> None:
    """Give ``app`` these verbs."""
    app.add_typer(ci_app, name="ci")


@verb(ci_app)
def init(call: Call, provider: Annotated[str, typer.Argument(help="gitlab, jenkins, circleci or github.")]) -> None:
    """Write the pipeline of the project (docs/ci.md)."""
    from rivals.flows.ci import init_pipeline

    file = init_pipeline(call.workspace, provider)
    call.show({"file": file}, f"{file} is written; its runners need rivals and RIVALS_STATE, see docs/ci.md.")


@verb(ci_app)
def data(call: Call) -> None:
    """Check the data against what it was at the first build. Exit 1: it is not."""
    from rivals.flows.pipeline import check_data

    broken = check_data(call.workspace)
    call.show(broken, "\n".join(broken) or "The data is what it was at the first build.")
    if broken:
        raise typer.Exit(1)


@verb(ci_app)
def plan(
    call: Call,
    pipeline: Id = "",
    output: Annotated[Path | None, typer.Option(help="Also append variants=[...] to this file.")] = None,
) -> None:
    """Find what the change affects, and begin the pipeline."""
    from rivals.flows.pipeline import append_output, plan_pipeline

    planned = plan_pipeline(call.workspace, pipeline)
    if output is not None:
        append_output(planned, output)
    call.show(planned, f"To build: {', '.join(planned.affected) or 'nothing'}.")


@verb(ci_app)
def train(
    call: Call,
    pipeline: Id = "",
    variant: Annotated[list[str] | None, typer.Option("--variant", help="Only this one; repeatable.")] = None,
) -> None:
    """Build what the change affects, and nothing else. Exit 1 if one failed."""
    from rivals.app.show import BuildDisplay, built_table
    from rivals.flows.pipeline import train_pipeline

    with BuildDisplay(quiet=call.quiet) as display:
        report = train_pipeline(call.workspace, pipeline, variant or (), display.update)
    if report is None:
        call.show({"built": []}, f"The change does not affect {', '.join(variant or ['any variant'])}.")
        return
    call.show(report, built_table(report))
    if report.failed:
        raise typer.Exit(1)


@verb(ci_app)
def gate(
    call: Call,
    pipeline: Id = "",
    junit: Annotated[Path | None, typer.Option(help="Write a JUnit report there.")] = None,
) -> None:
    """Ask whether the best of what was built anew may go live. Exit 1: no. Exit 4: not enough evidence to say."""
    from rivals.app import gate_report
    from rivals.flows.pipeline import gate_pipeline

    report = gate_pipeline(call.workspace, pipeline)
    if report is None:
        call.show(None, NOTHING)
        return
    if junit is not None:
        junit.write_text(gate_report.junit(report))
    call.show(report, gate_report.plain(report))
    exit_by(report.status.value)


@verb(ci_app)
def report(
    call: Call,
    pipeline: Id = "",
    markdown: Annotated[Path | None, typer.Option(help="Write it there; the screen if not said.")] = None,
    comment: Annotated[bool, typer.Option("--comment", help="Also on the merge request, if there is one.")] = False,
) -> None:
    """Say what the pipeline found, as Markdown: leaderboard, verdicts, slices, cost."""
    from rivals.flows.ci import comment_pipeline, report_pipeline

    text = report_pipeline(call.workspace, pipeline)
    if markdown is not None:
        markdown.write_text(text, encoding="utf-8")
    call.show({"markdown": text}, text.rstrip() if markdown is None else f"The report is in {markdown}.")
    if comment:
        call.say(comment_pipeline(text))


@verb(ci_app)
def image(call: Call, pipeline: Id = "") -> None:
    """Build the image of what passed the gate; says SKIPPED where there is no container tool."""
    from rivals.flows.ci import build_image

    said = build_image(call.workspace, pipeline)
    call.show({"image": said}, said)


@verb(ci_app)
def smoke(
    call: Call,
    pipeline: Id = "",
    url: Annotated[
        str, typer.Option(envvar="RIVALS_STAGING_URL", help="Of staging; a process of its own if not said.")
    ] = "",
    requests: Annotated[int, typer.Option(min=1, help="How many, by four clients at once.")] = 1000,
    p99_ms: Annotated[float, typer.Option(min=0.001, help="At most, over HTTP.")] = 250.0,
) -> None:
    """Serve what passed the gate, ask it real rows, alone and many at once. Exit 1: not all was well."""
    from rivals.flows.pipeline import candidate
    from rivals.flows.smoke import smoke as tried

    variant = candidate(call.workspace, pipeline)
    if not variant:
        call.show(None, NOTHING)
        return
    done = tried(call.workspace, variant, url=url, requests=requests, p99_ms=p99_ms)
    told = f"{done.requests} requests at {done.where}: p50 {done.p50_ms:.1f} ms, p99 {done.p99_ms:.1f} ms"
    call.show(done, "\n".join([f"{told}, {done.per_second:.0f} a second", *done.faults]))
    if done.faults:
        raise typer.Exit(1)


@verb(ci_app)
def canary(call: Call, pipeline: Id = "", by: By = "") -> None:
    """Start the rollout in production of what passed the gate."""
    from rivals.flows.pipeline import begin_canary

    said = begin_canary(call.workspace, pipeline, by=by)
    call.show({"started": said}, said)


@verb(ci_app)
def watch(
    call: Call,
    pipeline: Id = "",
    seconds: Annotated[float, typer.Option(help="Take it back if it is not decided after so long.")] = 3000.0,
) -> None:
    """Wait through rollout and window. Exit 0 promoted, 1 rolled back, 4 not decided in time and taken back."""
    from rivals.flows.pipeline import watch_pipeline

    signal.signal(signal.SIGTERM, _stopped)  # a cancelled job takes back what it was watching
    end = watch_pipeline(call.workspace, pipeline, seconds, call.say)
    call.show(end, end.sentence)
    exit_by(end.status.value)


@verb(ci_app)
def rollback(call: Call, pipeline: Id = "", by: By = "") -> None:
    """Give all traffic back to who had it before this pipeline; nothing to take back is no mistake."""
    from rivals.flows.pipeline import take_back

    said = take_back(call.workspace, pipeline, by=by)
    call.show({"rollback": said}, said)


def _stopped(*_: Any) -> None:
    raise KeyboardInterrupt
