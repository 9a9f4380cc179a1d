"""The command line: one command per flow, each imported when it is called, so that ``--help`` is quick.

Exit codes: 0 done, 1 the answer is no, 2 a mistake of the user's, 3 a mistake of ours, 4 not enough evidence to say.
"""

from __future__ import annotations

import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rivals.app import ci, deploying, provenance, scaling, serving, training
from rivals.app.steering import rollout_app
from rivals.app.verb import Call, exit_by, verb
from rivals.errors import Refused, RivalsError

app = typer.Typer(
    help="Many model variants: built side by side, compared honestly, served and decided on evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(rollout_app, name="rollout")

JUDGE = Path(".rivals/judge.db")
HERE = Path()


def main() -> None:
    """Run the command line; no traceback reaches a user unless ``RIVALS_DEBUG=1``."""
    try:
        app()
    except Refused as refused:
        _end(str(refused), 1)
    except RivalsError as error:
        _end(str(error), 2)
    except ModuleNotFoundError as error:
        from rivals.plugins import extra_for

        _end(f"This needs the package {error.name!r}, which is not installed: {extra_for(error.name)}.", 2)
    except KeyboardInterrupt:
        _end("Stopped; what was finished is kept.", 130)
    except Exception as error:  # noqa: BLE001 -- the last line of defence between a bug of ours and the user
        _end(f"A mistake of ours: {type(error).__name__}: {error}. RIVALS_DEBUG=1 shows where.", 3)


def _end(message: str, code: int) -> None:
    if os.environ.get("RIVALS_DEBUG") == "1":
        raise  # noqa: PLE0704 -- called from except clauses only
    typer.echo(message, err=True)
    sys.exit(code)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the project file."""
    import json

    from rivals.plugins import names
    from rivals.protocols import DOORS
    from rivals.spec.schema import schema as schema_of

    typer.echo(json.dumps(schema_of({door.__name__: names(door) for door in DOORS}), indent=2))


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="A folder without a project file; made if it is not there.")] = HERE,
    template: Annotated[str, typer.Option("--template", help="What to begin with.")] = "binary",
) -> None:
    """Make a project that runs as it is."""
    from rivals.flows.init import init_project

    made = init_project(folder, template)
    typer.echo(f"{', '.join(made)} in {folder}; next: cd {folder} && rivals train && rivals compare")


@verb(app)
def doctor(call: Call) -> None:
    """Say what is wrong with this installation, and with the project if there is one. Exit 1 if something is."""
    from rivals.flows.doctor import examine

    found = examine(call.file, call.settings)
    call.show(found, "\n".join(f"{one.state:<8} {one.what}: {one.told}" for one in found))
    if any(one.state == "broken" for one in found):
        raise typer.Exit(1)


@verb(app)
def migrate(
    call: Call, to: Annotated[str, typer.Option("--to", help="A revision, as 0001; this rivals' own if not said.")] = ""
) -> None:
    """Bring the store to a revision, forwards or backwards. SQLite needs no asking; stop all that use PostgreSQL."""
    from rivals.flows.migrate import migrate_store

    done = migrate_store(call.workspace, to)
    was = f", it was at {done.before}" if done.before not in {None, done.after} else ""
    call.show(done, f"The store is at revision {done.after}{was}.")


@verb(app)
def plan(call: Call) -> None:
    """Show what would be built, and what is built already."""
    from rivals.flows.train import plan_project

    waves = plan_project(call.workspace)
    call.show(waves, "\n".join(f"{name}: {why}" for name, why in waves.items()))


@verb(app)
def why(call: Call, variant: str) -> None:
    """Say why a variant would be built again. Exit 1 if it would."""
    from rivals.flows.train import why_project

    causes = why_project(call.workspace, variant)
    call.show(causes, "\n".join(causes) or f"{variant} is built already; nothing it comes from has changed.")
    if causes:
        raise typer.Exit(1)


@verb(app)
def train(
    call: Call,
    variant: Annotated[list[str] | None, typer.Option("--variant", help="Only this one; repeatable.")] = None,
    backend: Annotated[str, typer.Option("--backend", help="Where: local, or ray.")] = "local",
) -> None:
    """Build what is missing: all variants side by side. Exit 1 if one failed; the others finish."""
    from rivals.app.show import BuildDisplay, built_table
    from rivals.flows.train import train_project

    with BuildDisplay(quiet=call.quiet) as display:
        report = train_project(call.workspace, variant or (), display.update, backend)
    call.show(report, built_table(report))
    if report.failed:
        raise typer.Exit(1)


@verb(app)
def compare(
    call: Call,
    metric: Annotated[
        str | None, typer.Option("--metric", help="The deciding metric; the first one if not said.")
    ] = None,
    column: Annotated[str | None, typer.Option("--slice", help="Also on every value of this column.")] = None,
    threshold: Annotated[
        str | None, typer.Option("--threshold", help="Binary: 1 is said from here up; best: each variant's own.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Also write a report, in one file.")] = None,
    leaks: Annotated[
        bool, typer.Option("--leaks", help="First fit null models, in which nothing can be learned. Exit 1: one did.")
    ] = False,
) -> None:
    """Rank the variants from the prediction bank: score, interval, tie group, verdict, cost."""
    from rivals.app.answers import answered_text, document
    from rivals.flows.asked import ask

    if leaks:
        from rivals.flows.watch import watch_project

        leaking = [f"{name}: {leak.reason}" for name, some in watch_project(call.workspace).items() for leak in some]
        if leaking:
            raise Refused("\n".join(leaking))
    asked = ask(call.workspace)
    found = asked.answer(metric, column, threshold)
    if html is not None:
        from rivals.flows.report import write_report

        call.say(f"The report is in {write_report(asked, found, html, column or '')}.")
    call.show(document(found), answered_text(found))


@verb(app)
def gate(
    call: Call,
    variant: Annotated[str | None, typer.Argument(help="The candidate; the recommended one if not said.")] = None,
    md: Annotated[Path | None, typer.Option(help="Write a Markdown report there.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write a JUnit report there.")] = None,
) -> None:
    """Ask whether a variant may go live. Exit 1: no. Exit 4: not enough evidence to say."""
    from rivals.app import gate_report
    from rivals.flows.gate import gate_project

    report = gate_project(call.workspace, variant)
    for file, written in ((md, gate_report.markdown), (junit, gate_report.junit)):
        if file is not None:
            file.write_text(written(report))
    call.show(report, gate_report.plain(report))
    exit_by(report.status.value)


serving.add_to(app)  # here, for this is the order of --help


@verb(app)
def status(call: Call) -> None:
    """Show what runs: champion, weights, rollout, evidence, counts."""
    from rivals.app.show import status_text
    from rivals.flows.status import status_of

    now = status_of(call.workspace)
    call.show(now, status_text(now))


@verb(app)
def history(call: Call) -> None:
    """Show what was decided, and on what evidence."""
    from rivals.app.show import history_text
    from rivals.flows.status import history_of

    entries = history_of(call.workspace)
    call.show(entries, history_text(entries))


@verb(app)
def explain(
    call: Call,
    request_id: Annotated[str, typer.Argument(help="A request's id, or an exposure's: <request id>/<row>.")],
    policy: Annotated[Path | None, typer.Option(help="YAML with keys of endpoint.rollout.")] = None,
) -> None:
    """Say why a request went where it went; with --policy, where another policy would have sent it."""
    from rivals.app.show import explain_text
    from rivals.flows.explain import explain_request

    why = explain_request(call.workspace, request_id, policy)
    call.show(why, explain_text(why))


@verb(app)
def feedback(
    call: Call,
    path: Annotated[
        Path, typer.Argument(help="JSON lines, CSV or Parquet: id, or unit, from and to; label, reward or rating.")
    ],
) -> None:
    """Take labels, rewards and ratings in bulk, by exposure id or by unit and time."""
    from rivals.flows.feedback import take_feedback

    taken = take_feedback(call.workspace, path)
    told = f"{taken['unknown']} of no exposure yet, {taken['contradicting']} contradicted and void"
    call.show(taken, f"{taken['read']} read, {taken['new']} new; in all {told}.")


@verb(app)
def forget(call: Call, unit: Annotated[str, typer.Argument(help="As requests named it.")]) -> None:
    """Erase what is known of a unit: exposures, inputs, feedback. The ledger stays whole, and says that it was done."""
    from rivals.flows.forget import forget_unit

    done = forget_unit(call.workspace, unit)
    call.show(done, f"{done['erased']} exposures erased.")


@verb(app)
def verify(call: Call) -> None:
    """Derive every decision again from what it was made from. Exit 1 names the first entry that is not as it was."""
    from rivals.flows.verify import verify_ledger

    found = verify_ledger(call.workspace)
    erased = f", {found['erased']} rest on what was erased" if found["erased"] else ""
    told = f"{found['derived']} of {found['judged']} decisions derived again{erased}"
    call.show(found, f"{found['entries']} entries, the chain holds, {told}; its head is {found['head']}.")


@verb(app)
def replay(
    call: Call,
    rollout: Annotated[str, typer.Argument(help="A rollout's id or challenger; all if not said.")] = "",
    policy: Annotated[
        Path | None,
        typer.Option(help="YAML with keys of endpoint.rollout, or with one of policy, weights, variant: their worth."),
    ] = None,
) -> None:
    """Derive every decision again; with --policy, say what another one would have decided, or have earned."""
    from rivals.app.show import replay_text, worth_text
    from rivals.flows.replay import replay as told
    from rivals.flows.worth import asked_by, worth

    if policy is not None and (asked := asked_by(policy)) is not None:
        value = worth(call.workspace, asked)
        call.show(value, worth_text(value))
        exit_by("inconclusive" if value.estimates.refused else "pass")
        return
    found = told(call.workspace, policy, rollout)
    call.show(found, replay_text(found))


class What(StrEnum):
    """What can be exported."""

    ASSIGNMENT = "assignment"
    SCHEMA = "schema"
    MONITORING = "monitoring"


@verb(app)
def export(
    call: Call,
    what: Annotated[
        What,
        typer.Argument(
            help="assignment: who meets which variant; schema: of the data, for pandera; monitoring: files for "
            "Prometheus, Alertmanager, Grafana and Datadog."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="A file, the screen if not said; of monitoring a folder of that name.")
    ] = None,
    target: Annotated[str, typer.Option(help="Of monitoring: where the endpoint answers.")] = "127.0.0.1:8080",
) -> None:
    """Write what others can follow without rivals (docs/assignment.md, docs/monitoring.md)."""
    from rivals.flows.status import assignment_of

    if what is What.MONITORING:
        from rivals.flows.monitoring import export_monitoring

        written = export_monitoring(call.workspace, out or Path("monitoring"), target=target)
        call.show([str(path) for path in written], "\n".join(map(str, written)))
        return
    if what is What.SCHEMA:
        from rivals.flows.schema import schema_script

        text = schema_script(call.workspace).rstrip()
    else:
        text = json.dumps(assignment_of(call.workspace), indent=1)
    if out is None:
        typer.echo(text)
        return
    out.write_text(text + "\n")
    call.show({what.value: str(out)}, f"{what.value} written to {out}")


@verb(app, project=False)
def certify(
    call: Call, quick: Annotated[bool, typer.Option("--quick", help="200 rollouts of each kind, not 2,000.")] = False
) -> None:
    """Simulate rollouts and show how often their judge is wrong, and how often it finds harm. Exit 1: too often."""
    from rivals.app.show import certificate_text
    from rivals.flows.certify import certify as simulate

    found = simulate(quick=quick, say=call.say)
    call.show(found, certificate_text(found))
    if found.faults:
        raise typer.Exit(1)


@verb(app, project=False)
def audit(
    call: Call,
    log: Annotated[Path, typer.Argument(help="Parquet or CSV: time, variant, and failed, label and score, or reward.")],
    champion: Annotated[str | None, typer.Option(help="The variant that was there first, if not obvious.")] = None,
    share: Annotated[float | None, typer.Option(help="What the challenger was promised, if no column says it.")] = None,
    decided: Annotated[str | None, typer.Option(help="promote, rollback or hold, if no column says it.")] = None,
) -> None:
    """Judge rollouts made elsewhere from their logs. Exit 1: one was wrong or mis-split. Exit 4: underpowered."""
    from rivals.app.show import audit_text
    from rivals.flows.audit import audit_log, conclusion

    audits = audit_log(log, champion=champion, share=share, decided=decided)
    call.show(audits, audit_text(audits))
    exit_by(conclusion(audits))


@verb(app, project=False)
def judge(
    call: Call,
    host: Annotated[str, typer.Option(help="Loopback unless RIVALS_TOKEN is set.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8090,
    store: Annotated[Path, typer.Option(help="What it remembers between posts; an SQLite file.")] = JUDGE,
) -> None:
    """Serve POST /api/verdict alone: verdicts for Argo Rollouts, Flagger or anyone, from counts they post."""
    import time

    from rivals.app.control import run_judge
    from rivals.flows.verdict import open_bench

    bench = open_bench(store, host, time.time)
    call.say(f"verdicts: http://{host}:{port}/api/verdict, remembered in {store}")
    run_judge(bench, host, port)


provenance.add_to(app)
deploying.add_to(app)
scaling.add_to(app)
training.add_to(app)
ci.add_to(app)
