"""The command line: one command per flow, each imported when it is called, so that ``--help`` is quick.

Exit codes: 0 done, 1 the answer is no, 2 a mistake of the user's, 3 a mistake of ours, 4 not enough evidence to say.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rivals.errors import Refused, RivalsError

if TYPE_CHECKING:
    from rivals.flows.workspace import Workspace

app = typer.Typer(
    help="Many model variants: built side by side, compared honestly, served and decided on evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
rollout_app = typer.Typer(help="Steer the rollout of a challenger.", no_args_is_help=True)
app.add_typer(rollout_app, name="rollout")


class Clock(StrEnum):
    """Whose time it is."""

    WALL = "wall"
    REPLAY = "replay"


File = Annotated[Path, typer.Option("-f", "--file", help="The project file.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="key=value on top of the project file; repeatable.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, everything else on stderr.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but errors and the answer.")]
PROJECT = Path("rivals.yaml")

NOT_ENOUGH = 4  # exit code: not enough evidence to say


@dataclass(frozen=True, slots=True)
class Face:
    """How one call speaks: JSON or text, and whether it tells what it does."""

    json: bool
    quiet: bool

    def say(self, message: str) -> None:
        """Progress, on stderr."""
        if not self.quiet:
            typer.echo(message, err=True)

    def show(self, value: Any, text: str) -> None:
        """The answer, on stdout."""
        if self.json:
            import msgspec  # noqa: PLC0415 -- only where JSON is asked for

            typer.echo(msgspec.json.encode(value).decode())
        else:
            typer.echo(text)


def main() -> None:
    """Run the command line; no traceback reaches a user unless ``RIVALS_DEBUG=1``."""
    try:
        app()
    except Refused as refused:
        _end(str(refused), 1)
    except RivalsError as error:
        _end(str(error), 2)
    except ModuleNotFoundError as error:
        from rivals.plugins import extra_for  # noqa: PLC0415 -- only where something is missing

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


def _open(file: Path, settings: Sequence[str] | None) -> Workspace:
    from rivals.flows.workspace import open_workspace  # noqa: PLC0415 -- flows load when a verb is called

    return open_workspace(file, settings or ())


@app.command()
def schema() -> None:
    """Print the JSON Schema of the project file."""
    import json  # noqa: PLC0415 -- only this verb needs it

    from rivals.spec.project import ProjectSpec  # noqa: PLC0415 -- only this verb needs it

    typer.echo(json.dumps(ProjectSpec.model_json_schema(by_alias=True), indent=2))


@app.command()
def plan(file: File = PROJECT, settings: Settings = None, as_json: Json = False, quiet: Quiet = False) -> None:
    """Show what would be built, and what is built already."""
    from rivals.flows.train import plan_project  # noqa: PLC0415

    waves = plan_project(_open(file, settings))
    Face(as_json, quiet).show(waves, "\n".join(f"{name}: {why}" for name, why in waves.items()))


@app.command()
def train(
    file: File = PROJECT,
    variant: Annotated[list[str] | None, typer.Option("--variant", help="Only this one; repeatable.")] = None,
    settings: Settings = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build what is missing: all variants side by side. Exit 1 if one failed; the others finish."""
    from rivals.app.show import BuildDisplay, built_table  # noqa: PLC0415
    from rivals.flows.train import train_project  # noqa: PLC0415

    face = Face(as_json, quiet)
    with BuildDisplay(quiet=quiet) as display:
        report = train_project(_open(file, settings), variant or (), display.update)
    face.show(report, built_table(report))
    if report.failed:
        raise typer.Exit(1)


