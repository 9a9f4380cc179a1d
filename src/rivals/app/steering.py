"""``rivals rollout``: the verbs that steer a challenger, one command per flow."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rivals.app.verb import Call, exit_by, verb
from rivals.strategy import Strategy

rollout_app = typer.Typer(help="Steer the rollout of a challenger.", no_args_is_help=True)

By = Annotated[str, typer.Option("--by", help="Who says so; $RIVALS_USER or the user of the system if not said.")]
Whose = Annotated[str, typer.Argument(help="Of several challengers that run, this one's.")]
Off = Annotated[bool, typer.Option("--off", help="Take it back.")]
Force = Annotated[bool, typer.Option("--force", help="Though it was rolled back and still rests.")]

TOLD = {True: "pass", False: "fail", None: "inconclusive"}


@verb(rollout_app)
def start(
    call: Call,
    variants: Annotated[list[str], typer.Argument(help="The challenger; several of them with --strategy ab.")],
    strategy: Annotated[Strategy | None, typer.Option(help="The project file's if not said.")] = None,
    force: Force = False,
    by: By = "",
) -> None:
    """Start a challenger in the shadow, or a test. Exit 1 if a decision is expected past the deadline."""
    from rivals.flows.begin import start_rollout

    started = start_rollout(call.workspace, *variants, strategy=strategy, by=by, force=force)
    call.show(started, started.sentence)
    if started.too_long:
        raise typer.Exit(1)


def _steer(name: str, doc: str) -> None:
    def command(call: Call, variant: Whose = "", by: By = "") -> None:
        from rivals.flows.rollout import steer

        now = steer(call.workspace, name, variant, by=by)
        call.show(now, f"{now.challenger.variant}: {now.phase.value} {now.reason}".rstrip())

    command.__doc__ = doc
    verb(rollout_app, name)(command)


_steer("pause", "Give all live traffic to the champion for now; shadowing and judging rest.")
_steer("resume", "Go on where it was paused.")
_steer("advance", "One step up now, on your word; the ledger says so.")
_steer("promote", "Make the challenger the champion now, on your word; the ledger says so.")


@verb(rollout_app)
def rollback(
    call: Call,
    variant: Whose = "",
    to: Annotated[int | None, typer.Option(help="A revision of the routing table; its champion takes over.")] = None,
    by: By = "",
) -> None:
    """Give all traffic back to the champion; of a promoted challenger, to the one before it."""
    if to is not None:
        _operate(call, "roll_back_to", revision=to, by=by)
        return
    from rivals.flows.rollout import steer

    now = steer(call.workspace, "rollback", variant, by=by)
    call.show(now, f"{now.challenger.variant}: {now.phase.value} {now.reason}".rstrip())


@verb(rollout_app)
def freeze(call: Call, off: Off = False, by: By = "") -> None:
    """Stop growth and promotions until --off; rollbacks still run."""
    _operate(call, "freeze", off=off, by=by)


@verb(rollout_app)
def pin(call: Call, variant: str, by: By = "") -> None:
    """Make a variant the reference: whoever is promoted must not be worse than it."""
    _operate(call, "pin", variant=variant, by=by)


@verb(rollout_app)
def quarantine(call: Call, variant: str, off: Off = False, by: By = "") -> None:
    """Give a variant no traffic and no rollout until --off."""
    _operate(call, "quarantine", variant=variant, off=off, by=by)


@verb(rollout_app)
def approve(call: Call, by: By = "") -> None:
    """Let the promotion that waits for a person happen."""
    _operate(call, "approve", by=by)


def _operate(call: Call, name: str, **options: Any) -> None:
    from rivals.flows import operators

    done = getattr(operators, name)(call.workspace, **options)
    call.show(done, done.sentence)


@verb(rollout_app)
def preflight(call: Call, by: By = "") -> None:
    """Check that the endpoint is fit to act alone. Exit 1: no. Exit 4: too little traffic to say."""
    from rivals.flows.preflight import run_preflight

    found = run_preflight(call.workspace, by=by)
    call.show(found, "\n".join(f"{one.name}: {TOLD[one.passed]}: {one.sentence}" for one in found.checks))
    exit_by("fail" if any(one.passed is False for one in found.checks) else "pass" if found.passed else "inconclusive")


@verb(rollout_app)
def report(
    call: Call,
    variant: Annotated[str, typer.Argument(help="The challenger; that of the newest rollout if not said.")] = "",
    tolerance: Annotated[float, typer.Option(help="Values no farther apart agree (regression).")] = 0.0,
) -> None:
    """Say where champion and challenger answer the same rows differently, by slice, and who is right."""
    from rivals.app.show import disagreement_text
    from rivals.flows.disagreement import report_of

    found = report_of(call.workspace, variant, tolerance=tolerance)
    call.show(found, disagreement_text(found))


@verb(rollout_app)
def watch(call: Call, seconds: Annotated[float, typer.Option(help="Give up after so long; exit 4.")] = 3600.0) -> None:
    """Wait for the rollout's end. Exit 0 promoted, 1 rolled back, 4 held or still running."""
    from rivals.flows.rollout import watch as wait

    end = wait(call.workspace, seconds, call.say)
    call.show(end, f"{end.challenger.variant}: {end.phase.value} {end.reason}".rstrip())
    exit_by({"promoted": "pass", "rolled_back": "fail"}.get(end.phase.value, "inconclusive"))
