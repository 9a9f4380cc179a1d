"""Beyond this machine: the verbs ``deploy``, ``import`` and ``lint``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rivals.app.verb import Call, verb

Files = Annotated[list[Path], typer.Argument(help="YAML or JSON files, or folders of them.")]


def add_to(app: typer.Typer) -> None:
    """Give ``app`` these verbs."""
    verb(app)(release)
    verb(app)(deploy)
    verb(app, "import", project=False)(import_)
    verb(app, project=False)(lint)


def deploy(
    call: Call,
    target: Annotated[
        str, typer.Argument(help="docker, compose, kubernetes, gateway, seldon, seldon_v1, kserve, argo, flagger, ...")
    ],
    out: Annotated[Path | None, typer.Option(help="A folder for the files; deploy/TARGET if not said.")] = None,
    variant: Annotated[str | None, typer.Option(help="A challenger that has no share yet.")] = None,
    state: Annotated[Path | None, typer.Option("--from", help="What `rivals import` wrote, not the project.")] = None,
    option: Annotated[list[str] | None, typer.Option("--with", help="key=value for the target; repeatable.")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Also run the platform's own command.")] = False,
    env: Annotated[str | None, typer.Option("--env", help="One of deploy.environments: its alias moves there.")] = None,
) -> None:
    """Write the endpoint in a platform's words (docs/deploying.md)."""
    from rivals.flows import deploy as flow
    from rivals.flows.release import may_enter, vouched

    use = flow.use_of(target, option or ())
    folder = out or Path("deploy") / target
    deployment = flow.deployment_of(call.workspace, variant) if state is None else flow.import_files([state])
    here = state is None or any(one.exists() for one in call.file)  # a state from elsewhere needs no project
    evidence = vouched(call.workspace, deployment) if here else {}
    version = may_enter(call.workspace, deployment, env, variant) if env else None
    files = flow.render(deployment, use, folder, evidence)
    if target in {"docker", "compose"}:
        from rivals.flows.images import fill

        fill(call.workspace, deployment, folder)
    if apply:
        flow.apply(use, folder)
    if env and version:
        call.workspace.tracker.alias(env, version)
    call.show({"folder": str(folder), "files": files}, "\n".join(f"{folder}/{name}" for name in files))


def release(
    call: Call,
    variant: Annotated[str, typer.Argument(help="One that the gate let pass.")],
    key: Annotated[Path, typer.Option("--key", help="The private key: Ed25519, PEM.")],
    by: Annotated[str, typer.Option("--by", help="Who releases it; the user if not said.")] = "",
) -> None:
    """Sign a bundle with what vouches for it: who, commit, data, gate, packages (docs/release.md)."""
    from rivals.flows.release import release as flow

    done = flow(call.workspace, variant, key, by)
    call.show(done, f"{done.variant} (version {done.number}, bundle {done.digest[:12]}) is released: {done.evidence}")


def import_(
    call: Call,
    files: Files,
    out: Annotated[Path | None, typer.Option(help="A file; the screen if not said.")] = None,
) -> None:
    """Read what another platform calls an endpoint; `rivals deploy TARGET --from` writes it for a third."""
    from rivals.flows.deploy import as_yaml, import_files

    deployment = import_files(files)
    text = as_yaml(deployment)
    if out is None:
        call.show(deployment, text.rstrip())
        return
    out.write_text(text)
    call.show({"state": str(out)}, f"{deployment.name}: {len(deployment.pieces)} variants, written to {out}")


def lint(call: Call, files: Files) -> None:
    """Name what is valid in such files and does not do what it seems to. Exit 1 if there is any."""
    from rivals.flows.deploy import lint_files

    traps = lint_files(files)
    told = "\n".join(f"{trap.where}: {trap.what}. Better: {trap.instead}." for trap in traps)
    call.show(traps, told or "No trap that is known.")
    if traps:
        raise typer.Exit(1)