@app.command()
def compare(
    file: File = PROJECT,
    metric: Annotated[
        str | None, typer.Option("--metric", help="The deciding metric; the first one if not said.")
    ] = None,
    settings: Settings = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Rank the variants from the prediction bank: score, interval, tie group, verdict, cost."""
    from rivals.app.show import leaderboard_table  # noqa: PLC0415
    from rivals.flows.compare import compare_project  # noqa: PLC0415

    board = compare_project(_open(file, settings), metric)
    Face(as_json, quiet).show(board, leaderboard_table(board))


@app.command()
def gate(
    variant: Annotated[str | None, typer.Argument(help="The candidate; the recommended one if not said.")] = None,
    file: File = PROJECT,
    settings: Settings = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Ask whether a variant may go live. Exit 1: no. Exit 4: not enough evidence to say."""
    from rivals.flows.gate import gate_project  # noqa: PLC0415

    report = gate_project(_open(file, settings), variant)
    text = "\n".join(f"{v.judge}: {v.status.value}: {v.reason}" for v in report.verdicts)
    Face(as_json, quiet).show(report, f"{text}\n{report.variant}: {report.status.value}".strip())
    _exit_by(report.status.value)


@app.command()
def serve(
    file: File = PROJECT,
    host: Annotated[str, typer.Option(help="Loopback unless RIVALS_TOKEN is set.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The data plane.")] = 8080,
    workers: Annotated[int, typer.Option(min=1, max=64)] = 1,
    control_port: Annotated[int, typer.Option(min=0, max=65535, help="The control plane.")] = 8090,
    clock: Annotated[Clock, typer.Option(help="In a replay the rows bring their own time.")] = Clock.WALL,
    settings: Settings = None,
    quiet: Quiet = False,
) -> None:
    """Serve the endpoint: data plane, control API and the judge, until stopped."""
    from rivals.flows.serve import serve_project  # noqa: PLC0415

    serve_project(
        _open(file, settings),
        host=host,
        port=port,
        workers=workers,
        control_port=control_port,
        clock=clock.value,
        settings=settings or (),
        say=Face(False, quiet).say,
    )


@app.command(hidden=True)
def control(
    file: File = PROJECT,
    host: str = "127.0.0.1",
    control_port: int = 8090,
    clock: Clock = Clock.WALL,
    settings: Settings = None,
) -> None:
    """The control plane alone; `rivals serve` starts it."""
    from rivals.app.control import run  # noqa: PLC0415

    run(_open(file, settings), host, control_port, clock.value)


@app.command(hidden=True)
def mirror(file: File = PROJECT) -> None:
    """Point MLflow's aliases at the routing table's champion and challenger; the control plane calls it."""
    from rivals.flows.control import mirror as follow  # noqa: PLC0415

    follow(_open(file, ()))


@app.command()
def status(file: File = PROJECT, settings: Settings = None, as_json: Json = False, quiet: Quiet = False) -> None:
    """Show what runs: champion, weights, rollout, evidence, counts."""
    from rivals.app.show import status_text  # noqa: PLC0415
    from rivals.flows.status import status_of  # noqa: PLC0415

    now = status_of(_open(file, settings))
    Face(as_json, quiet).show(now, status_text(now))


@app.command()
def history(file: File = PROJECT, settings: Settings = None, as_json: Json = False, quiet: Quiet = False) -> None:
    """Show what was decided, and on what evidence."""
    from rivals.app.show import history_text  # noqa: PLC0415
    from rivals.flows.status import history_of  # noqa: PLC0415

    entries = history_of(_open(file, settings))
    Face(as_json, quiet).show(entries, history_text(entries))


@app.command()
def explain(
    request_id: Annotated[str, typer.Argument(help="A request's id, or an exposure's: <request id>/<row>.")],
    file: File = PROJECT,
    settings: Settings = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say why a request went where it went."""
    from rivals.app.show import explain_text  # noqa: PLC0415
    from rivals.flows.status import explain_request  # noqa: PLC0415

    why = explain_request(_open(file, settings), request_id)
    Face(as_json, quiet).show(why, explain_text(why))


@app.command()
def feedback(
    path: Annotated[Path, typer.Argument(help="JSON lines, CSV or Parquet with the columns id and label or reward.")],
    file: File = PROJECT,
    settings: Settings = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Take labels and rewards in bulk, by exposure id."""
    from rivals.flows.feedback import take_feedback  # noqa: PLC0415

    taken = take_feedback(_open(file, settings), path)
    Face(as_json, quiet).show(taken, f"{taken['read']} read, {taken['new']} new.")


@app.command()
def verify(file: File = PROJECT, settings: Settings = None, as_json: Json = False, quiet: Quiet = False) -> None:
    """Check the ledger's chain, digests and verdicts. A broken entry is named."""
    from rivals.flows.verify import verify_ledger  # noqa: PLC0415

    found = verify_ledger(_open(file, settings))
    Face(as_json, quiet).show(found, f"{found['entries']} entries, the chain holds; its head is {found['head']}.")


@rollout_app.command("start")
def rollout_start(
    variant: str, file: File = PROJECT, settings: Settings = None, as_json: Json = False, quiet: Quiet = False
) -> None:
    """Start a challenger in the shadow. Exit 1 if a decision is expected past the deadline."""
    from rivals.flows.rollout import start_rollout  # noqa: PLC0415

    started = start_rollout(_open(file, settings), variant)
    Face(as_json, quiet).show(started, started.sentence)
    if started.too_long:
        raise typer.Exit(1)


def _steer(name: str, doc: str) -> None:
    def command(file: File = PROJECT, settings: Settings = None, as_json: Json = False, quiet: Quiet = False) -> None:
        from rivals.flows.rollout import steer  # noqa: PLC0415

        now = steer(_open(file, settings), name)
        Face(as_json, quiet).show(now, f"{now.challenger.variant}: {now.phase.value} {now.reason}".rstrip())

    command.__doc__ = doc
    rollout_app.command(name)(command)


_steer("pause", "Give all live traffic to the champion for now; shadowing and judging rest.")
_steer("resume", "Go on where it was paused.")
_steer("promote", "Make the challenger the champion now, on your word; the ledger says so.")
_steer("rollback", "Give all traffic back to the champion; of a promoted challenger, to the one before it.")


@rollout_app.command("watch")
def rollout_watch(
    file: File = PROJECT,
    seconds: Annotated[float, typer.Option(help="Give up after so long; exit 4.")] = 3600.0,
    settings: Settings = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Wait for the rollout's end. Exit 0 promoted, 1 rolled back, 4 held or still running."""
    from rivals.flows.rollout import watch  # noqa: PLC0415

    face = Face(as_json, quiet)
    end = watch(_open(file, settings), seconds, face.say)
    face.show(end, f"{end.challenger.variant}: {end.phase.value} {end.reason}".rstrip())
    _exit_by({"promoted": "pass", "rolled_back": "fail"}.get(end.phase.value, "inconclusive"))


def _exit_by(status: str) -> None:
    code = {"pass": 0, "inconclusive": NOT_ENOUGH}.get(status, 1)
    if code:
        raise typer.Exit(code)
