"""What every verb has in common: the project it opens, how it speaks, and the options for both."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec, get_type_hints

import typer

if TYPE_CHECKING:
    from rivals.flows.workspace import Workspace

NOT_ENOUGH = 4  # exit code: not enough evidence to say

P = ParamSpec("P")
Options = Callable[Concatenate["Call", P], None]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a verb."""

    file: Sequence[Path]
    settings: Sequence[str]
    json: bool
    quiet: bool

    @property
    def workspace(self) -> Workspace:
        """The project. Raises ``SpecError`` and its kin."""
        from rivals.flows.workspace import open_workspace  # noqa: PLC0415 -- flows load when a verb is called

        return open_workspace(self.file, self.settings)

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


def _common(
    file: Annotated[
        list[Path] | None, typer.Option("-f", "--file", help="The project file; repeatable, later ones on top.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value on top of the project file; repeatable.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on stdout, everything else on stderr.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but errors and the answer.")] = False,
) -> Call:
    return Call(file or [Path("rivals.yaml")], settings or (), as_json, quiet)


def verb(
    app: typer.Typer, name: str | None = None, *, hidden: bool = False, project: bool = True
) -> Callable[[Options[P]], Options[P]]:
    """Add a command to ``app``: its own parameters, then those of every verb; without ``project`` it opens none."""

    def add(function: Options[P]) -> Options[P]:
        own = list(inspect.signature(function).parameters.values())[1:]
        common = list(inspect.signature(_common).parameters.values())[0 if project else 2 :]
        names = [one.name for one in common]

        @wraps(function)
        def command(**given: Any) -> None:
            call = _common(**{one: given.pop(one) for one in names})
            function(call, **given)  # type: ignore[call-arg]  # typer parsed them by the signature below

        del command.__wrapped__  # its signature is the one below
        hints = get_type_hints(function, include_extras=True) | get_type_hints(_common, include_extras=True)
        typed = [one.replace(annotation=hints[one.name], kind=one.KEYWORD_ONLY) for one in (*own, *common)]
        command.__signature__ = inspect.Signature(typed)  # type: ignore[attr-defined]  # typer reads it
        command.__annotations__ = {one.name: one.annotation for one in typed}
        app.command(name, hidden=hidden)(command)
        return function

    return add


def exit_by(status: str) -> None:
    """End with the exit code of a status: 0 for a pass, 4 for too little evidence, else 1."""
    if status != "pass":
        raise typer.Exit(NOT_ENOUGH if status == "inconclusive" else 1)
